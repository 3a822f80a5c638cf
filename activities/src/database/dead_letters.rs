//! Entities that could not be carried over, each with the reason.
//!
//! Written by `super::segments::checkpoint`; a letter goes when its object is accepted or deleted later, or is not listed any
//! more.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::classify::During;
use super::segments::BatchRecord;
use super::text_enum::text_enum;
use super::{Database, SlotScope};
use crate::error::{Error, ErrorKind, Result};

/// Longest message kept, in characters.
const MAX_MESSAGE_CHARS: usize = 2000;

text_enum! {
    /// The step of a replay that gave up on an entity.
    pub enum Stage {
        /// The object could not be read.
        Read = "read",
        /// It is not an entity.
        Decode = "decode",
        /// Its text could not be built.
        Text = "text",
        /// The text could not be cut into chunks.
        Chunk = "chunk",
        /// A chunk could not be embedded.
        Embed = "embed",
        /// The destination rejected it.
        Write = "write",
    }
}

/// An entity to record as not carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeadLetter {
    /// Key of the object in the raw store.
    pub object_key: String,
    /// Empty when the object could not be decoded far enough to know.
    pub entity_id: String,
    /// The step that gave up.
    pub stage: Stage,
    /// Kind of the failure.
    pub kind: ErrorKind,
    /// What went wrong. No document text.
    pub message: String,
    /// Version of the object that failed.
    pub token: String,
}

/// A recorded dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was recorded last.
    pub letter: NewDeadLetter,
    /// How often the object failed in this slot.
    pub attempts: u32,
    /// When it failed first.
    pub first_seen: DateTime<Utc>,
    /// When it failed last.
    pub last_seen: DateTime<Utc>,
}

/// The slot's dead letters in byte order of the object key, at most `limit`.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn list(database: &Database, scope: &SlotScope, limit: u32) -> Result<Vec<DeadLetter>> {
    page(database, scope, None, limit).await
}

/// [`list`], from behind one object key on.
///
/// # Errors
/// As [`list`].
pub async fn page(database: &Database, scope: &SlotScope, after: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        object_key: String,
        entity_id: String,
        stage: Stage,
        kind: String,
        message: String,
        token: String,
        #[sqlx(try_from = "i32")]
        attempts: u32,
        first_seen: DateTime<Utc>,
        last_seen: DateTime<Utc>,
    }
    let mut connection = database.pool().acquire().await.during("reading the dead letters")?;
    scope.require(&mut connection).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT object_key, entity_id, stage, kind, message, token, attempts, first_seen, last_seen
         FROM sync_multiplexer.dead_letter
         WHERE slot_id = $1 AND organization_id = $2 AND ($4::text IS NULL OR object_key > $4)
         ORDER BY object_key
         LIMIT $3",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(i64::from(limit))
    .bind(after)
    .fetch_all(&mut *connection)
    .await
    .during("reading the dead letters")?;
    rows.into_iter()
        .map(|row| {
            let kind = row.kind.parse().map_err(|_| {
                Error::new(ErrorKind::Internal, "a dead letter is of a kind this release does not know")
            })?;
            Ok(DeadLetter {
                letter: NewDeadLetter {
                    object_key: row.object_key,
                    entity_id: row.entity_id,
                    stage: row.stage,
                    kind,
                    message: row.message,
                    token: row.token,
                },
                attempts: row.attempts,
                first_seen: row.first_seen,
                last_seen: row.last_seen,
            })
        })
        .collect()
}

/// How many dead letters the slot has.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn count(database: &Database, scope: &SlotScope) -> Result<u64> {
    let mut connection = database.pool().acquire().await.during("counting the dead letters")?;
    scope.require(&mut connection).await?;
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sync_multiplexer.dead_letter WHERE slot_id = $1 AND organization_id = $2",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .fetch_one(&mut *connection)
    .await
    .during("counting the dead letters")?;
    Ok(count.unsigned_abs())
}

/// Records letters; one that is there already counts another attempt and keeps its first time.
pub(super) async fn upsert(connection: &mut PgConnection, scope: &SlotScope, letters: &[NewDeadLetter]) -> Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO sync_multiplexer.dead_letter
             (slot_id, sync_id, organization_id, object_key, entity_id, stage, kind, message, token)
         SELECT $1, $2, $3, object_key, entity_id, stage, kind, message, token
         FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
              AS row (object_key, entity_id, stage, kind, message, token)
         ON CONFLICT (slot_id, object_key) DO UPDATE
         SET entity_id = excluded.entity_id, stage = excluded.stage, kind = excluded.kind, message = excluded.message,
             token = excluded.token, attempts = dead_letter.attempts + 1, last_seen = now()",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(letters.iter().map(|letter| letter.object_key.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| storable(&letter.entity_id)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.stage.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.kind.name()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| storable(&letter.message)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.token.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .during("writing the dead letters")?;
    Ok(())
}

/// Removes the letters of objects that were accepted or deleted.
pub(super) async fn forget(connection: &mut PgConnection, scope: &SlotScope, batch: &BatchRecord) -> Result<()> {
    let accepted = batch.accepted.iter().map(|entry| entry.object_key.as_str());
    let keys: Vec<&str> = accepted.chain(batch.deleted.iter().map(String::as_str)).collect();
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM sync_multiplexer.dead_letter
         WHERE slot_id = $1 AND organization_id = $2 AND object_key = ANY ($3::text[])",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(keys)
    .execute(connection)
    .await
    .during("removing dead letters")?;
    Ok(())
}

/// Removes the letters of objects that the listing, staged in `pg_temp.listing`, no longer has.
pub(super) async fn forget_unlisted(connection: &mut PgConnection, scope: &SlotScope) -> Result<()> {
    sqlx::query(
        "DELETE FROM sync_multiplexer.dead_letter
         WHERE slot_id = $1 AND organization_id = $2
           AND NOT EXISTS (SELECT FROM pg_temp.listing WHERE listing.object_key = dead_letter.object_key)",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .persistent(false)
    .execute(connection)
    .await
    .during("removing dead letters")?;
    Ok(())
}

/// A text as Postgres can hold it: without NUL characters, and of bounded length. An entity may be a dead letter because
/// of exactly such a character, and must be recordable nevertheless.
fn storable(text: &str) -> String {
    text.chars().take(MAX_MESSAGE_CHARS).map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
