//! Events for the receiver of webhooks, from the transaction they tell of until they were delivered.
//!
//! An event is written in the transaction that records what happened, so it is there exactly if that is. Whoever sends takes
//! some for a while ([`claim`]), and removes each that was acknowledged; one that is not removed is sent again, under the same
//! id. Of an operation only the oldest is taken, so its events arrive in order.
//!
//! Nothing is written while nobody wants it ([`want`]).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Database;
use super::classify::During;
use super::operations::{Operation, OperationKind};
use super::roles::{FlipCommand, FlipOutcome};
use crate::error::Result;

/// An event that is on its way.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Event {
    /// The same for every attempt.
    pub event_id: Uuid,
    /// Grows with every event of an operation.
    pub sequence: i64,
    /// What happened, such as `operation.phase`.
    #[sqlx(rename = "type")]
    pub event_type: String,
    /// The ids and words of it.
    pub data: Value,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// Attempts made, this one included.
    pub attempts: i32,
}

/// An operation began, or is at another step.
pub(super) async fn phase(connection: &mut PgConnection, operation: &Operation) -> Result<()> {
    // A follow goes round and round for as long as a sync lives; that it does is not news.
    if operation.kind == OperationKind::Follow && operation.phase != "begin" {
        return Ok(());
    }
    write(connection, "operation.phase", operation.organization_id, operation.operation_id, &about(operation)).await
}

/// An operation ended.
pub(super) async fn ended(connection: &mut PgConnection, operation: &Operation) -> Result<()> {
    write(connection, "operation.ended", operation.organization_id, operation.operation_id, &about(operation)).await
}

/// The roles of a sync were changed.
pub(super) async fn flipped(connection: &mut PgConnection, command: &FlipCommand, outcome: &FlipOutcome) -> Result<()> {
    let demoted = outcome.previous_active.map(|slot_id| json!({ "slot_id": slot_id, "role": "deprecated" }));
    let promoted = json!({ "slot_id": outcome.new_active, "role": "active" });
    let roles: Vec<Value> = std::iter::once(promoted).chain(demoted).collect();
    let data = json!({
        "organization_id": command.organization_id,
        "sync_id": command.sync_id,
        "operation_id": command.operation_id,
        "operation": if command.rollback { OperationKind::Rollback } else { OperationKind::Switch }.as_str(),
        "phase": "flip",
        "previous_active": outcome.previous_active,
        "new_active": outcome.new_active,
        "roles": roles,
        "generation": outcome.generation,
        "switched_at": outcome.switched_at,
        "kept_until": outcome.kept_until,
        "forced": command.force,
    });
    write(connection, "roles.flipped", command.organization_id, command.operation_id, &data).await
}

/// Never the words of a failure nor the options: only what a receiver decides by.
fn about(operation: &Operation) -> Value {
    json!({
        "organization_id": operation.organization_id,
        "sync_id": operation.sync_id,
        "collection_id": operation.collection_id,
        "slot_id": operation.slot_id,
        "operation_id": operation.operation_id,
        "operation": operation.kind.as_str(),
        "phase": operation.phase,
        "state": operation.state.as_str(),
        "error_kind": operation.error_kind,
    })
}

async fn write(
    connection: &mut PgConnection,
    event_type: &str,
    organization_id: Uuid,
    operation_id: Uuid,
    data: &Value,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO sync_multiplexer.webhook_event (event_id, organization_id, operation_id, type, data)
         SELECT $1, $2, $3, $4, $5
         WHERE EXISTS (SELECT FROM sync_multiplexer.webhook_wanted WHERE until > clock_timestamp())",
    )
    .bind(Uuid::now_v7())
    .bind(organization_id)
    .bind(operation_id)
    .bind(event_type)
    .bind(data)
    .execute(connection)
    .await
    .during("writing an event")?;
    Ok(())
}

/// Has events written from now on, for as long as `lease` at least.
///
/// # Errors
/// Those of the database.
pub async fn want(database: &Database, lease: Duration) -> Result<()> {
    sqlx::query(
        "INSERT INTO sync_multiplexer.webhook_wanted (until) VALUES (clock_timestamp() + $1 * interval '1 second')
         ON CONFLICT (is_the_one) DO UPDATE SET until = greatest(webhook_wanted.until, excluded.until)",
    )
    .bind(lease.as_secs_f64())
    .execute(database.pool())
    .await
    .during("asking for events")?;
    Ok(())
}

/// Takes events that are due, at most `limit` and one of each operation, for as long as `lease`. What is not settled by then
/// is due again.
///
/// # Errors
/// Those of the database.
pub async fn claim(database: &Database, limit: u32, lease: Duration) -> Result<Vec<Event>> {
    sqlx::query_as(
        "WITH taken AS MATERIALIZED (
             SELECT due.sequence FROM sync_multiplexer.webhook_event AS due
             WHERE due.dead_at IS NULL AND due.next_attempt_at <= clock_timestamp()
               AND NOT EXISTS (
                   SELECT FROM sync_multiplexer.webhook_event AS earlier
                   WHERE earlier.operation_id = due.operation_id AND earlier.sequence < due.sequence
                     AND earlier.dead_at IS NULL
               )
             ORDER BY due.next_attempt_at, due.sequence
             LIMIT $1
             FOR UPDATE SKIP LOCKED
         )
         UPDATE sync_multiplexer.webhook_event AS event
         SET attempts = event.attempts + 1, next_attempt_at = clock_timestamp() + $2 * interval '1 second'
         FROM taken
         WHERE event.sequence = taken.sequence
         RETURNING event.event_id, event.sequence, event.type, event.data, event.occurred_at, event.attempts",
    )
    .bind(i64::from(limit))
    .bind(lease.as_secs_f64())
    .fetch_all(database.pool())
    .await
    .during("taking events")
}

/// Removes an event that was acknowledged.
///
/// # Errors
/// Those of the database; it is sent again then.
pub async fn delivered(database: &Database, event: &Event) -> Result<()> {
    sqlx::query("DELETE FROM sync_multiplexer.webhook_event WHERE event_id = $1")
        .bind(event.event_id)
        .execute(database.pool())
        .await
        .during("removing a delivered event")?;
    Ok(())
}

/// Notes a failed attempt; the next is made after `delay`, or never when there is none. Somebody who took the event since is
/// not disturbed.
///
/// # Errors
/// Those of the database.
pub async fn failed(database: &Database, event: &Event, why: &str, delay: Option<Duration>) -> Result<()> {
    sqlx::query(
        "UPDATE sync_multiplexer.webhook_event
         SET last_failure = $3,
             next_attempt_at = clock_timestamp() + coalesce($4, 0) * interval '1 second',
             dead_at = CASE WHEN $4 IS NULL THEN clock_timestamp() END
         WHERE event_id = $1 AND attempts = $2",
    )
    .bind(event.event_id)
    .bind(event.attempts)
    .bind(why)
    .bind(delay.map(|delay| delay.as_secs_f64()))
    .execute(database.pool())
    .await
    .during("noting a failed delivery")?;
    Ok(())
}

/// Removes events that are older than `age`, whatever became of them; answers how many.
///
/// # Errors
/// Those of the database.
pub async fn prune(database: &Database, age: Duration) -> Result<u64> {
    let pruned = sqlx::query(
        "DELETE FROM sync_multiplexer.webhook_event WHERE occurred_at < clock_timestamp() - $1 * interval '1 second'",
    )
    .bind(age.as_secs_f64())
    .execute(database.pool())
    .await
    .during("removing old events")?;
    Ok(pruned.rows_affected())
}
