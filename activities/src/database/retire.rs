//! Removing a slot for good: mark, clear, remove.
//!
//! The mark comes first: from then on nothing promotes or continues the slot, because making a shadow, building a slot and
//! changing roles look for it under the same lock of the sync. Then the destination removes the points. Then everything
//! of ours goes in one transaction, and what stays is the row of `retirement` that says who wanted it and why.
//!
//! There is one point of no return: [`begin_clearing`]. Before it, [`unmark`] leaves the slot as it was; after it, points
//! may be gone, and the only way is on. A later operation takes over the mark of one that ended half-way.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use super::operations::OperationKind;
use super::retire_rules::{Running, Standing, Target, Verdict, judge};
use super::reverse_window::ReverseWindow;
use super::roles::{Blocker, refusal};
use super::slots::Role;
use super::{Database, SlotScope, fence, sync_lock};
use crate::error::{Error, ErrorKind, Result};

/// A slot to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetireCommand {
    /// The slot.
    pub scope: SlotScope,
    /// Although its reverse window is open.
    pub force: bool,
    /// Repeating it means the same retire.
    pub operation_id: Uuid,
    /// The workflow that does it: of its own earlier runs none is still at work.
    pub workflow_id: String,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    pub reason: String,
}

/// The removal of a slot, begun or done.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Retirement {
    /// The operation that does it, or did it.
    pub operation_id: Uuid,
    /// The tenant.
    pub organization_id: Uuid,
    /// The sync.
    pub sync_id: Uuid,
    /// The slot.
    pub slot_id: Uuid,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// The end of the reverse window that was cut short.
    pub forced_before: Option<DateTime<Utc>>,
    /// Points that were there when clearing began, or that were removed, whichever is more.
    #[sqlx(try_from = "i64")]
    pub points: u64,
    /// Since when points may be gone.
    pub clearing_at: Option<DateTime<Utc>>,
    /// When the slot was removed.
    pub removed_at: Option<DateTime<Utc>>,
}

impl Retirement {
    /// The slot it is about.
    #[must_use]
    pub fn scope(&self) -> SlotScope {
        SlotScope { organization_id: self.organization_id, sync_id: self.sync_id, slot_id: self.slot_id }
    }
}

/// What a dry run found. With neither, the slot can be retired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetireCheck {
    /// This operation removed the slot already.
    pub finished: Option<Retirement>,
    /// Everything in the way.
    pub blockers: Vec<Blocker>,
}

/// Whether a mark could be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmarked {
    /// The slot is as it was.
    AsItWas,
    /// Points may be gone; the mark stays.
    TooLate,
}

/// Judges a retire without beginning it; changes nothing.
///
/// # Errors
/// `NotFound` when the organisation has no such sync. Everything else in the way is a blocker.
pub async fn check(database: &Database, command: &RetireCommand) -> Result<RetireCheck> {
    const DOING: &str = "checking the retire";
    // One snapshot for all that is read, so that it fits together.
    let mut transaction =
        database.pool().begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.during(DOING)?;
    sync_lock::require_sync(&mut transaction, command.scope.organization_id, command.scope.sync_id).await?;
    let standing = standing(&mut transaction, command).await?;
    transaction.rollback().await.during(DOING)?;
    Ok(match judge(command, &standing) {
        Verdict::Finished(retirement) => RetireCheck { finished: Some(retirement), blockers: Vec::new() },
        Verdict::Blocked(blockers) => RetireCheck { finished: None, blockers },
        Verdict::Clear => RetireCheck::default(),
    })
}

