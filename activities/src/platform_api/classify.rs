//! What a failed request means: for whoever has to act, and for the question whether a job came of it. Here and nowhere
//! else.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::said;
use crate::error::{Error, ErrorKind};

/// A longer wish is not believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10 * 60);

/// A request that did not get what it asked for.
#[derive(Debug)]
pub struct Refused {
    /// Kind and words.
    pub error: Error,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, for certain.
    Nothing,
    /// Nothing, because a job of the sync is active.
    Occupied,
    /// Nothing, because there is no cursor to ignore: what is asked for happens without asking for it.
    NoCursor,
    /// The platform failed on the way. What it did by then is done, and it is doing nothing any more.
    Over,
    /// Not known: the platform may still be at it.
    Unknown,
}

impl Refused {
    fn new(outcome: Outcome, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { error: Error::new(kind, message), outcome }
    }
}

/// Reads an answer that is not a success. `secrets` are never repeated.
pub(super) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[&str],
    now: SystemTime,
) -> Refused {
    let code = status.as_u16();
    let words = said::detail(body);
    let said = words.as_deref().map(|words| format!(": {:?}", said::quote(words, secrets))).unwrap_or_default();
    let lower = words.unwrap_or_default().to_lowercase();
    let (outcome, kind, message) = match code {
        300..=399 => (
            Outcome::Nothing,
            ErrorKind::InvalidInput,
            "the platform's API redirects: set PLATFORM_API_URL to where it redirects to",
        ),
        401 => (
            Outcome::Nothing,
            ErrorKind::Unauthorized,
            "the platform's API wants a key: set PLATFORM_API_KEY for the worker",
        ),
        403 => (
            Outcome::Nothing,
            ErrorKind::Forbidden,
            "the platform's API refuses the key. It may have expired or belong to another organisation; a rebuild of \
             the raw store needs an administrator's key (PLATFORM_ADMIN_API_KEY), or one of an organisation with the flag \
             api_key_admin_sync",
        ),
        404 | 405 => (
            Outcome::Nothing,
            ErrorKind::NotFound,
            "the platform's API does not know this source connection, sync or job, or not this route",
        ),
        400 | 409 if lower.contains("job is already") => {
            (Outcome::Occupied, ErrorKind::Conflict, "a job of this sync is active at the platform")
        }
        400 if lower.contains("cursor") => {
            (Outcome::NoCursor, ErrorKind::Conflict, "the platform has no cursor of this sync to ignore")
        }
        400 | 402 | 409 => (Outcome::Nothing, ErrorKind::Conflict, "the platform refuses"),
        413 | 422 => (
            Outcome::Nothing,
            ErrorKind::InvalidInput,
            "the platform's API does not understand the request, so it is of a version that is not known here",
        ),
        429 => (Outcome::Nothing, ErrorKind::RateLimited, "the platform's API asks to slow down"),
        500 => (Outcome::Over, ErrorKind::Unavailable, "the platform's API failed"),
        // A server in front of it gave up, or it gave up itself; the work may go on behind.
        504 | 408 => (Outcome::Unknown, ErrorKind::Timeout, "the platform's API ran into a time limit"),
        501..=599 => (Outcome::Unknown, ErrorKind::Unavailable, "the platform's API is not there"),
        _ => {
            (Outcome::Unknown, ErrorKind::Internal, "the platform's API answers with a status that means nothing here")
        }
    };
    let mut refused = Refused::new(outcome, kind, format!("{message} (status {code}{said})"));
    if let Some(delay) = retry_after(headers, now) {
        refused.error = refused.error.with_retry_after(delay);
    }
    refused
}

/// Reads an error of the HTTP client.
pub(super) fn transport(error: reqwest::Error) -> Refused {
    let (outcome, kind, message) = if error.is_connect() {
        (Outcome::Nothing, ErrorKind::Unavailable, "the platform's API cannot be reached; see PLATFORM_API_URL")
    } else if error.is_timeout() {
        (Outcome::Unknown, ErrorKind::Timeout, "the platform's API did not answer in time")
    } else if error.is_builder() {
        (Outcome::Nothing, ErrorKind::Internal, "the request to the platform's API could not be built")
    } else {
        (Outcome::Unknown, ErrorKind::Unavailable, "the connection to the platform's API broke")
    };
    let mut refused = Refused::new(outcome, kind, message);
    refused.error = refused.error.with_source(error.without_url());
    refused
}

