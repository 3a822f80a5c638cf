//! A listing of the raw store, put into a temporary table so that SQL can compare it with what is recorded.
//!
//! Memory does not grow with the listing. A listing that fails half-way is that failure, never a short list: the
//! transaction ends and the temporary table goes with it.

use std::ops::{Deref, DerefMut};

use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use super::Database;
use super::binary_copy::BinaryRows;
use super::classify::During;
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::ListedObject;

/// Bytes gathered before they are sent.
const FLUSH_BYTES: usize = 64 * 1024;

/// Upper bound for a key or a token, in bytes: the longest key an object store allows is 1,024, the longest file name 255.
const MAX_TEXT_BYTES: usize = 4096;

/// A connection to stage on. Should the caller go away in the middle of a `COPY`, it is closed, so that no later user of the
/// pool finds the remains; [kept](Self::keep) it goes back to the pool, which spares the next staging a new session.
pub(super) struct StagingConnection {
    connection: PoolConnection<Postgres>,
    is_clean: bool,
}

impl StagingConnection {
    pub(super) async fn acquire(database: &Database) -> Result<Self> {
        let connection = database.pool().acquire().await.during("connecting to stage a listing")?;
        Ok(Self { connection, is_clean: false })
    }

    /// Gives it back for others to use. The transaction on it has ended.
    pub(super) fn keep(mut self) {
        self.is_clean = true;
    }
}

impl Deref for StagingConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for StagingConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for StagingConnection {
    fn drop(&mut self) {
        if !self.is_clean {
            self.connection.close_on_drop();
        }
    }
}

/// Fills `pg_temp.listing (object_key, size, token, modified_ms)`, one row per key, for the rest of the transaction.
///
/// Overlapping pages may list a key twice; the later line is the newer knowledge and wins.
pub(super) async fn stage(connection: &mut PgConnection, listing: BoxStream<'_, Result<ListedObject>>) -> Result<()> {
    execute(
        connection,
        "CREATE TEMPORARY TABLE listed_line (
             line bigint NOT NULL, object_key text COLLATE \"C\" NOT NULL, size bigint NOT NULL, token text NOT NULL,
             modified_ms bigint NOT NULL
         ) ON COMMIT DROP",
    )
    .await?;
    copy(connection, listing).await?;
    execute(
        connection,
        "CREATE TEMPORARY TABLE listing (
             object_key text COLLATE \"C\" PRIMARY KEY, size bigint NOT NULL, token text NOT NULL, modified_ms bigint NOT NULL
         ) ON COMMIT DROP",
    )
    .await?;
    execute(
        connection,
        "INSERT INTO pg_temp.listing (object_key, size, token, modified_ms)
         SELECT DISTINCT ON (object_key) object_key, size, token, modified_ms
         FROM pg_temp.listed_line
         ORDER BY object_key, line DESC",
    )
    .await?;
    execute(connection, "DROP TABLE pg_temp.listed_line").await?;
    // Temporary tables are not analysed by themselves, and the joins to come are large.
    execute(connection, "ANALYZE pg_temp.listing").await
}

async fn copy(connection: &mut PgConnection, mut listing: BoxStream<'_, Result<ListedObject>>) -> Result<()> {
    let mut copy = connection
        .copy_in_raw("COPY pg_temp.listed_line (line, object_key, size, token, modified_ms) FROM STDIN (FORMAT binary)")
        .await
        .during("staging the listing")?;
    let mut rows = BinaryRows::new();
    let mut line: i64 = 0;
    while let Some(listed) = listing.next().await {
        let encoded = listed.and_then(|object| encode(&mut rows, line, &object));
        if let Err(error) = encoded {
            // The listing's own error is the one to report, whatever becomes of the COPY.
            drop(copy.abort("the listing failed").await);
            return Err(error);
        }
        line += 1;
        if rows.len() >= FLUSH_BYTES {
            copy.send(rows.as_slice()).await.during("staging the listing")?;
            rows.clear();
        }
    }
    rows.end();
    copy.send(rows.as_slice()).await.during("staging the listing")?;
    copy.finish().await.during("staging the listing")?;
    Ok(())
}

fn encode(rows: &mut BinaryRows, line: i64, object: &ListedObject) -> Result<()> {
    let invalid = |what: &str| {
        let key: String = object.key.chars().take(100).collect();
        Error::new(ErrorKind::RawStoreInvalid, format!("the raw store lists {key:?} with {what}"))
    };
    for text in [&object.key, &object.token] {
        if text.len() > MAX_TEXT_BYTES || text.contains('\0') {
            return Err(invalid("a name or token that is too long or holds a NUL character"));
        }
    }
    let size = i64::try_from(object.size).map_err(|_| invalid("an impossible size"))?;
    rows.row(5).bigint(line).text(&object.key).bigint(size).text(&object.token).bigint(object.modified_ms);
    Ok(())
}

/// Runs a statement on a temporary table. Not kept prepared: the table is another one in the next transaction.
pub(super) async fn execute(connection: &mut PgConnection, statement: &'static str) -> Result<()> {
    sqlx::query(statement).persistent(false).execute(connection).await.during("staging the listing")?;
    Ok(())
}
