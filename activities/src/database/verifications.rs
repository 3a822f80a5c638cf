//! The record of verifications.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::classify::During;
use super::{Database, SlotScope};
use crate::error::Result;

/// A recorded verification.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Verification {
    /// Chosen by the caller; repeating it means the same verification.
    pub verification_id: Uuid,
    /// The operation it was part of.
    pub operation_id: Uuid,
    /// Whether the slot was right.
    pub passed: bool,
    /// What was compared and what differed.
    pub result: Value,
    /// When it was recorded.
    pub verified_at: DateTime<Utc>,
}

/// Records a verification of a slot. Repeated with the same id it changes nothing.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn record(
    database: &Database,
    scope: &SlotScope,
    verification_id: Uuid,
    operation_id: Uuid,
    passed: bool,
    result: &Value,
) -> Result<()> {
    const DOING: &str = "recording the verification";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    scope.require(&mut transaction).await?;
    sqlx::query(
        "INSERT INTO sync_multiplexer.verification
             (verification_id, slot_id, sync_id, organization_id, operation_id, passed, result)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (verification_id) DO NOTHING",
    )
    .bind(verification_id)
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(operation_id)
    .bind(passed)
    .bind(result)
    .execute(&mut *transaction)
    .await
    .during(DOING)?;
    transaction.commit().await.during(DOING)
}

/// The newest verification of a slot.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn latest(database: &Database, scope: &SlotScope) -> Result<Option<Verification>> {
    let mut connection = database.pool().acquire().await.during("reading the verification")?;
    scope.require(&mut connection).await?;
    sqlx::query_as(
        "SELECT verification_id, operation_id, passed, result, verified_at
         FROM sync_multiplexer.verification
         WHERE slot_id = $1 AND organization_id = $2
         ORDER BY verified_at DESC, verification_id
         LIMIT 1",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during("reading the verification")
}

/// Verifications of a slot, newest first, at most `limit`, from behind one of them on. Behind one that the slot does not have
/// there are none.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn page(
    database: &Database,
    scope: &SlotScope,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Verification>> {
    let mut connection = database.pool().acquire().await.during("reading the verifications")?;
    scope.require(&mut connection).await?;
    sqlx::query_as(
        "SELECT verification_id, operation_id, passed, result, verified_at
         FROM sync_multiplexer.verification
         WHERE slot_id = $1 AND organization_id = $2
           AND ($3::uuid IS NULL
                OR (verified_at, verification_id) < (SELECT last.verified_at, last.verification_id
                                                     FROM sync_multiplexer.verification AS last
                                                     WHERE last.verification_id = $3 AND last.slot_id = $1))
         ORDER BY verified_at DESC, verification_id DESC
         LIMIT $4",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await
    .during("reading the verifications")
}
