//! Who asks: a key of the platform, or the platform's backend with the internal token.
//!
//! A key is its organisation's, and names no other; the token may name any, and must name one. Either way the organisation
//! needs the feature `sync_multiplexer`. Refusals say nothing about what exists.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use activities::database::api_keys;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::Api;
use super::extract;
use super::limits::Party;
use super::problem::Problem;

const API_KEY: &str = "x-api-key";
const ORGANIZATION: &str = "x-organization-id";
const REQUESTED_BY: &str = "x-requested-by";

/// Who asks, for which organisation.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The tenant; every statement is about it alone.
    pub(super) organization_id: Uuid,
    who: Who,
}

#[derive(Debug, Clone)]
enum Who {
    /// A key of the platform, by its row.
    Key(Uuid),
    /// The platform's backend, and for whom it says that it asks.
    Backend(String),
}

impl Caller {
    /// For the audit trail.
    pub(super) fn requested_by(&self) -> String {
        match &self.who {
            Who::Key(key_id) => format!("API key {key_id}"),
            Who::Backend(person) if person.is_empty() => "the platform's backend".to_owned(),
            Who::Backend(person) => format!("{person} by the platform's backend"),
        }
    }

    /// Whether it is the platform itself, which is trusted with what concerns more than one tenant.
    pub(super) fn is_backend(&self) -> bool {
        matches!(self.who, Who::Backend(_))
    }

    fn party(&self) -> Party {
        match self.who {
            Who::Key(key_id) => Party::Caller(key_id),
            Who::Backend(_) => Party::Caller(self.organization_id),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Set by `require` on every route that is not public; without it nobody gets in.
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

/// Lets known callers through, as often as they may.
pub(super) async fn require(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let caller = match identify(&api, request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => {
            // Guesses are counted by where they come from, and slow down nobody else.
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
            let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            return api.limits.admit(Party::Peer(peer)).err().unwrap_or(problem).into_response();
        }
    };
    if let Err(problem) = api.limits.admit(caller.party()) {
        return problem.into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

async fn identify(api: &Api, headers: &HeaderMap) -> Result<Caller, Problem> {
    let named = organization(headers)?;
    let (caller, is_enabled) = if let Some(token) = bearer(headers) {
        backend(api, token, named, headers).await?
    } else if let Some(key) = headers.get(API_KEY) {
        of_key(api, key.to_str().unwrap_or_default(), named).await?
    } else {
        return Err(nobody());
    };
    if !is_enabled {
        return Err(forbidden("Sync multiplexer feature is not enabled for this organization"));
    }
    Ok(caller)
}

async fn of_key(api: &Api, key: &str, named: Option<Uuid>) -> Result<(Caller, bool), Problem> {
    let owner = api.keys.owner(&key.into()).await?.ok_or_else(|| forbidden("Invalid or expired API key"))?;
    if named.is_some_and(|named| named != owner.organization_id) {
        return Err(forbidden("API key does not belong to this organization"));
    }
    let caller = Caller { organization_id: owner.organization_id, who: Who::Key(owner.key_id) };
    Ok((caller, owner.is_enabled))
}

async fn backend(api: &Api, token: &str, named: Option<Uuid>, headers: &HeaderMap) -> Result<(Caller, bool), Problem> {
    let is_right = api.internal_token.as_ref().is_some_and(|right| {
        // Digests have one length, so that the comparison tells nothing about the token's either.
        Sha256::digest(right.expose_secret()).ct_eq(&Sha256::digest(token)).into()
    });
    if !is_right {
        return Err(forbidden("Invalid bearer token"));
    }
    let organization_id = named.ok_or_else(|| {
        Problem::new(ErrorKind::InvalidInput, "name the organization with the header X-Organization-ID")
    })?;
    let is_enabled = api_keys::is_enabled(&api.database, organization_id).await?;
    let is_enabled = is_enabled.ok_or_else(|| forbidden("There is no such organization"))?;
    let person = headers.get(REQUESTED_BY).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let who = Who::Backend(extract::text("X-Requested-By", person)?);
    Ok((Caller { organization_id, who }, is_enabled))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn organization(headers: &HeaderMap) -> Result<Option<Uuid>, Problem> {
    headers
        .get(ORGANIZATION)
        .map(|value| value.to_str().ok().and_then(|text| Uuid::try_parse(text).ok()))
        .map(|id| id.ok_or_else(|| Problem::new(ErrorKind::InvalidInput, "X-Organization-ID is no UUID")))
        .transpose()
}

fn nobody() -> Problem {
    Problem::new(ErrorKind::Unauthorized, "No valid authentication provided")
}

fn forbidden(words: &str) -> Problem {
    Problem::new(ErrorKind::Forbidden, words)
}

#[cfg(test)]
impl Caller {
    /// Somebody with an API key.
    pub(super) fn tenant() -> Self {
        Self { organization_id: Uuid::nil(), who: Who::Key(Uuid::nil()) }
    }

    /// The platform's backend.
    pub(super) fn backend() -> Self {
        Self { organization_id: Uuid::nil(), who: Who::Backend(String::new()) }
    }
}
