//! The pool of connections.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};

use super::classify::During;
use super::idle_connection;
use crate::error::{Error, ErrorKind, Result};

/// How long to wait for a connection of the pool before the call fails with `Timeout`.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// The database, as a pool of connections. Cheap to clone; clones share the pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
}

impl Database {
    /// Connects, and so proves that the address and the credentials in `url` are right.
    ///
    /// `max_connections` bounds this process. A stream read from the ledger or a plan being made holds one for as long
    /// as it lasts.
    ///
    /// # Errors
    /// `InvalidInput` for an unusable URL, `DestinationDenied` when the server refuses the credentials, `Unavailable` or
    /// `Timeout` when it cannot be reached.
    pub async fn connect(url: &SecretString, max_connections: u32) -> Result<Self> {
        let options = parse(url.expose_secret()).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "the database URL is not one: write postgres://user:password@host:port/database",
            )
        })?;
        if max_connections == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "the database pool needs at least one connection"));
        }
        let options = options.application_name("sync-multiplexer");
        // One connection beside the pool, for a clear answer at once: the pool takes a refused connection for a server
        // that is starting, and tries until its own time is up.
        let first = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options))
            .await
            .map_err(|_| Error::new(ErrorKind::Timeout, "the database did not answer in time while connecting"))?
            .during("connecting")?;
        first.close().await.during("connecting")?;
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(idle_connection::is_usable)
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// The pool itself, for what has SQL of its own: the pgvector destination, the health check.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// The options in a URL of one of the two schemes Postgres knows; the parser would take any other as well. Its error is
/// dropped, because it may quote the URL, and so the password.
fn parse(url: &str) -> Option<PgConnectOptions> {
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    if known { PgConnectOptions::from_str(url).ok() } else { None }
}
