//! What the client can be told, and the limits of that.

use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;

use crate::error::{Error, ErrorKind, Result};

const DEFAULT_BATCH_TEXTS: u32 = 100;
const DEFAULT_BATCH_TOKENS: u32 = 100_000;
const DEFAULT_CONCURRENCY: u32 = 4;

/// The vectors that a destination can hold at most.
const DIMENSIONS: RangeInclusive<usize> = 1..=16_000;

/// The most that OpenAI takes in one request.
const BATCH_TEXTS: RangeInclusive<usize> = 1..=2048;
const BATCH_TOKENS: RangeInclusive<usize> = 1..=300_000;

const CONCURRENCY: RangeInclusive<usize> = 1..=64;

/// Which server, which model, and how hard to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiSettings {
    /// Where `/embeddings` is appended, for example `https://api.openai.com/v1`.
    pub base_url: Url,
    /// Name of the model, as the server knows it.
    pub model: String,
    /// Length of its vectors, checked on every answer; 1 to 16000.
    pub dimensions: usize,
    /// Texts per request, 1 to 2048.
    pub max_batch_texts: usize,
    /// `cl100k_base` tokens per request, 1 to 300000. A single text with more goes alone.
    pub max_batch_tokens: usize,
    /// Requests in flight, 1 to 64.
    pub concurrency: usize,
    /// How long to wait for what.
    pub timing: OpenAiTiming,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAiTiming {
    /// For a connection.
    pub connect_timeout: Duration,
    /// For a whole answer.
    pub request_timeout: Duration,
    /// Before the first repetition of a failed request; the next ones wait longer.
    pub first_delay: Duration,
    /// No repetition starts later than this after the first attempt. What takes longer is for the caller to wait for.
    pub retry_budget: Duration,
}

impl Default for OpenAiTiming {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(120),
            first_delay: Duration::from_millis(250),
            retry_budget: Duration::from_secs(20),
        }
    }
}

impl OpenAiSettings {
    /// Reads the part of a profile; zeros mean defaults where the contract says so.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, naming the field, when a value is missing or out of range.
    pub fn from_profile(server: &proto::v1::OpenAiCompatible) -> Result<Self> {
        let base_url = Url::parse(&server.base_url).map_err(|error| {
            invalid("base_url", "is not a URL such as \"https://api.openai.com/v1\"").with_source(error)
        })?;
        let settings = Self {
            base_url,
            model: server.model.clone(),
            dimensions: number(server.dimensions, 0),
            max_batch_texts: number(server.max_batch_texts, DEFAULT_BATCH_TEXTS),
            max_batch_tokens: number(server.max_batch_tokens, DEFAULT_BATCH_TOKENS),
            concurrency: number(server.concurrency, DEFAULT_CONCURRENCY),
            timing: OpenAiTiming::default(),
        };
        settings.validate()?;
        Ok(settings)
    }

    pub(super) fn validate(&self) -> Result<()> {
        if !matches!(self.base_url.scheme(), "http" | "https") {
            return Err(invalid("base_url", "must start with http:// or https://"));
        }
        if !self.base_url.username().is_empty() || self.base_url.password().is_some() {
            return Err(invalid(
                "base_url",
                "must not hold credentials; the key belongs into the worker's environment",
            ));
        }
        if self.base_url.query().is_some() || self.base_url.fragment().is_some() {
            return Err(invalid("base_url", "must not have a query or a fragment"));
        }
        if self.model.trim().is_empty() {
            return Err(invalid("model", "is missing"));
        }
        for (field, value, range) in [
            ("dimensions", self.dimensions, DIMENSIONS),
            ("max_batch_texts", self.max_batch_texts, BATCH_TEXTS),
            ("max_batch_tokens", self.max_batch_tokens, BATCH_TOKENS),
            ("concurrency", self.concurrency, CONCURRENCY),
        ] {
            if !range.contains(&value) {
                let limits = format!("is {value} but must be {} to {}", range.start(), range.end());
                return Err(invalid(field, &limits));
            }
        }
        Ok(())
    }

    /// The address that requests go to.
    pub(super) fn endpoint(&self) -> String {
        format!("{}/embeddings", self.base_url.as_str().trim_end_matches('/'))
    }
}

fn number(value: u32, default: u32) -> usize {
    let value = if value == 0 { default } else { value };
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn invalid(field: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("embedder.open_ai.{field} {what}"))
}

#[cfg(test)]
mod tests {
    use proto::v1::OpenAiCompatible;
    use rstest::rstest;

    use super::*;

    fn message() -> OpenAiCompatible {
        OpenAiCompatible {
            base_url: "https://api.openai.com/v1/".to_owned(),
            model: "text-embedding-3-small".to_owned(),
            dimensions: 1536,
            ..Default::default()
        }
    }

    #[test]
    fn zeros_mean_the_defaults() {
        let settings = OpenAiSettings::from_profile(&message()).expect("valid");
        assert_eq!((settings.max_batch_texts, settings.max_batch_tokens, settings.concurrency), (100, 100_000, 4));
        assert_eq!(settings.endpoint(), "https://api.openai.com/v1/embeddings");
    }

    #[rstest]
    #[case::no_url("base_url", |m: &mut OpenAiCompatible| m.base_url.clear())]
    #[case::other_scheme("base_url", |m: &mut OpenAiCompatible| m.base_url = "file:///etc".to_owned())]
    #[case::credentials("base_url", |m: &mut OpenAiCompatible| m.base_url = "https://a:b@host/v1".to_owned())]
    #[case::query("base_url", |m: &mut OpenAiCompatible| m.base_url = "https://host/v1?key=1".to_owned())]
    #[case::no_model("model", |m: &mut OpenAiCompatible| m.model = " ".to_owned())]
    #[case::no_dimensions("dimensions", |m: &mut OpenAiCompatible| m.dimensions = 0)]
    #[case::many_dimensions("dimensions", |m: &mut OpenAiCompatible| m.dimensions = 16_001)]
    #[case::many_texts("max_batch_texts", |m: &mut OpenAiCompatible| m.max_batch_texts = 2049)]
    #[case::many_tokens("max_batch_tokens", |m: &mut OpenAiCompatible| m.max_batch_tokens = 300_001)]
    #[case::much_concurrency("concurrency", |m: &mut OpenAiCompatible| m.concurrency = 65)]
    fn what_is_out_of_range_is_named(#[case] field: &str, #[case] spoil: fn(&mut OpenAiCompatible)) {
        let mut message = message();
        spoil(&mut message);
        let error = OpenAiSettings::from_profile(&message).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(&format!("embedder.open_ai.{field} ")), "{error}");
        assert!(!error.message().contains("a:b"), "credentials leak: {error}");
    }
}
