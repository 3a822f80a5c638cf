//! Idempotency keys: the operation and the answer of a request that may be sent again.
//!
//! One statement claims a key, so of two requests with the same key one wins. Whoever claims works under a lease: when the
//! process dies, the repetition takes over after it, with the operation that was chosen first.

use std::time::Duration;

use uuid::Uuid;

use super::Database;
use super::classify::During;
use crate::error::Result;

/// How long a key is remembered.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a request may be worked on before somebody else may take over.
pub const LEASE: Duration = Duration::from_secs(60);

/// Expired keys removed along with a claim.
const SWEPT: i64 = 20;

/// A request that carries a key.
#[derive(Debug, Clone)]
pub struct KeyedRequest {
    /// The tenant.
    pub organization_id: Uuid,
    /// The key, 1 to 255 bytes.
    pub key: String,
    /// SHA-256 over what was asked for.
    pub request_hash: [u8; 32],
}

/// An answer to give again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its content type.
    pub content_type: String,
    /// Its header `Location`.
    pub location: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What a key means for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The request is this caller's to work on, as this operation.
    Yours {
        /// Proves the claim in [`answer`] and [`give_up`].
        claim: Uuid,
        /// The operation to begin.
        operation_id: Uuid,
    },
    /// It was answered already.
    Answered(Answer),
    /// Somebody works on it.
    InProgress,
    /// The key came with another request before.
    OfAnotherRequest,
}

/// Claims a key for a request.
///
/// # Errors
/// Those of the database.
pub async fn claim(database: &Database, request: &KeyedRequest) -> Result<Claim> {
    const DOING: &str = "looking at an idempotency key";
    #[derive(sqlx::FromRow)]
    struct Row {
        is_same: bool,
        claim: Uuid,
        operation_id: Uuid,
        status: Option<i16>,
        content_type: Option<String>,
        location: Option<String>,
        body: Option<Vec<u8>>,
    }
    let claim = Uuid::new_v4();
    let mut transaction = database.pool().begin().await.during(DOING)?;
    // A row that is there is locked by the update, also when nothing of it changes: what is read is what the winner wrote.
    let row: Row = sqlx::query_as(
        "INSERT INTO sync_multiplexer.idempotency_key AS known
             (organization_id, key, request_hash, operation_id, claim, claimed_until, expires_at)
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), now() + make_interval(secs => $7))
         ON CONFLICT (organization_id, key) DO UPDATE
         SET request_hash = CASE WHEN known.expires_at <= now() THEN excluded.request_hash ELSE known.request_hash END,
             operation_id = CASE WHEN known.expires_at <= now() THEN excluded.operation_id ELSE known.operation_id END,
             status = CASE WHEN known.expires_at <= now() THEN NULL ELSE known.status END,
             content_type = CASE WHEN known.expires_at <= now() THEN NULL ELSE known.content_type END,
             location = CASE WHEN known.expires_at <= now() THEN NULL ELSE known.location END,
             body = CASE WHEN known.expires_at <= now() THEN NULL ELSE known.body END,
             claim = CASE WHEN known.expires_at <= now()
                            OR known.status IS NULL AND known.claimed_until <= now()
                               AND known.request_hash = excluded.request_hash
                          THEN excluded.claim ELSE known.claim END,
             claimed_until = CASE WHEN known.expires_at <= now()
                                    OR known.status IS NULL AND known.claimed_until <= now()
                                       AND known.request_hash = excluded.request_hash
                                  THEN excluded.claimed_until ELSE known.claimed_until END,
             expires_at = CASE WHEN known.expires_at <= now() THEN excluded.expires_at ELSE known.expires_at END
         RETURNING known.request_hash = $3 AS is_same, known.claim, known.operation_id, known.status,
                   known.content_type, known.location, known.body",
    )
    .bind(request.organization_id)
    .bind(&request.key)
    .bind(request.request_hash.as_slice())
    .bind(Uuid::now_v7())
    .bind(claim)
    .bind(LEASE.as_secs_f64())
    .bind(KEPT.as_secs_f64())
    .fetch_one(&mut *transaction)
    .await
    .during(DOING)?;
    sqlx::query(
        "DELETE FROM sync_multiplexer.idempotency_key
         WHERE (organization_id, key) IN (
             SELECT organization_id, key FROM sync_multiplexer.idempotency_key
             WHERE expires_at <= now() LIMIT $1 FOR UPDATE SKIP LOCKED)",
    )
    .bind(SWEPT)
    .execute(&mut *transaction)
    .await
    .during(DOING)?;
    transaction.commit().await.during(DOING)?;
    if !row.is_same {
        return Ok(Claim::OfAnotherRequest);
    }
    Ok(match (row.status, row.content_type, row.body) {
        (Some(status), Some(content_type), Some(body)) => {
            let status = u16::try_from(status).unwrap_or(200);
            Claim::Answered(Answer { status, content_type, location: row.location, body })
        }
        _ if row.claim == claim => Claim::Yours { claim, operation_id: row.operation_id },
        _ => Claim::InProgress,
    })
}

/// Keeps the answer of a request that is still this caller's.
///
/// # Errors
/// Those of the database.
pub async fn answer(database: &Database, request: &KeyedRequest, claim: Uuid, answer: &Answer) -> Result<()> {
    sqlx::query(
        "UPDATE sync_multiplexer.idempotency_key
         SET status = $4, content_type = $5, location = $6, body = $7
         WHERE organization_id = $1 AND key = $2 AND claim = $3 AND status IS NULL",
    )
    .bind(request.organization_id)
    .bind(&request.key)
    .bind(claim)
    .bind(i16::try_from(answer.status).unwrap_or(i16::MAX))
    .bind(&answer.content_type)
    .bind(&answer.location)
    .bind(&answer.body)
    .execute(database.pool())
    .await
    .during("keeping the answer of an idempotency key")?;
    Ok(())
}

/// Forgets a key whose request had no effect.
///
/// # Errors
/// Those of the database.
pub async fn give_up(database: &Database, request: &KeyedRequest, claim: Uuid) -> Result<()> {
    sqlx::query(
        "DELETE FROM sync_multiplexer.idempotency_key
         WHERE organization_id = $1 AND key = $2 AND claim = $3 AND status IS NULL",
    )
    .bind(request.organization_id)
    .bind(&request.key)
    .bind(claim)
    .execute(database.pool())
    .await
    .during("forgetting an idempotency key")?;
    Ok(())
}
