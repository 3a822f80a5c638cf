//! The limits that operators set: of all operations together, and of one operation.
//!
//! A limit of an operation is kept under the id of its workflow, so that it outlives a reset and a continue-as-new, and goes
//! when the operation ends. Each change leaves a row that says who made it and why.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Database;
use super::classify::During;
use super::operations::{self, Operation, OperationState};
use crate::error::{Error, ErrorKind, Result};
use crate::throttle::rate::Bucket;
use crate::throttle::{Author, Change, Limits, Setting};

/// Where the limits of all operations together are kept. No workflow has this id.
pub(super) const ALL: &str = "all";

/// Limits in force, and who set them.
#[derive(Debug, Clone, PartialEq)]
pub struct Limited {
    /// The workflow; `None` for all operations together.
    pub workflow_id: Option<String>,
    /// The limits.
    pub limits: Limits,
    /// Who set them.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// Since when they are these.
    pub since: DateTime<Utc>,
}

/// A row of the table, with the database's clock.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) subject: String,
    pub(super) entities_per_second: Option<f64>,
    pub(super) embeds_per_second: Option<f64>,
    pub(super) lanes: Option<i32>,
    pub(super) entities_next_at: DateTime<Utc>,
    pub(super) embeds_next_at: DateTime<Utc>,
    pub(super) requested_by: String,
    pub(super) reason: String,
    pub(super) since: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
}

impl Row {
    pub(super) fn limits(&self) -> Result<Limits> {
        let lanes = self.lanes.map(u32::try_from).transpose();
        Ok(Limits {
            entities_per_second: self.entities_per_second,
            embeds_per_second: self.embeds_per_second,
            lanes: lanes
                .map_err(|_| Error::new(ErrorKind::Internal, "the database holds a negative number of lanes"))?,
        })
    }

    pub(super) fn entities(&self) -> Bucket {
        Bucket { per_second: self.entities_per_second, next_at: self.entities_next_at }
    }

    pub(super) fn embeds(&self) -> Bucket {
        Bucket { per_second: self.embeds_per_second, next_at: self.embeds_next_at }
    }
}

/// Changes the limits of all operations together, and returns what is in force. For operators: it takes no organisation.
///
/// # Errors
/// `InvalidInput` for a limit that is none, or without a name and a reason.
pub async fn limit_all(database: &Database, change: Change, author: &Author) -> Result<Limits> {
    const DOING: &str = "changing the limits of all operations";
    for (name, text) in [("requested_by", &author.requested_by), ("reason", &author.reason)] {
        if text.trim().is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{name} is missing: whoever finds all operations held back should read who did it and why"),
            ));
        }
    }
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let limits = set(&mut transaction, ALL, None, change, author).await?;
    transaction.commit().await.during(DOING)?;
    Ok(limits)
}

/// Changes the limits of an operation that runs, and returns what is in force.
///
/// # Errors
/// `NotFound` when the organisation has no such operation, `Conflict` when it has ended, `InvalidInput` for a limit that is
/// none.
pub async fn limit_operation(
    database: &Database,
    organization_id: Uuid,
    operation_id: Uuid,
    change: Change,
    author: &Author,
) -> Result<Limits> {
    const DOING: &str = "changing the limits of the operation";
    if matches!(change.lanes, Setting::To(_)) {
        return Err(Error::new(ErrorKind::InvalidInput, "lanes of one operation are told to its workflow"));
    }
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let operation = operations::read(&mut transaction, organization_id, operation_id).await?;
    let operation = operation.ok_or_else(|| operations::not_found(operation_id))?;
    let limits = set_of(&mut transaction, &operation, change, author).await?;
    transaction.commit().await.during(DOING)?;
    Ok(limits)
}

async fn set_of(
    connection: &mut PgConnection,
    operation: &Operation,
    change: Change,
    author: &Author,
) -> Result<Limits> {
    if operation.state != OperationState::Running {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("operation {} is {} already", operation.operation_id, operation.state),
        ));
    }
    let whose = Some((operation.organization_id, operation.operation_id));
    set(connection, &operation.workflow_id, whose, change, author).await
}

