//! What `syncmux api` is configured with.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;
use workflows::domain::ErrorKind;

use super::limits::Limits;
use super::profiles::Profiles;
use crate::config::{DatabaseArgs, TemporalArgs, unless_blank};
use crate::output::Failure;
use crate::profile_file;

/// Shortest internal token, in bytes: it opens every organisation.
const MIN_TOKEN_BYTES: usize = 16;

/// What the API is configured with.
#[derive(Debug, Clone, Args)]
pub struct ApiSettings {
    /// The platform's database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Temporal.
    #[command(flatten)]
    pub temporal: TemporalArgs,
    /// Where to listen; port 0 is any that is free
    #[arg(long, env = "SYNCMUX_API_ADDRESS", default_value = "127.0.0.1:8086", value_name = "ADDRESS:PORT")]
    pub address: SocketAddr,
    /// The platform's Fernet key, to read its API keys
    #[arg(long, env = "ENCRYPTION_KEY", hide_env_values = true, value_name = "KEY")]
    pub encryption_key: Option<SecretString>,
    /// Bearer token of the platform's backend, which names the organisation; better set by the environment than here
    #[arg(long, env = "SYNCMUX_INTERNAL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub internal_token: Option<SecretString>,
    /// Profile of forks whose request has none: a .json or .toml file
    #[arg(long, env = "SYNCMUX_DEFAULT_PROFILE", value_name = "FILE")]
    pub default_profile: Option<PathBuf>,
    /// Embeddings servers that the profile of a request may name, separated by commas. The key of the workers is sent there,
    /// so callers with an API key may name no others
    #[arg(long, env = "SYNCMUX_API_EMBEDDINGS_URLS", value_delimiter = ',', value_name = "URL")]
    pub embeddings_urls: Vec<String>,
    /// Seconds that a request which begins an operation waits for an early end of it, up to 20
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=20))]
    pub answer_wait_seconds: u64,
    /// Requests a second and caller, in the long run
    #[arg(long, default_value = "20", value_name = "N")]
    pub requests_per_second: NonZeroU32,
    /// Requests of a caller at once
    #[arg(long, default_value = "100", value_name = "N")]
    pub request_burst: NonZeroU32,
    /// Requests served at a time, by all callers
    #[arg(long, default_value = "256", value_name = "N")]
    pub concurrent_requests: NonZeroUsize,
    /// Requests that wait for an operation or watch it, at a time
    #[arg(long, default_value = "128", value_name = "N")]
    pub watchers: NonZeroUsize,
    /// Database connections of this process
    #[arg(long, env = "SYNCMUX_API_DATABASE_CONNECTIONS", default_value_t = 8, value_name = "N")]
    pub database_connections: u32,
}

impl ApiSettings {
    pub(super) fn internal_token(&self) -> Result<Option<SecretString>, Failure> {
        use secrecy::ExposeSecret as _;
        let token = unless_blank(self.internal_token.as_ref());
        if token.as_ref().is_some_and(|token| token.expose_secret().len() < MIN_TOKEN_BYTES) {
            return Err(invalid(format!(
                "SYNCMUX_INTERNAL_TOKEN has fewer than {MIN_TOKEN_BYTES} characters; it opens every organisation, so make a \
                 long random one"
            )));
        }
        if token.is_none() && self.encryption_key.is_none() {
            return Err(invalid(
                "nobody could get in: set ENCRYPTION_KEY, so that the platform's API keys can be read, or \
                 SYNCMUX_INTERNAL_TOKEN"
                    .to_owned(),
            ));
        }
        Ok(token)
    }

    pub(super) fn profiles(&self) -> Result<Profiles, Failure> {
        let default = self.default_profile.as_deref().map(profile_file::read).transpose()?;
        Profiles::new(default, self.embeddings_urls.clone())
    }

    pub(super) fn limits(&self) -> Limits {
        Limits::new(self.requests_per_second, self.request_burst, self.concurrent_requests.get(), self.watchers.get())
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(ErrorKind::InvalidInput, message)
}