/// Marks the slot as being removed. Repeated, it changes nothing new; the mark of an operation that ended half-way is
/// taken over.
///
/// # Errors
/// `NotFound` when the sync of this organisation has no such destination; `Conflict`, with what to do, when it may not be
/// removed. Nothing changed then.
pub async fn mark(database: &Database, command: &RetireCommand) -> Result<()> {
    const DOING: &str = "marking the slot as retiring";
    let scope = &command.scope;
    let mut transaction = database.pool().begin().await.during(DOING)?;
    sync_lock::lock(&mut transaction, scope.organization_id, scope.sync_id).await?;
    fence::admit(&mut transaction, scope, command.operation_id).await?;
    let standing = standing(&mut transaction, command).await?;
    match judge(command, &standing) {
        Verdict::Finished(_) => return Ok(()),
        Verdict::Blocked(blockers) => return Err(refusal(&blockers)),
        Verdict::Clear if standing.by_this_operation.is_some() => return Ok(()),
        Verdict::Clear => {}
    }
    let Some(target) = standing.target else { return Err(scope.not_found()) };
    let forced_before = target.window.filter(|window| window.is_open).map(|window| window.kept_until);
    sqlx::query(
        "INSERT INTO sync_multiplexer.retirement
             (operation_id, organization_id, sync_id, slot_id, connection_id, role, profile_name, fingerprint,
              requested_by, reason, forced_before)
         SELECT $1, slot.organization_id, slot.sync_id, slot.slot_id, joined.connection_id, joined.role,
                slot.profile_name, slot.fingerprint, $5, $6, $7
         FROM sync_multiplexer.slot
         JOIN public.sync_connection AS joined ON joined.id = slot.slot_id AND joined.sync_id = slot.sync_id
         WHERE slot.slot_id = $2 AND slot.sync_id = $3 AND slot.organization_id = $4
         ON CONFLICT (slot_id) WHERE removed_at IS NULL DO UPDATE
         SET operation_id = excluded.operation_id,
             requested_by = excluded.requested_by,
             reason = CASE WHEN excluded.reason = '' THEN retirement.reason ELSE excluded.reason END,
             forced_before = coalesce(retirement.forced_before, excluded.forced_before)",
    )
    .bind(command.operation_id)
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(&command.requested_by)
    .bind(&command.reason)
    .bind(forced_before)
    .execute(&mut *transaction)
    .await
    .during(DOING)?;
    transaction.commit().await.during(DOING)
}

/// Takes the mark of this operation back, unless points may be gone. Without a mark of this operation it does nothing.
///
/// # Errors
/// Those of the database.
pub async fn unmark(database: &Database, scope: &SlotScope, operation_id: Uuid) -> Result<Unmarked> {
    const DOING: &str = "taking the mark back";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    sqlx::query(
        "DELETE FROM sync_multiplexer.retirement
         WHERE operation_id = $1 AND slot_id = $2 AND sync_id = $3 AND organization_id = $4 AND clearing_at IS NULL",
    )
    .bind(operation_id)
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .execute(&mut *transaction)
    .await
    .during(DOING)?;
    let stays = read(&mut transaction, operation_id).await?.is_some_and(|it| it.scope() == *scope);
    transaction.commit().await.during(DOING)?;
    Ok(if stays { Unmarked::TooLate } else { Unmarked::AsItWas })
}

/// What this operation has done so far.
///
/// # Errors
/// `Conflict` when the slot does not carry the mark of this operation, and was not removed by it.
pub async fn of(database: &Database, scope: &SlotScope, operation_id: Uuid) -> Result<Retirement> {
    let mut connection = database.pool().acquire().await.during("reading the mark")?;
    own(&mut connection, scope, operation_id).await
}

/// Notes that points may be gone from now on, and how many there were. The first note of a slot stays.
///
/// # Errors
/// `Conflict` when the slot does not carry the mark of this operation any more: it was taken back or taken over.
pub async fn begin_clearing(database: &Database, scope: &SlotScope, operation_id: Uuid, points: u64) -> Result<()> {
    let marked = sqlx::query(
        "UPDATE sync_multiplexer.retirement
         SET points = CASE WHEN clearing_at IS NULL THEN $5 ELSE points END, clearing_at = coalesce(clearing_at, now())
         WHERE operation_id = $1 AND slot_id = $2 AND sync_id = $3 AND organization_id = $4 AND removed_at IS NULL",
    )
    .bind(operation_id)
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(signed(points))
    .execute(database.pool())
    .await
    .during("noting that the points go")?
    .rows_affected();
    if marked == 1 { Ok(()) } else { Err(not_marked(scope, operation_id)) }
}

