//! Profiles: defaults, validation and the fingerprint that says whether two slots are built alike.

use proto::v1::embedder::Kind;
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::Documents;
use proto::v1::{Chunker, Embedder, Hnsw, PgvectorLayout, Profile, StaticTable};
use sha2::{Digest, Sha256};

use crate::embedding::EmbedderSettings;
use crate::error::{Error, ErrorKind, Result};

/// A profile with every default written out, and its fingerprint.
#[derive(Debug, Clone, PartialEq)]
pub struct CompleteProfile {
    /// The settings.
    pub profile: Profile,
    /// SHA-256 in hex over the settings as JSON, without the name. Equal exactly when slots are built alike.
    pub fingerprint: String,
}

impl CompleteProfile {
    /// Fills in the defaults and validates every bound that can be checked without opening anything.
    ///
    /// # Errors
    ///
    /// `InvalidInput` naming the field.
    pub fn new(profile: Option<Profile>) -> Result<Self> {
        let mut profile = profile.ok_or_else(|| invalid("profile is missing; give at least its destination layout"))?;
        if profile.name.len() > 64 {
            return Err(invalid("profile.name is longer than 64 bytes"));
        }
        match intake(&profile) {
            Intake::Chunks => {
                complete_chunker(profile.chunker.get_or_insert_with(Chunker::default));
                complete_embedder(profile.embedder.get_or_insert_with(Embedder::default))?;
            }
            Intake::WholeEntities => refuse_what_the_destination_does(&profile)?,
        }
        match &mut profile.destination {
            Some(Destination::Pgvector(layout)) => complete_pgvector(layout),
            Some(Destination::Qdrant(_) | Destination::Vespa(_)) => {}
            None => {
                return Err(invalid(
                    "the profile has no layout; give one of profile.pgvector, profile.qdrant and profile.vespa",
                ));
            }
        }
        let fingerprint = fingerprint(&profile)?;
        Ok(Self { profile, fingerprint })
    }

    /// Reads back a profile that was stored with its slot.
    ///
    /// # Errors
    ///
    /// `Internal` when the stored form is not a profile of this version.
    pub fn from_stored(stored: &serde_json::Value) -> Result<Self> {
        let profile: Profile = serde_json::from_value(stored.clone()).map_err(|error| {
            Error::new(ErrorKind::Internal, "the profile stored with the slot is not readable by this version")
                .with_source(error)
        })?;
        Self::new(Some(profile))
    }

    /// The stored form.
    ///
    /// # Errors
    ///
    /// `Internal` when the message cannot be written as JSON.
    pub fn to_stored(&self) -> Result<serde_json::Value> {
        serde_json::to_value(&self.profile).map_err(|error| {
            Error::new(ErrorKind::Internal, "the profile cannot be written as JSON").with_source(error)
        })
    }

    /// Kind of the destination this profile lays out, such as `pgvector`.
    #[must_use]
    pub fn destination_kind(&self) -> &'static str {
        match self.profile.destination {
            Some(Destination::Qdrant(_)) => "qdrant",
            Some(Destination::Vespa(_)) => "vespa",
            Some(Destination::Pgvector(_)) | None => "pgvector",
        }
    }

    /// What the destination is given.
    #[must_use]
    pub fn intake(&self) -> Intake {
        intake(&self.profile)
    }

    /// Length of the dense vectors that are written; 0 when the destination embeds texts itself.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the embedder's settings are out of range.
    pub fn dimensions(&self) -> Result<u32> {
        match self.intake() {
            Intake::Chunks => {
                let dimensions = EmbedderSettings::from_profile(self.profile.embedder.as_ref())?.dimensions();
                u32::try_from(dimensions).map_err(|_| invalid("the embedder's vectors are too long"))
            }
            Intake::WholeEntities => Ok(0),
        }
    }
}

/// What a destination is given of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// Chunks with their vectors.
    Chunks,
    /// The whole text, which the destination cuts and embeds itself.
    WholeEntities,
}

fn intake(profile: &Profile) -> Intake {
    match &profile.destination {
        Some(Destination::Vespa(layout)) if layout.documents() == Documents::RawEntity => Intake::WholeEntities,
        _ => Intake::Chunks,
    }
}

/// Settings that would change nothing are a misunderstanding, and would make equal slots look different.
fn refuse_what_the_destination_does(profile: &Profile) -> Result<()> {
    for (given, field, does) in
        [(profile.chunker.is_some(), "chunker", "cuts"), (profile.embedder.is_some(), "embedder", "embeds")]
    {
        if given {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("profile.{field} must be left out: with this layout the destination {does} texts itself"),
            ));
        }
    }
    Ok(())
}

fn complete_chunker(chunker: &mut Chunker) {
    if chunker.max_tokens == 0 {
        chunker.max_tokens = 512;
    }
}