/// A success whose body is not one. What was asked for is done, perhaps.
pub(super) fn unexplained(what: &str) -> Refused {
    Refused::new(Outcome::Over, ErrorKind::Internal, format!("the answer of the platform's API {what}"))
}

/// How long the platform asks to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(value).ok()?;
            (date.with_timezone(&Utc) - DateTime::<Utc>::from(now)).to_std().unwrap_or_default()
        }
    };
    Some(delay.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn read(code: u16, body: &str) -> Refused {
        let status = StatusCode::from_u16(code).expect("a status");
        refusal(status, &HeaderMap::new(), body.as_bytes(), &["k3y"], SystemTime::UNIX_EPOCH)
    }

    const OCCUPIED: &str = r#"{"detail": "Cannot start new sync: a sync job is already running"}"#;
    const NO_CURSOR: &str = r#"{"detail": "force_full_sync needs a sync that has cursor data"}"#;

    #[rstest]
    #[case::moved(307, "", Outcome::Nothing, ErrorKind::InvalidInput)]
    #[case::no_key(401, "", Outcome::Nothing, ErrorKind::Unauthorized)]
    #[case::wrong_key(403, "", Outcome::Nothing, ErrorKind::Forbidden)]
    #[case::unknown(404, "", Outcome::Nothing, ErrorKind::NotFound)]
    #[case::other_method(405, "", Outcome::Nothing, ErrorKind::NotFound)]
    #[case::occupied(400, OCCUPIED, Outcome::Occupied, ErrorKind::Conflict)]
    #[case::occupied_as_documented(409, OCCUPIED, Outcome::Occupied, ErrorKind::Conflict)]
    #[case::no_cursor(400, NO_CURSOR, Outcome::NoCursor, ErrorKind::Conflict)]
    #[case::limits(400, r#"{"detail": "usage limit"}"#, Outcome::Nothing, ErrorKind::Conflict)]
    #[case::words_that_are_none(400, "<html>", Outcome::Nothing, ErrorKind::Conflict)]
    #[case::another_shape(422, r#"[{"body.x": "missing"}]"#, Outcome::Nothing, ErrorKind::InvalidInput)]
    #[case::slow_down(429, "", Outcome::Nothing, ErrorKind::RateLimited)]
    #[case::failed(500, "", Outcome::Over, ErrorKind::Unavailable)]
    #[case::bad_gateway(502, "<html>", Outcome::Unknown, ErrorKind::Unavailable)]
    #[case::away(503, "", Outcome::Unknown, ErrorKind::Unavailable)]
    #[case::too_slow(504, "", Outcome::Unknown, ErrorKind::Timeout)]
    #[case::odd(418, "", Outcome::Unknown, ErrorKind::Internal)]
    fn statuses(#[case] code: u16, #[case] body: &str, #[case] outcome: Outcome, #[case] kind: ErrorKind) {
        let refused = read(code, body);
        assert_eq!((refused.outcome, refused.error.kind()), (outcome, kind), "{}", refused.error);
        assert!(refused.error.message().contains(&code.to_string()));
    }

    #[test]
    fn what_the_platform_says_is_told_without_the_key() {
        let error = read(400, r#"{"detail": "limit of key k3y\nreached"}"#).error;
        assert!(error.message().ends_with(r#"(status 400: "limit of key *** reached")"#), "{error}");
        let error = read(422, r#"[{"body.execution_config": "Input should be a valid dictionary"}]"#).error;
        assert!(error.message().contains("body.execution_config"), "{error}");
    }

    #[rstest]
    #[case("3", Some(3))]
    #[case("99999999", Some(600))]
    #[case("Thu, 01 Jan 1970 00:00:09 GMT", Some(9))]
    #[case("soon", None)]
    fn the_wish_to_wait_is_read(#[case] value: &'static str, #[case] seconds: Option<u64>) {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        let refused = refusal(StatusCode::TOO_MANY_REQUESTS, &headers, b"", &[], SystemTime::UNIX_EPOCH);
        assert_eq!(refused.error.retry_after(), seconds.map(Duration::from_secs));
    }
}