/// Notes how many points went; returns what is on record.
///
/// # Errors
/// As [`of`].
pub async fn note_cleared(
    database: &Database,
    scope: &SlotScope,
    operation_id: Uuid,
    removed: u64,
) -> Result<Retirement> {
    const DOING: &str = "noting that the points went";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    sqlx::query(
        "UPDATE sync_multiplexer.retirement SET points = greatest(points, $5)
         WHERE operation_id = $1 AND slot_id = $2 AND sync_id = $3 AND organization_id = $4 AND removed_at IS NULL",
    )
    .bind(operation_id)
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(signed(removed))
    .execute(&mut *transaction)
    .await
    .during(DOING)?;
    let noted = own(&mut transaction, scope, operation_id).await?;
    transaction.commit().await.during(DOING)?;
    Ok(noted)
}

/// Removes the slot with its plan, ledger, dead letters, verifications and row, in one transaction. Repeated, it answers
/// the same.
///
/// # Errors
/// `Conflict` when the slot does not carry the mark of this operation; `Internal` when it was not cleared, or is active
/// although it carries the mark.
pub async fn remove_slot(database: &Database, scope: &SlotScope, operation_id: Uuid) -> Result<Retirement> {
    const DOING: &str = "removing the slot";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    sync_lock::lock(&mut transaction, scope.organization_id, scope.sync_id).await?;
    let marked = own(&mut transaction, scope, operation_id).await?;
    if marked.removed_at.is_some() {
        return Ok(marked);
    }
    if marked.clearing_at.is_none() {
        return Err(Error::new(ErrorKind::Internal, format!("slot {} was to be removed uncleared", scope.slot_id)));
    }
    // Everything of ours hangs on this row by foreign keys that cascade.
    sqlx::query(
        "DELETE FROM public.sync_connection WHERE id = $1 AND sync_id = $2 AND role IN ('shadow', 'deprecated')",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .execute(&mut *transaction)
    .await
    .during(DOING)?;
    let stays: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM public.sync_connection WHERE id = $1)")
        .bind(scope.slot_id)
        .fetch_one(&mut *transaction)
        .await
        .during(DOING)?;
    if stays {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("slot {} is marked as retiring and neither a shadow nor deprecated", scope.slot_id),
        ));
    }
    sqlx::query(
        "UPDATE sync_multiplexer.retirement SET removed_at = now()
         WHERE operation_id = $1 AND slot_id = $2 AND organization_id = $3 AND removed_at IS NULL",
    )
    .bind(operation_id)
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .execute(&mut *transaction)
    .await
    .during(DOING)?;
    let removed = own(&mut transaction, scope, operation_id).await?;
    transaction.commit().await.during(DOING)?;
    Ok(removed)
}

/// Refuses what would promote or continue a slot that is being removed. The sync is locked by the caller.
pub(super) async fn require_unmarked(connection: &mut PgConnection, scope: &SlotScope) -> Result<()> {
    let marked: Option<Uuid> = sqlx::query_scalar(
        "SELECT operation_id FROM sync_multiplexer.retirement
         WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3 AND removed_at IS NULL",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(connection)
    .await
    .during("looking for a retire of the slot")?;
    marked.map_or(Ok(()), |operation_id| Err(being_retired(scope.slot_id, operation_id)))
}

/// The refusal of whatever wants a slot that is being removed.
pub(crate) fn being_retired(slot_id: Uuid, operation_id: Uuid) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "slot {slot_id} is being retired (operation {operation_id}): wait until it is gone, or choose another \
             connection"
        ),
    )
}

#[derive(sqlx::FromRow)]
struct TargetRow {
    role: Option<Role>,
    connection_id: Uuid,
    built: bool,
    kept_until: Option<DateTime<Utc>>,
    is_open: Option<bool>,
}