fn complete_embedder(embedder: &mut Embedder) -> Result<()> {
    match embedder.kind.get_or_insert_with(|| Kind::StaticTable(StaticTable::default())) {
        Kind::StaticTable(table) => {
            if table.model.is_empty() {
                "wordllama-l2-supercat-256".clone_into(&mut table.model);
            }
        }
        Kind::OpenAi(server) => {
            for (count, default) in [
                (&mut server.max_batch_texts, 100),
                (&mut server.max_batch_tokens, 100_000),
                (&mut server.concurrency, 4),
            ] {
                if *count == 0 {
                    *count = default;
                }
            }
            if server.dimensions == 0 {
                return Err(invalid(
                    "profile.embedder.open_ai.dimensions is missing; say how long the server's vectors are",
                ));
            }
        }
    }
    Ok(())
}

fn complete_pgvector(layout: &mut PgvectorLayout) {
    use proto::v1::pgvector_layout::{Distance, VectorType};
    if layout.vector_type() == VectorType::Unspecified {
        layout.set_vector_type(VectorType::Vector);
    }
    if layout.distance() == Distance::Unspecified {
        layout.set_distance(Distance::Cosine);
    }
    if let Some(Hnsw { m, ef_construction }) = &mut layout.hnsw {
        if *m == 0 {
            *m = 16;
        }
        if *ef_construction == 0 {
            *ef_construction = 64;
        }
    }
}

fn fingerprint(profile: &Profile) -> Result<String> {
    let mut settings = profile.clone();
    settings.name.clear();
    if let Some(Embedder { kind: Some(Kind::OpenAi(server)) }) = &mut settings.embedder {
        // How requests are cut does not change what is stored.
        server.max_batch_texts = 0;
        server.max_batch_tokens = 0;
        server.concurrency = 0;
    }
    // `serde_json::Value` keeps its keys sorted, so the text depends on the settings only.
    let text = serde_json::to_value(&settings)
        .map_err(|error| Error::new(ErrorKind::Internal, "the profile cannot be written as JSON").with_source(error))?
        .to_string();
    Ok(hex::encode(Sha256::digest(text.as_bytes())))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use proto::v1::VespaLayout;

    use super::*;

    fn minimal() -> Profile {
        Profile { destination: Some(Destination::Pgvector(PgvectorLayout::default())), ..Profile::default() }
    }

    #[test]
    fn defaults_and_names_do_not_change_the_fingerprint() {
        let written_out = CompleteProfile::new(Some(minimal())).unwrap();
        let again = CompleteProfile::new(Some(written_out.profile.clone())).unwrap();
        assert_eq!(written_out, again, "completing twice changes nothing");
        let renamed = CompleteProfile::new(Some(Profile { name: "v7".to_owned(), ..minimal() })).unwrap();
        assert_eq!(renamed.fingerprint, written_out.fingerprint);
    }

    #[test]
    fn settings_change_the_fingerprint() {
        let plain = CompleteProfile::new(Some(minimal())).unwrap();
        let chunked = Profile { chunker: Some(Chunker { max_tokens: 256, overlap_tokens: 0 }), ..minimal() };
        assert_ne!(CompleteProfile::new(Some(chunked)).unwrap().fingerprint, plain.fingerprint);
    }

    fn whole_entities() -> Profile {
        let layout = VespaLayout { documents: Documents::RawEntity.into(), ..VespaLayout::default() };
        Profile { destination: Some(Destination::Vespa(layout)), ..Profile::default() }
    }

    #[test]
    fn whole_entities_need_no_chunker_and_no_embedder_and_take_none() {
        let profile = CompleteProfile::new(Some(whole_entities())).unwrap();
        assert_eq!((profile.intake(), profile.dimensions().unwrap()), (Intake::WholeEntities, 0));
        assert_eq!((&profile.profile.chunker, &profile.profile.embedder), (&None, &None));
        assert_eq!(CompleteProfile::from_stored(&profile.to_stored().unwrap()).unwrap(), profile);

        let chunker = Profile { chunker: Some(Chunker::default()), ..whole_entities() };
        let embedder = Profile { embedder: Some(Embedder::default()), ..whole_entities() };
        for (profile, words) in [(chunker, "chunker must be left out"), (embedder, "the destination embeds")] {
            let refused = CompleteProfile::new(Some(profile)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            assert!(refused.message().contains(words), "{refused}");
        }
    }

    #[test]
    fn chunks_of_vespa_are_chunks_as_anywhere() {
        let layout = VespaLayout { documents: Documents::Chunk.into(), ..VespaLayout::default() };
        let profile = Profile { destination: Some(Destination::Vespa(layout)), ..Profile::default() };
        let profile = CompleteProfile::new(Some(profile)).unwrap();
        assert_eq!((profile.intake(), profile.dimensions().unwrap()), (Intake::Chunks, 256));
    }

    #[test]
    fn stored_and_read_back_is_the_same() {
        let profile = CompleteProfile::new(Some(minimal())).unwrap();
        assert_eq!(CompleteProfile::from_stored(&profile.to_stored().unwrap()).unwrap(), profile);
    }

    #[test]
    fn what_is_missing_is_named() {
        let told = |profile| CompleteProfile::new(profile).unwrap_err();
        assert!(told(None).message().contains("profile is missing"));
        let no_layout = told(Some(Profile::default()));
        assert_eq!(no_layout.kind(), ErrorKind::InvalidInput);
        assert!(no_layout.message().contains("has no layout"));
    }
}
