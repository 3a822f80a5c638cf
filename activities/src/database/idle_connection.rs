//! Whether a connection that waited in a pool may be used: it is alive, and nobody left a transaction open in it.
//!
//! A step that is interrupted is dropped wherever it is, also while it waits for `BEGIN`. sqlx 0.9.0 counts a transaction
//! only when the answer is there, so then nothing ends the one that the server began: the connection goes back to the pool,
//! and what the next user takes for a statement of its own stays uncommitted, with its locks, until somebody else happens
//! to commit. Such a connection is closed instead.

use futures::future::BoxFuture;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::{PgConnection, Row};

/// For `PoolOptions::before_acquire`; takes the place of the pool's own ping.
pub(crate) fn is_usable(
    connection: &mut PgConnection,
    _: PoolConnectionMetadata,
) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    Box::pin(async move {
        // Outside a transaction a statement begins the one it runs in, at the same instant. Not prepared: then the transaction
        // begins with the binding and the statement with the execution, which are never the same instant.
        let row = sqlx::raw_sql("SELECT transaction_timestamp() = statement_timestamp()").fetch_one(connection).await?;
        row.try_get(0)
    })
}