/// Reads all that the rules ask for.
async fn standing(connection: &mut PgConnection, command: &RetireCommand) -> Result<Standing> {
    const DOING: &str = "reading the slot to retire";
    let scope = &command.scope;
    let target: Option<TargetRow> = sqlx::query_as(
        // Of one whose adoption did not end it is not known what is the platform's.
        "SELECT joined.role, joined.connection_id,
                slot.slot_id IS NOT NULL AND (NOT slot.adopted OR slot.state = 'ready') AS built,
                kept.kept_until, kept.is_open
         FROM public.sync_connection AS joined
         JOIN public.connection ON connection.id = joined.connection_id
         LEFT JOIN sync_multiplexer.slot
                ON slot.slot_id = joined.id AND slot.sync_id = joined.sync_id AND slot.organization_id = $3
         LEFT JOIN sync_multiplexer.reverse_window AS kept
                ON kept.slot_id = joined.id AND kept.organization_id = $3
         WHERE joined.id = $1 AND joined.sync_id = $2 AND connection.integration_type::text = 'DESTINATION'",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during(DOING)?;
    let target = target.map(|row| Target {
        role: row.role,
        connection_id: row.connection_id,
        built: row.built,
        window: ReverseWindow::from_columns(row.kept_until, row.is_open),
    });
    let removed = sqlx::query_as(
        "SELECT * FROM sync_multiplexer.retirement
         WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3 AND removed_at IS NOT NULL
         ORDER BY removed_at DESC LIMIT 1",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during(DOING)?;
    let running = match &target {
        Some(target) => running(&mut *connection, command, target.connection_id).await?,
        None => Vec::new(),
    };
    // Whoever's it is: the id is the key of the table, and the rules refuse one that is not this very retire.
    let by_this_operation = read(connection, command.operation_id).await?;
    Ok(Standing { by_this_operation, removed, target, running })
}

/// Operations that work on the slot: those that name it, and forks to its connection, which name that.
///
/// A record may stay open for ever when its workflow was terminated. A later operation of the same workflow id proves that
/// it is over, because Temporal runs one at a time; so does the one that asks.
async fn running(connection: &mut PgConnection, command: &RetireCommand, connection_id: Uuid) -> Result<Vec<Running>> {
    let open: Vec<(Uuid, OperationKind, Option<Uuid>, Option<String>)> = sqlx::query_as(
        "SELECT operation_id, kind, slot_id, options ->> 'destination_connection_id'
         FROM sync_multiplexer.operation
         WHERE organization_id = $1 AND sync_id = $2 AND state = 'running' AND operation_id <> $3 AND workflow_id <> $4
           AND NOT EXISTS (
               SELECT FROM sync_multiplexer.operation AS later
               WHERE later.workflow_id = operation.workflow_id AND later.organization_id = operation.organization_id
                 AND later.started_at > operation.started_at)
         ORDER BY started_at, operation_id",
    )
    .bind(command.scope.organization_id)
    .bind(command.scope.sync_id)
    .bind(command.operation_id)
    .bind(&command.workflow_id)
    .fetch_all(connection)
    .await
    .during("looking for operations on the slot")?;
    let works_on_it = |slot_id: Option<Uuid>, destination: Option<&str>| {
        slot_id == Some(command.scope.slot_id)
            || destination.and_then(|text| Uuid::try_parse(text).ok()) == Some(connection_id)
    };
    Ok(open
        .into_iter()
        .filter(|(_, _, slot_id, destination)| works_on_it(*slot_id, destination.as_deref()))
        .map(|(operation_id, kind, ..)| Running { operation_id, kind })
        .collect())
}

async fn read(connection: &mut PgConnection, operation_id: Uuid) -> Result<Option<Retirement>> {
    sqlx::query_as("SELECT * FROM sync_multiplexer.retirement WHERE operation_id = $1")
        .bind(operation_id)
        .fetch_optional(connection)
        .await
        .during("reading the mark")
}

async fn own(connection: &mut PgConnection, scope: &SlotScope, operation_id: Uuid) -> Result<Retirement> {
    let found = read(connection, operation_id).await?;
    found.filter(|retirement| retirement.scope() == *scope).ok_or_else(|| not_marked(scope, operation_id))
}

fn not_marked(scope: &SlotScope, operation_id: Uuid) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "slot {} is not being retired by operation {operation_id}: its mark was taken back or taken over",
            scope.slot_id
        ),
    )
}

/// Counts are far below 2^63.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
