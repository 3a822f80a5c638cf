//! Where the platform's API is, and the keys to it.

use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

use crate::error::{Error, ErrorKind, Result};

/// What a worker knows of the platform's API.
#[derive(Debug, Clone, Default)]
pub struct PlatformApiSettings {
    /// Where paths such as `/source-connections` begin, for example `http://backend:8001`. Without it nothing can be
    /// asked.
    pub url: Option<String>,
    /// A key of the organisation whose syncs are resynced. A platform without authentication needs none.
    pub api_key: Option<SecretString>,
    /// A key that may use the routes for administrators; the other one when there is none.
    pub admin_api_key: Option<SecretString>,
    /// How long to wait for what.
    pub timing: PlatformApiTiming,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformApiTiming {
    /// For a connection.
    pub connect_timeout: Duration,
    /// For a whole answer. The platform itself gives up after 60 seconds.
    pub request_timeout: Duration,
    /// After this time no job comes any more of what was asked before an answer was lost. Starting a job may take two
    /// requests, so this is longer than two of [`Self::request_timeout`].
    pub settled_after: Duration,
    /// Between two looks at a job.
    pub poll: Duration,
}

impl Default for PlatformApiTiming {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(75),
            settled_after: Duration::from_secs(160),
            poll: Duration::from_millis(500),
        }
    }
}

impl PlatformApiSettings {
    /// The address, checked; nothing when none is set.
    pub(super) fn base_url(&self) -> Result<Option<Url>> {
        let Some(text) = self.url.as_deref().map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
        let url = Url::parse(text).map_err(|_| invalid("is no URL such as http://backend:8001"))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(invalid("must start with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("must not hold credentials: set PLATFORM_API_KEY"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("must not have a query or a fragment"));
        }
        Ok(Some(url))
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("PLATFORM_API_URL {what}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn url(text: &str) -> Result<Option<Url>> {
        PlatformApiSettings { url: Some(text.to_owned()), ..PlatformApiSettings::default() }.base_url()
    }

    #[rstest]
    #[case("backend:8001")]
    #[case("ftp://backend")]
    #[case("https://someone:hunter2@backend")]
    #[case("https://backend?key=hunter2")]
    #[case("https://backend#x")]
    #[case("no url")]
    fn an_address_that_is_none_is_refused_without_repeating_it(#[case] text: &str) {
        let error = url(text).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().starts_with("PLATFORM_API_URL ") && !error.chain().contains("hunter2"), "{error}");
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(url(" ").expect("no address"), None);
        assert_eq!(PlatformApiSettings::default().base_url().expect("no address"), None);
        assert!(url("https://backend/behind/").expect("an address").is_some());
    }
}
