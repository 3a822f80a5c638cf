//! One request and its answer. An answer counts only after every part of it was checked.

use std::time::SystemTime;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::classify::{self, Failure};
use super::settings::OpenAiSettings;
use crate::embedding::outcome::checked;
use crate::embedding::{EmbedFailure, EmbedOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::trace_context;

/// Bytes of an answer besides its numbers.
const ENVELOPE_BYTES: usize = 64 * 1024;

/// Bytes of one number in JSON, with generous white space.
const NUMBER_BYTES: usize = 64;

/// The address, and the client that carries the key.
#[derive(Debug)]
pub(super) struct Wire {
    client: Client,
    endpoint: String,
    model: String,
    dimensions: usize,
}

/// What the server says to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// One outcome per text, in the order of the texts.
    Vectors(Vec<EmbedOutcome>),
    /// This content is not taken; the status.
    Refused(u16),
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [&'a str],
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Body {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    /// Some servers answer null for what they could not compute: a value or the whole vector.
    embedding: Option<Vec<Option<f32>>>,
}

impl Wire {
    pub(super) fn new(settings: &OpenAiSettings, key: Option<&SecretString>) -> Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).map_err(|_| {
                Error::new(ErrorKind::InvalidInput, "the key of the embedding server has characters that no key has")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = Client::builder()
            .default_headers(headers)
            .connect_timeout(settings.timing.connect_timeout)
            .timeout(settings.timing.request_timeout)
            // A redirect would carry texts to a place that nobody named.
            .redirect(Policy::none())
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "the client for the embedding server cannot start").with_source(error)
            })?;
        Ok(Self {
            client,
            endpoint: settings.endpoint(),
            model: settings.model.clone(),
            dimensions: settings.dimensions,
        })
    }

    /// Sends one request.
    pub(super) async fn embed(&self, input: &[&str]) -> Result<Answer> {
        let request = Request { model: &self.model, input, encoding_format: "float" };
        let response = self
            .client
            .post(&self.endpoint)
            .headers(trace_context::http_headers())
            .json(&request)
            .send()
            .await
            .map_err(classify::transport)?;
        if !response.status().is_success() {
            return match classify::status(response.status(), response.headers(), SystemTime::now()) {
                Failure::Refused(status) => Ok(Answer::Refused(status)),
                Failure::Request(error) => Err(error),
            };
        }
        let limit = ENVELOPE_BYTES + input.len() * self.dimensions * NUMBER_BYTES;
        let body = read(response, limit).await?;
        self.vectors(&body, input.len()).map(Answer::Vectors)
    }

    fn vectors(&self, body: &[u8], texts: usize) -> Result<Vec<EmbedOutcome>> {
        // The cause is left out: it may quote the answer.
        let body: Body = serde_json::from_slice(body).map_err(|error| {
            unexplained(&format!("is not the JSON of embeddings (line {}, column {})", error.line(), error.column()))
        })?;
        if body.data.len() != texts {
            return Err(unexplained(&format!("has {} vectors for {texts} texts", body.data.len())));
        }
        let mut outcomes: Vec<Option<EmbedOutcome>> = vec![None; texts];
        for item in body.data {
            let Some(place) = outcomes.get_mut(item.index) else {
                return Err(unexplained(&format!("has index {} for {texts} texts", item.index)));
            };
            if place.is_some() {
                return Err(unexplained(&format!("has index {} twice", item.index)));
            }
            *place = Some(match item.embedding {
                None => Err(EmbedFailure::NotFinite),
                Some(values) if values.len() == self.dimensions => {
                    let vector: Option<Vec<f32>> = values.into_iter().collect();
                    vector.ok_or(EmbedFailure::NotFinite).and_then(checked)
                }
                Some(values) => {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        format!(
                            "the embedding server answers with {} dimensions but embedder.open_ai.dimensions is {}",
                            values.len(),
                            self.dimensions
                        ),
                    ));
                }
            });
        }
        outcomes.into_iter().collect::<Option<Vec<_>>>().ok_or_else(|| unexplained("leaves an index out"))
    }
}

/// Reads a body, but never more than `limit` bytes of it.
async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(classify::transport)? {
        if body.len() + part.len() > limit {
            return Err(unexplained(&format!("is larger than {limit} bytes")));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn unexplained(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the answer of the embedding server {what}"))
}
