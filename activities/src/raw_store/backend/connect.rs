//! Clients of the three clouds, set up from the environment.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};

use crate::error::{Error, ErrorKind, Result};

/// Names an S3 server other than Amazon's; goes before `AWS_ENDPOINT_URL`.
const S3_ENDPOINT_VARIABLE: &str = "SYNCMUX_S3_ENDPOINT";

/// Limits of a single request. A body that takes longer is continued from where it stopped.
const LIMITS: [(ClientConfigKey, &str); 3] = [
    (ClientConfigKey::ConnectTimeout, "5 seconds"),
    (ClientConfigKey::ReadTimeout, "20 seconds"),
    (ClientConfigKey::Timeout, "120 seconds"),
];

/// An S3 bucket.
pub(in crate::raw_store) fn s3(bucket: &str) -> Result<Arc<dyn ObjectStore>> {
    let endpoint = std::env::var(S3_ENDPOINT_VARIABLE).ok().filter(|endpoint| !endpoint.is_empty());
    s3_client(AmazonS3Builder::from_env().with_retry(retry()), bucket, endpoint)
}

/// An S3 bucket with the settings of `builder`.
pub(in crate::raw_store) fn s3_client(
    builder: AmazonS3Builder,
    bucket: &str,
    endpoint: Option<String>,
) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = builder.with_bucket_name(bucket);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    // Whoever writes http:// means it: no second switch.
    if builder.get_config_value(&AmazonS3ConfigKey::Endpoint).is_some_and(|url| url.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    for (key, value) in LIMITS {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    Ok(Arc::new(builder.build().map_err(|error| misconfigured("S3 (AWS_* variables)", error))?))
}

/// A bucket of Google Cloud Storage.
pub(in crate::raw_store) fn gcs(bucket: &str) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry());
    for (key, value) in LIMITS {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    Ok(Arc::new(builder.build().map_err(|error| misconfigured("Google Cloud Storage (GOOGLE_* variables)", error))?))
}

/// A container of Azure Blob Storage.
pub(in crate::raw_store) fn azure(container: &str) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(retry());
    for (key, value) in LIMITS {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    Ok(Arc::new(builder.build().map_err(|error| misconfigured("Azure Blob Storage (AZURE_* variables)", error))?))
}

/// Retries of one request end within 30 seconds; after that the activity is retried as a whole.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(25),
    }
}

fn misconfigured(what: &str, error: object_store::Error) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("cannot set up the client of {what}: a setting is missing or malformed"),
    )
    .with_source(error)
}
