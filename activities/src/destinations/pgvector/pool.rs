//! Connections, shared by every slot that lives on the same server.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, PgPool};

use super::classify::classify;
use crate::database::idle_connection;
use crate::error::{Error, ErrorKind, Result};

/// What every session starts with.
///
/// * Limits, so that a lock or a lost client costs a retry and not a hung activity; building indexes raises its own.
/// * Custom plans: a table is small when its statements are first prepared and may be huge minutes later.
/// * No JIT: compiling takes longer than any statement here.
const SESSION: &str = "SET statement_timeout = '60s'; SET lock_timeout = '30s'; \
     SET idle_in_transaction_session_timeout = '5min'; SET plan_cache_mode = force_custom_plan; SET jit = off";

/// How much of a server one worker process may use.
#[derive(Debug, Clone, Copy)]
pub struct PoolLimits {
    /// Connections to one server.
    pub max_connections: u32,
    /// How long to wait for one, which includes waiting for a server that is starting.
    pub acquire_timeout: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { max_connections: 8, acquire_timeout: Duration::from_secs(10) }
    }
}

/// One pool per connection URL. A worker process keeps one of these.
#[derive(Debug, Default)]
pub struct PgvectorPools {
    limits: PoolLimits,
    /// By digest of the URL, so that credentials are not kept a second time.
    open: Mutex<HashMap<[u8; 32], PgPool>>,
}

impl PgvectorPools {
    /// No pools yet; each will keep to `limits`.
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        Self { limits, open: Mutex::default() }
    }

    /// The pool for `url`. Connects when first used, so a server that is away shows then.
    ///
    /// # Errors
    /// `InvalidInput` when `url` is not a Postgres URL.
    pub fn get(&self, url: &SecretString) -> Result<PgPool> {
        let key: [u8; 32] = Sha256::digest(url.expose_secret().as_bytes()).into();
        // Nothing panics while the map is changed, so a poisoned one is still whole.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = open.get(&key).filter(|pool| !pool.is_closed()) {
            return Ok(pool.clone());
        }
        let pool = connect_lazily(url, self.limits)?;
        open.insert(key, pool.clone());
        Ok(pool)
    }
}

fn connect_lazily(url: &SecretString, limits: PoolLimits) -> Result<PgPool> {
    let url = url.expose_secret();
    // The driver itself takes any scheme.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        let problem = "the connection URL of pgvector must begin with postgres:// or postgresql://";
        return Err(Error::new(ErrorKind::InvalidInput, problem));
    }
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| classify("connect", error))?
        .application_name("sync-multiplexer")
        .disable_statement_logging();
    Ok(PgPoolOptions::new()
        .max_connections(limits.max_connections)
        .acquire_timeout(limits.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(idle_connection::is_usable)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(SESSION).await.map(drop) }))
        .connect_lazy_with(options))
}