async fn set(
    connection: &mut PgConnection,
    subject: &str,
    whose: Option<(Uuid, Uuid)>,
    change: Change,
    author: &Author,
) -> Result<Limits> {
    const DOING: &str = "changing limits";
    let organization_id = whose.map(|(organization_id, _)| organization_id);
    sqlx::query(
        "INSERT INTO sync_multiplexer.throttle (subject, organization_id, operation_id, requested_by, reason)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (subject) DO UPDATE SET operation_id = excluded.operation_id
         WHERE throttle.organization_id IS NOT DISTINCT FROM excluded.organization_id",
    )
    .bind(subject)
    .bind(organization_id)
    .bind(whose.map(|(_, operation_id)| operation_id))
    .bind(&author.requested_by)
    .bind(&author.reason)
    .execute(&mut *connection)
    .await
    .during(DOING)?;
    let row: Option<Row> = sqlx::query_as(
        "SELECT *, clock_timestamp() AS now
         FROM sync_multiplexer.throttle
         WHERE subject = $1 AND organization_id IS NOT DISTINCT FROM $2
         FOR UPDATE",
    )
    .bind(subject)
    .bind(organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during(DOING)?;
    let row = row.ok_or_else(|| Error::new(ErrorKind::Internal, "a workflow has limits of another organisation"))?;
    let before = row.limits()?;
    let after = change.apply(before)?;
    if after == before {
        forget_empty(connection, subject).await?;
        return Ok(after);
    }
    sqlx::query(
        "UPDATE sync_multiplexer.throttle
         SET entities_per_second = $2, embeds_per_second = $3, lanes = $4, entities_next_at = $5, embeds_next_at = $6,
             requested_by = $7, reason = $8, since = now()
         WHERE subject = $1",
    )
    .bind(subject)
    .bind(after.entities_per_second)
    .bind(after.embeds_per_second)
    .bind(after.lanes.map(i64::from))
    .bind(row.entities().at_rate(after.entities_per_second, row.now))
    .bind(row.embeds().at_rate(after.embeds_per_second, row.now))
    .bind(&author.requested_by)
    .bind(&author.reason)
    .execute(&mut *connection)
    .await
    .during(DOING)?;
    sqlx::query(
        "INSERT INTO sync_multiplexer.throttle_change
             (subject, organization_id, operation_id, requested_by, reason, before, after)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(subject)
    .bind(organization_id)
    .bind(whose.map(|(_, operation_id)| operation_id))
    .bind(&author.requested_by)
    .bind(&author.reason)
    .bind(as_json(before))
    .bind(as_json(after))
    .execute(&mut *connection)
    .await
    .during(DOING)?;
    forget_empty(connection, subject).await?;
    Ok(after)
}

fn as_json(limits: Limits) -> Value {
    let Limits { entities_per_second, embeds_per_second, lanes } = limits;
    json!({ "entities_per_second": entities_per_second, "embeds_per_second": embeds_per_second, "lanes": lanes })
}

/// A row without a limit is no row.
async fn forget_empty(connection: &mut PgConnection, subject: &str) -> Result<()> {
    sqlx::query(
        "DELETE FROM sync_multiplexer.throttle
         WHERE subject = $1 AND num_nonnulls(entities_per_second, embeds_per_second, lanes) = 0",
    )
    .bind(subject)
    .execute(connection)
    .await
    .during("changing limits")?;
    Ok(())
}

/// What an operation had of limits goes with its end.
pub(super) async fn forget(connection: &mut PgConnection, operation: &Operation) -> Result<()> {
    const DOING: &str = "forgetting the limits of an operation that ended";
    for statement in [
        "DELETE FROM sync_multiplexer.throttle WHERE subject = $1 AND organization_id = $2",
        "DELETE FROM sync_multiplexer.throttled WHERE workflow_id = $1 AND organization_id = $2",
    ] {
        sqlx::query(statement)
            .bind(&operation.workflow_id)
            .bind(operation.organization_id)
            .execute(&mut *connection)
            .await
            .during(DOING)?;
    }
    Ok(())
}

/// What an earlier operation of a workflow had of limits goes when the next begins, should its end not have been seen.
pub(super) async fn forget_ended(
    connection: &mut PgConnection,
    organization_id: Uuid,
    workflow_id: &str,
) -> Result<()> {
    sqlx::query(
        "DELETE FROM sync_multiplexer.throttle
         WHERE subject = $1 AND organization_id = $2
           AND NOT EXISTS (SELECT FROM sync_multiplexer.operation
                           WHERE operation.operation_id = throttle.operation_id AND operation.state = 'running')",
    )
    .bind(workflow_id)
    .bind(organization_id)
    .execute(connection)
    .await
    .during("forgetting the limits of an operation that ended")?;
    Ok(())
}

/// Limits in force: those of all operations together, and those of an organisation's operations when one is named.
///
/// # Errors
/// Those of the database.
pub async fn in_force(database: &Database, organization_id: Option<Uuid>) -> Result<Vec<Limited>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT *, now() AS now
         FROM sync_multiplexer.throttle
         WHERE subject = 'all' OR organization_id = $1
         ORDER BY subject <> 'all', subject",
    )
    .bind(organization_id)
    .fetch_all(database.pool())
    .await
    .during("reading the limits")?;
    rows.into_iter()
        .map(|row| {
            Ok(Limited {
                limits: row.limits()?,
                workflow_id: Some(row.subject).filter(|subject| subject != ALL),
                requested_by: row.requested_by,
                reason: row.reason,
                since: row.since,
            })
        })
        .collect()
}
