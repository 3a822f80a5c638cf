//! One request and its answer.

use std::time::SystemTime;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::classify::{self, Refused};
use super::settings::PlatformApiSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::trace_context;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ORGANIZATION: HeaderName = HeaderName::from_static("x-organization-id");

/// Bytes of a refusal that are read.
const REFUSAL_BYTES: usize = 64 * 1024;

/// Whose key opens a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The organisation's.
    Own,
    /// An administrator's.
    Admin,
}

/// The address, the client and the keys.
#[derive(Debug)]
pub(super) struct Wire {
    client: Client,
    base: Url,
    own: Option<HeaderValue>,
    admin: Option<HeaderValue>,
    keys: Vec<SecretString>,
}

impl Wire {
    pub(super) fn new(base: Url, settings: &PlatformApiSettings) -> Result<Self> {
        let client = Client::builder()
            .connect_timeout(settings.timing.connect_timeout)
            .timeout(settings.timing.request_timeout)
            // A redirect would carry the key to a place that nobody named.
            .redirect(Policy::none())
            // A connection that the server closes while it is idle makes it unclear whether a request was seen.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "the client for the platform's API cannot start").with_source(error)
            })?;
        let keys = [&settings.api_key, &settings.admin_api_key];
        Ok(Self {
            client,
            base,
            own: header("PLATFORM_API_KEY", settings.api_key.as_ref())?,
            admin: header("PLATFORM_ADMIN_API_KEY", settings.admin_api_key.as_ref())?,
            keys: keys.into_iter().flatten().cloned().collect(),
        })
    }

    /// The address of a route.
    pub(super) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only an address that cannot be a base has no segments, and the settings refuse those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// A request with a key. The organisation is named except to an administrator's key, which belongs to another one;
    /// without an administrator's key the organisation's own has to do.
    pub(super) fn request(&self, method: Method, url: Url, key: Key, organization_id: Uuid) -> RequestBuilder {
        let request = self.client.request(method, url).headers(trace_context::http_headers());
        let (key, names_organization) = match (key, &self.admin, &self.own) {
            (Key::Admin, Some(admin), _) => (Some(admin), false),
            (_, _, own) => (own.as_ref(), true),
        };
        let request = match key {
            Some(key) => request.header(API_KEY, key.clone()),
            None => request,
        };
        if names_organization { request.header(ORGANIZATION, organization_id.to_string()) } else { request }
    }

    /// Sends a request and reads the answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder, limit: usize) -> Result<T, Refused> {
        let response = request.send().await.map_err(classify::transport)?;
        let status = response.status();
        if !status.is_success() {
            let headers = response.headers().clone();
            // The status says enough when the words cannot be read.
            let body = read(response, REFUSAL_BYTES).await.unwrap_or_default();
            return Err(classify::refusal(status, &headers, &body, &self.secrets(), SystemTime::now()));
        }
        let body = read(response, limit).await?;
        // The cause is left out: it may quote the answer.
        serde_json::from_slice(&body).map_err(|error| {
            classify::unexplained(&format!(
                "is not what was asked for (line {}, column {})",
                error.line(),
                error.column()
            ))
        })
    }

    pub(super) fn secrets(&self) -> Vec<&str> {
        self.keys.iter().map(ExposeSecret::expose_secret).collect()
    }
}

fn header(name: &str, key: Option<&SecretString>) -> Result<Option<HeaderValue>> {
    let Some(key) = key.map(|key| key.expose_secret().trim()).filter(|key| !key.is_empty()) else { return Ok(None) };
    let mut value = HeaderValue::from_str(key)
        .map_err(|_| Error::new(ErrorKind::InvalidInput, format!("{name} has characters that no key has")))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Reads a body, but never more than `limit` bytes of it.
async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Refused> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(classify::transport)? {
        if body.len() + part.len() > limit {
            return Err(classify::unexplained(&format!("is larger than {limit} bytes")));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}
