//! Which profile a fork gets: that of the request, or the deployment's.
//!
//! A profile may name an embeddings server, to which workers send their key, and collections, aliases and namespaces of a
//! destination. An operator may; a tenant with an API key may only where nobody else's things are.

use activities::database::platform::ConnectionInfo;
use activities::profile::CompleteProfile;
use proto::v1::Profile;
use proto::v1::embedder::Kind;
use proto::v1::profile::Destination;
use workflows::domain::ErrorKind;

use super::caller::Caller;
use super::problem::Problem;
use crate::output::Failure;

/// The deployment's profile, and what profiles of requests may name.
pub(super) struct Profiles {
    default: Option<Profile>,
    embeddings_urls: Vec<String>,
}

impl Profiles {
    /// # Errors
    ///
    /// `InvalidInput` when the default profile is none that a fork would take.
    pub(super) fn new(default: Option<Profile>, embeddings_urls: Vec<String>) -> Result<Self, Failure> {
        if let Some(profile) = &default {
            CompleteProfile::new(Some(profile.clone()))?;
        }
        Ok(Self { default, embeddings_urls })
    }

    /// The profile for a fork to a connection.
    ///
    /// # Errors
    ///
    /// 422 when there is none or it is none that a fork would take; 403 when the caller may not name what it names.
    pub(super) fn choose(
        &self,
        asked: Option<Profile>,
        connection: &ConnectionInfo,
        caller: &Caller,
    ) -> Result<Profile, Problem> {
        let Some(profile) = asked else {
            return self.default.clone().ok_or_else(|| {
                Problem::field(
                    "profile",
                    "is missing, and this deployment has no default (see syncmux api --default-profile)",
                )
            });
        };
        if let Err(error) = CompleteProfile::new(Some(profile.clone())) {
            return Err(Problem::field("profile", error.message()));
        }
        if caller.is_backend() {
            return Ok(profile);
        }
        if let Some(url) = embeddings_url(&profile).filter(|url| !self.allows(url)) {
            return Err(forbidden(format!(
                "profile.embedder.open_ai.base_url: this deployment does not let API keys name {url:?}; its operator can \
                 (syncmux api --embeddings-urls)"
            )));
        }
        if connection.native && names_places(&profile) {
            return Err(forbidden(
                "the destination is shared by all organizations, so the profile may name no collection, alias, cluster or \
                 namespace there"
                    .to_owned(),
            ));
        }
        Ok(profile)
    }

    fn allows(&self, url: &str) -> bool {
        let same = |known: &str| known.trim_end_matches('/') == url.trim_end_matches('/');
        self.embeddings_urls.iter().any(|known| same(known))
            || self.default.as_ref().and_then(embeddings_url).is_some_and(same)
    }
}

fn embeddings_url(profile: &Profile) -> Option<&str> {
    match profile.embedder.as_ref()?.kind.as_ref()? {
        Kind::OpenAi(server) => Some(&server.base_url),
        Kind::StaticTable(_) => None,
    }
}

/// Whether a profile says where in a destination points go.
fn names_places(profile: &Profile) -> bool {
    match &profile.destination {
        Some(Destination::Qdrant(layout)) => !(layout.collection.is_empty() && layout.alias.is_empty()),
        Some(Destination::Vespa(layout)) => {
            !(layout.cluster.is_empty() && layout.namespace.is_empty()) || layout.mapping.is_some()
        }
        Some(Destination::Pgvector(_)) | None => false,
    }
}

fn forbidden(words: String) -> Problem {
    Problem::new(ErrorKind::Forbidden, words)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn connection(native: bool) -> ConnectionInfo {
        let (name, short_name) = ("Vectors".to_owned(), "qdrant".to_owned());
        ConnectionInfo { connection_id: Uuid::nil(), name, short_name, native, credential: None }
    }

    fn profile(value: Value) -> Profile {
        serde_json::from_value(value).expect("a profile")
    }

    /// The status that a profile of a request is answered with.
    fn status(profiles: &Profiles, asked: Value, native: bool, caller: &Caller) -> u16 {
        match profiles.choose(Some(profile(asked)), &connection(native), caller) {
            Ok(_) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn a_tenant_names_no_server_and_nothing_that_is_shared() {
        let server = |url: &str| json!({ "open_ai": { "base_url": url, "model": "m", "dimensions": 8 } });
        let default = profile(json!({ "embedder": server("https://default.example/v1"), "qdrant": {} }));
        let profiles =
            Profiles::new(Some(default), vec!["https://known.example/v1/".to_owned()]).expect("it is usable");
        let (tenant, backend) = (Caller::tenant(), Caller::backend());
        for (asked, native, expected) in [
            (json!({ "qdrant": {} }), true, 200),
            (json!({ "qdrant": { "collection": "mine", "alias": "current" } }), false, 200),
            (json!({ "qdrant": { "collection": "everybodys" } }), true, 403),
            (json!({ "qdrant": { "alias": "everybodys" } }), true, 403),
            (json!({ "vespa": { "documents": "DOCUMENTS_CHUNK", "namespace": "everybodys" } }), true, 403),
            (json!({ "embedder": server("https://known.example/v1"), "pgvector": {} }), false, 200),
            (json!({ "embedder": server("https://default.example/v1"), "pgvector": {} }), false, 200),
            (json!({ "embedder": server("https://elsewhere.example/v1"), "pgvector": {} }), false, 403),
        ] {
            assert_eq!(status(&profiles, asked.clone(), native, &tenant), expected, "{asked}");
            assert_eq!(status(&profiles, asked.clone(), native, &backend), 200, "{asked}");
        }
        assert_eq!(status(&profiles, json!({ "name": "nowhere" }), false, &backend), 422);
    }

    #[test]
    fn without_a_profile_it_is_the_deployments() {
        let default = profile(json!({ "name": "default", "pgvector": {} }));
        let with = Profiles::new(Some(default), Vec::new()).expect("it is usable");
        assert_eq!(with.choose(None, &connection(false), &Caller::tenant()).expect("the default").name, "default");
        let without = Profiles::new(None, Vec::new()).expect("it is usable");
        let refused = without.choose(None, &connection(false), &Caller::tenant()).expect_err("there is none");
        assert_eq!(refused.into_response().status().as_u16(), 422);
        assert!(Profiles::new(Some(Profile::default()), Vec::new()).is_err(), "a default that no fork would take");
    }
}
