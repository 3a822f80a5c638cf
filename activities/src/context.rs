//! What every activity of a worker process shares: connections, keys, opened models.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use proto::v1::Embedder as EmbedderProfile;
use secrecy::SecretString;
use tokio::sync::Mutex;

use crate::connections::{Connections, NativeDestinations};
use crate::database::Database;
use crate::drain::Drain;
use crate::embedding::{Embedder, EmbedderResources, EmbedderSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::platform_api::{PlatformApi, PlatformApiSettings};
use crate::raw_store::RawStore;
use crate::throttle::Throttle;

/// What a worker process is configured with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The platform's database.
    pub database_url: SecretString,
    /// Connections to it.
    pub database_connections: u32,
    /// The raw store.
    pub store_url: String,
    /// The platform's Fernet key, when connections have credentials.
    pub encryption_key: Option<SecretString>,
    /// Where the destinations are that the platform brings itself.
    pub native: NativeDestinations,
    /// Folder of the local embedding model, when profiles use it.
    pub model_dir: Option<PathBuf>,
    /// Key of the embeddings server, when profiles name one that wants a key.
    pub embeddings_api_key: Option<SecretString>,
    /// The platform's API, when syncs are resynced.
    pub platform_api: PlatformApiSettings,
}

/// The shared resources of a worker process.
pub(crate) struct Context {
    pub(crate) database: Database,
    pub(crate) store: RawStore,
    pub(crate) connections: Connections,
    pub(crate) throttle: Throttle,
    pub(crate) drain: Drain,
    platform_api: Option<PlatformApi>,
    resources: EmbedderResources,
    /// Opened once per process and settings: a table takes megabytes, a server has a limit of requests in flight.
    embedders: Mutex<HashMap<String, Arc<dyn Embedder>>>,
}

impl Context {
    /// Connects to the database and opens the raw store.
    ///
    /// # Errors
    ///
    /// What is not reachable, with the kind that says who acts; `Conflict` when the schema is not up to date.
    pub(crate) async fn connect(settings: Settings) -> Result<Self> {
        let database = Database::connect(&settings.database_url, settings.database_connections).await?;
        let schema = database.migration_status().await?;
        if !schema.is_current() {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the database schema is not up to date; run `syncmux migrate` first",
            ));
        }
        Ok(Self {
            throttle: Throttle::new(database.clone()),
            database,
            store: RawStore::open(&settings.store_url)?,
            connections: Connections::new(settings.database_url, settings.encryption_key.as_ref(), settings.native)?,
            drain: Drain::default(),
            platform_api: PlatformApi::new(&settings.platform_api)?,
            resources: EmbedderResources { model_dir: settings.model_dir, open_ai_key: settings.embeddings_api_key },
            embedders: Mutex::default(),
        })
    }

    /// The platform's API.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when this worker does not know where it is.
    pub(crate) fn platform_api(&self) -> Result<&PlatformApi> {
        self.platform_api.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "this worker does not know the platform's API: set PLATFORM_API_URL, and PLATFORM_API_KEY when it \
                 wants a key",
            )
        })
    }

    /// The embedder of a profile, opened on first use.
    pub(crate) async fn embedder(&self, profile: Option<&EmbedderProfile>) -> Result<Arc<dyn Embedder>> {
        let settings = EmbedderSettings::from_profile(profile)?;
        let key = format!("{settings:?}");
        let mut embedders = self.embedders.lock().await;
        if let Some(embedder) = embedders.get(&key) {
            return Ok(Arc::clone(embedder));
        }
        let embedder = settings.open(&self.resources).await?;
        embedders.insert(key, Arc::clone(&embedder));
        Ok(embedder)
    }
}
