//! The clock of the database, which decides when fences and reverse windows end.

use chrono::{DateTime, Utc};

use super::Database;
use super::classify::During;
use crate::error::Result;

/// What time it is there.
///
/// # Errors
/// `Unavailable` or `Timeout` when the database does not answer.
pub async fn now(database: &Database) -> Result<DateTime<Utc>> {
    sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(database.pool()).await.during("asking for the time")
}
