//! Reads failures of the server: HTTP status and transport errors become error kinds, here and nowhere else.
//!
//! Bodies of failed answers are not looked at: they may repeat the text.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};

use crate::error::{Error, ErrorKind};

/// OpenAI's finer form of `Retry-After`.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// A longer wish is not believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// What an answer without vectors means.
#[derive(Debug)]
pub(super) enum Failure {
    /// The content of this request is refused; with other texts it may be taken.
    Refused(u16),
    /// The request as a whole failed.
    Request(Error),
}

/// Reads the status of an answer that is not a success.
pub(super) fn status(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Failure {
    let code = status.as_u16();
    let (kind, message) = match code {
        400 | 413 | 422 => return Failure::Refused(code),
        401 | 403 => (
            ErrorKind::DestinationDenied,
            "the embedding server refuses the key: check the key in the worker's environment",
        ),
        404 | 405 => (
            ErrorKind::InvalidInput,
            "the embedding server knows no such address or model: check embedder.open_ai.base_url and \
             embedder.open_ai.model",
        ),
        408 | 504 => (ErrorKind::Timeout, "the embedding server ran into a time limit"),
        429 => (ErrorKind::RateLimited, "the embedding server asks to slow down"),
        503 if retry_after(headers, now).is_some() => {
            (ErrorKind::RateLimited, "the embedding server is overloaded and asks to wait")
        }
        300..=399 => (
            ErrorKind::InvalidInput,
            "the embedding server redirects: set embedder.open_ai.base_url to where it redirects to",
        ),
        500..=599 => (ErrorKind::Unavailable, "the embedding server fails"),
        _ => (ErrorKind::Internal, "the embedding server answers with a status that means nothing here"),
    };
    let mut error = Error::new(kind, format!("{message} (status {code})"));
    if let Some(delay) = retry_after(headers, now) {
        error = error.with_retry_after(delay);
    }
    Failure::Request(error)
}

/// Reads an error of the HTTP client.
pub(super) fn transport(error: reqwest::Error) -> Error {
    let (kind, message) = if error.is_timeout() {
        (ErrorKind::Timeout, "the embedding server did not answer in time")
    } else if error.is_connect() {
        (ErrorKind::Unavailable, "the embedding server cannot be reached")
    } else if error.is_builder() {
        (ErrorKind::Internal, "the request to the embedding server could not be built")
    } else {
        (ErrorKind::Unavailable, "the connection to the embedding server broke")
    };
    Error::new(kind, message).with_source(error.without_url())
}

/// How long the server asks to wait: `retry-after-ms`, or `Retry-After` as seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds = text(RETRY_AFTER_MS).and_then(|value| value.parse().ok()).map(Duration::from_millis);
    let delay = milliseconds.or_else(|| {
        let value = text(RETRY_AFTER)?;
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = DateTime::parse_from_rfc2822(value).ok()?;
        Some((date.with_timezone(&Utc) - DateTime::<Utc>::from(now)).to_std().unwrap_or_default())
    })?;
    Some(delay.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    /// 2025-12-29T10:00:00Z.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_002_400)
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[rstest]
    #[case::absent(&[], None)]
    #[case::seconds(&[("retry-after", "3")], Some(3_000))]
    #[case::finer(&[("retry-after", "3"), ("retry-after-ms", "250")], Some(250))]
    #[case::date(&[("retry-after", "Mon, 29 Dec 2025 10:00:09 GMT")], Some(9_000))]
    #[case::past_date(&[("retry-after", "Mon, 29 Dec 2025 09:00:00 GMT")], Some(0))]
    #[case::unbelievable(&[("retry-after", "99999999")], Some(3_600_000))]
    #[case::nonsense(&[("retry-after", "soon")], None)]
    fn the_wish_to_wait_is_read(#[case] pairs: &[(&'static str, &'static str)], #[case] expected_ms: Option<u64>) {
        assert_eq!(retry_after(&headers(pairs), now()), expected_ms.map(Duration::from_millis));
    }

    #[rstest]
    #[case(301, ErrorKind::InvalidInput)]
    #[case(401, ErrorKind::DestinationDenied)]
    #[case(403, ErrorKind::DestinationDenied)]
    #[case(404, ErrorKind::InvalidInput)]
    #[case(408, ErrorKind::Timeout)]
    #[case(418, ErrorKind::Internal)]
    #[case(429, ErrorKind::RateLimited)]
    #[case(500, ErrorKind::Unavailable)]
    #[case(502, ErrorKind::Unavailable)]
    #[case(503, ErrorKind::Unavailable)]
    #[case(504, ErrorKind::Timeout)]
    #[case(529, ErrorKind::Unavailable)]
    fn statuses_become_kinds(#[case] code: u16, #[case] expected: ErrorKind) {
        let code = StatusCode::from_u16(code).expect("a status");
        match status(code, &HeaderMap::new(), now()) {
            Failure::Request(error) => assert_eq!(error.kind(), expected),
            Failure::Refused(_) => panic!("{code} is not about the texts"),
        }
    }

    #[rstest]
    fn refusals_are_about_the_texts(#[values(400, 413, 422)] code: u16) {
        let status = status(StatusCode::from_u16(code).expect("a status"), &HeaderMap::new(), now());
        assert!(matches!(status, Failure::Refused(refused) if refused == code));
    }

    #[test]
    fn an_overload_with_a_wish_is_a_rate_limit() {
        match status(StatusCode::SERVICE_UNAVAILABLE, &headers(&[("retry-after", "2")]), now()) {
            Failure::Request(error) => {
                assert_eq!(error.kind(), ErrorKind::RateLimited);
                assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
            }
            Failure::Refused(_) => panic!("an overload is not about the texts"),
        }
    }
}
