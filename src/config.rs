//! Settings by flag or environment variable, in groups that commands pick from.

mod native;
mod platform_api;
mod secret_files;
mod webhook;

pub use native::NativeArgs;
pub use platform_api::PlatformApiArgs;
pub use secret_files::unless_blank;
pub(crate) use secret_files::with_secret_files;
pub use webhook::WebhookArgs;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;
use workflows::TASK_QUEUE;

/// The platform's database, in which this product keeps its own schema.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// Postgres of the platform, such as postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: SecretString,
}

/// How to reach Temporal. What is not given comes from `TEMPORAL_*` variables and `temporal.toml`.
#[derive(Debug, Clone, Args)]
pub struct TemporalArgs {
    /// Task queue of the workers
    #[arg(long, env = "SYNCMUX_TASK_QUEUE", default_value = TASK_QUEUE, value_name = "NAME")]
    pub task_queue: String,
    /// Host and port of a server without TLS; overrides Temporal's own configuration
    #[arg(long, value_name = "HOST:PORT")]
    pub temporal_address: Option<String>,
    /// Profile in temporal.toml
    #[arg(long, env = "TEMPORAL_PROFILE", value_name = "NAME")]
    pub temporal_profile: Option<String>,
}

/// The raw store.
#[derive(Debug, Clone, Args)]
pub struct StoreArgs {
    /// Raw store: file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix
    #[arg(long = "store", env = "ARF_STORE_URL", value_name = "URL")]
    pub store_url: String,
}

/// The tenant a command works for.
#[derive(Debug, Clone, Args)]
pub struct TenantArgs {
    /// Organisation the sync belongs to
    #[arg(long, env = "SYNCMUX_ORGANIZATION_ID", value_name = "UUID")]
    pub organization: String,
}

/// What a worker needs beyond the database and the raw store.
#[derive(Debug, Clone, Args)]
pub struct WorkerArgs {
    /// The platform's Fernet key, to read the credentials of connections
    #[arg(long, env = "ENCRYPTION_KEY", hide_env_values = true, value_name = "KEY")]
    pub encryption_key: Option<SecretString>,
    /// The destinations the platform brings.
    #[command(flatten)]
    pub native: NativeArgs,
    /// Folder of the local embedding model
    #[arg(long, env = "SYNCMUX_MODEL_DIR", value_name = "DIR")]
    pub model_dir: Option<PathBuf>,
    /// Key for the embeddings server of profiles that name one
    #[arg(long, env = "SYNCMUX_EMBEDDINGS_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub embeddings_api_key: Option<SecretString>,
    /// The platform's API.
    #[command(flatten)]
    pub platform_api: PlatformApiArgs,
    /// The receiver of webhooks.
    #[command(flatten)]
    pub webhook: WebhookArgs,
    /// Address that answers /metrics, /livez and /readyz, such as 127.0.0.1:9464; without it nothing listens
    #[arg(long, env = "SYNCMUX_METRICS_ADDRESS", value_name = "HOST:PORT")]
    pub metrics_address: Option<SocketAddr>,
    /// Activities run at a time by this process
    #[arg(long, env = "SYNCMUX_ACTIVITY_SLOTS", default_value_t = 16, value_name = "N")]
    pub activity_slots: usize,
    /// Database connections of this process; a lane keeps one while it writes a batch, and others come and go beside it
    #[arg(long, env = "SYNCMUX_DATABASE_CONNECTIONS", default_value_t = 32, value_name = "N")]
    pub database_connections: u32,
    /// Seconds that running activities get to stop at shutdown
    #[arg(long, env = "SYNCMUX_GRACE_SECONDS", default_value_t = 10, value_name = "SECONDS")]
    pub grace_seconds: u64,
}
