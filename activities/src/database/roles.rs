//! The flip: which slot of a sync is the active one.
//!
//! All or nothing, of one sync or of many, in one transaction under the locks of the syncs; idempotent by operation id. It is
//! refused unless the target is a ready shadow, or a deprecated slot inside its reverse window; unless the operation holds
//! the [fence] and nothing broke through it; and unless a plan of this very operation has made the slot equal
//! to the raw store and was verified (`super::switch_proof`). It leaves exactly one active slot, one more generation, one
//! row in `audit`, a reverse window for the slot that was left, a notification on the channel [`CHANNEL`] for whoever
//! listens, and an event for the receiver of webhooks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use super::fence::{self, Hold, InTheWay, Obstacle};
use super::switch_rules::{AuditEntry, Standing, Verdict, judge, outcome};
use super::{Database, SlotScope, outbox, switch_proof, sync_lock};
use crate::error::{Error, ErrorKind, Result};

/// The Postgres channel that carries a JSON object about each flip, delivered when it is committed: `organization_id`,
/// `sync_id`, `operation_id`, `previous_active`, `new_active`, `generation`.
pub const CHANNEL: &str = "sync_multiplexer_roles";

/// A switch to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlipCommand {
    /// The tenant.
    pub organization_id: Uuid,
    /// The sync.
    pub sync_id: Uuid,
    /// The slot to promote.
    pub target_slot_id: Uuid,
    /// Refuse unless this slot is the active one.
    pub expected_active: Option<Uuid>,
    /// Refuse unless the sync is at this generation.
    pub expected_generation: Option<u64>,
    /// Repeating it means the same switch.
    pub operation_id: Uuid,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// How long the slot that becomes deprecated is kept for a rollback, in whole seconds; zero: not at all.
    pub reverse_window: Duration,
    /// Whether the target must be a slot that was active before.
    pub rollback: bool,
    /// Whether somebody with a reason wants it even without what is in `skipped`.
    pub force: bool,
    /// What could not be done before the flip, with the reason; empty unless forced. Then the slot need not be proved.
    pub skipped: Vec<String>,
}

impl FlipCommand {
    /// The slot to promote.
    #[must_use]
    pub fn scope(&self) -> SlotScope {
        SlotScope { organization_id: self.organization_id, sync_id: self.sync_id, slot_id: self.target_slot_id }
    }

    /// The fence that it needs.
    #[must_use]
    pub fn hold(&self) -> Hold {
        Hold { sync_id: self.sync_id, organization_id: self.organization_id, operation_id: self.operation_id }
    }
}

/// The slot that was active before the last switch, and the generation at which that is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    /// The slot.
    pub slot_id: Uuid,
    /// The generation.
    pub generation: u64,
}

/// A switch that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlipOutcome {
    /// The slot that was active before, now deprecated; absent when there was none.
    pub previous_active: Option<Uuid>,
    /// The slot that became active.
    pub new_active: Uuid,
    /// The generation this made.
    pub generation: u64,
    /// When.
    pub switched_at: DateTime<Utc>,
    /// Until when the slot that was left is kept for a rollback; absent when it is not.
    pub kept_until: Option<DateTime<Utc>>,
    /// What was left out by force, with the reason.
    pub skipped: Vec<String>,
}

/// How a flip ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flipped {
    /// All were made, in the order of the commands.
    Done(Vec<FlipOutcome>),
    /// A job of the platform broke through the fence, so nothing changed. Without it the flip can be tried again.
    Breached(InTheWay),
}

/// A reason why a switch cannot be made, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// The kind the flip would fail with.
    pub kind: ErrorKind,
    /// What is in the way.
    pub message: String,
    /// What to do about it.
    pub next_step: String,
}

/// What a dry run found. With neither an outcome nor blockers, the switch can be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SwitchCheck {
    /// The switch was made already; the answer to give again.
    pub finished: Option<FlipOutcome>,
    /// Everything in the way.
    pub blockers: Vec<Blocker>,
}

/// The number of role changes of a sync so far.
///
/// # Errors
/// `NotFound` when the organisation has no such sync.
pub async fn generation(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<u64> {
    let mut connection = database.pool().acquire().await.during("reading the generation")?;
    sync_lock::require_sync(&mut connection, organization_id, sync_id).await?;
    let generation: Option<i64> = sqlx::query_scalar(
        "SELECT generation FROM sync_multiplexer.sync_state WHERE sync_id = $1 AND organization_id = $2",
    )
    .bind(sync_id)
    .bind(organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during("reading the generation")?;
    Ok(generation.unwrap_or_default().unsigned_abs())
}

/// The slot that was active before the last switch: where a rollback leads when nobody says where.
///
/// # Errors
/// `NotFound` when the organisation has no such sync; `Conflict` when there was no switch, or no active slot before it.
pub async fn predecessor(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<Predecessor> {
    let mut connection = database.pool().acquire().await.during("looking for the last switch")?;
    sync_lock::require_sync(&mut connection, organization_id, sync_id).await?;
    let last: Option<(Option<Uuid>, i64)> = sqlx::query_as(
        "SELECT previous_active, generation FROM sync_multiplexer.audit
         WHERE sync_id = $1 AND organization_id = $2
         ORDER BY generation DESC LIMIT 1",
    )
    .bind(sync_id)
    .bind(organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during("looking for the last switch")?;
    let refused = |why: &str| {
        Error::new(ErrorKind::Conflict, format!("sync {sync_id} {why}, so there is nothing to go back to: name a slot"))
    };
    let (previous, generation) = last.ok_or_else(|| refused("was never switched"))?;
    let slot_id = previous.ok_or_else(|| refused("had no active slot before its last switch"))?;
    Ok(Predecessor { slot_id, generation: generation.unsigned_abs() })
}

/// Judges a switch without making it; changes nothing.
///
/// # Errors
/// `NotFound` when the organisation has no such sync. Everything else in the way is a blocker.
pub async fn check_switch(database: &Database, command: &FlipCommand) -> Result<SwitchCheck> {
    const DOING: &str = "checking the switch";
    // One snapshot for all that is read, so that it fits together.
    let mut transaction =
        database.pool().begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.during(DOING)?;
    sync_lock::require_sync(&mut transaction, command.organization_id, command.sync_id).await?;
    let generation = generation_of(&mut transaction, command).await?;
    let standing = standing(&mut transaction, command, generation).await?;
    transaction.rollback().await.during(DOING)?;
    Ok(match judge(command, &standing) {
        Verdict::Finished(outcome) => SwitchCheck { finished: Some(outcome), blockers: Vec::new() },
        Verdict::Blocked(blockers) => SwitchCheck { finished: None, blockers },
        Verdict::Clear => SwitchCheck::default(),
    })
}

/// Makes all the switches or none, or gives the answer again when they were made.
///
/// # Errors
/// `NotFound` when the sync of this organisation has no such destination; `Conflict`, with what to do, when a target may
/// not be promoted or was not proved, the fence does not stand, an expectation does not hold, or an operation id was another
/// switch. Nothing changed then.
pub async fn flip(database: &Database, commands: &[FlipCommand]) -> Result<Flipped> {
    const DOING: &str = "flipping the roles";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let holds: Vec<Hold> = commands.iter().map(FlipCommand::hold).collect();
    fence::lock(&mut transaction, &holds).await?;
    let mut outcomes = Vec::with_capacity(commands.len());
    for command in commands {
        lock_rows(&mut transaction, command.sync_id).await?;
        let generation = generation_of(&mut transaction, command).await?;
        let standing = standing(&mut transaction, command, generation).await?;
        match judge(command, &standing) {
            Verdict::Finished(outcome) => outcomes.push(outcome),
            Verdict::Blocked(blockers) => return Err(refusal(&blockers)),
            Verdict::Clear => {
                if let Some(job) = fence::breach(&mut transaction, &command.hold()).await? {
                    return Ok(Flipped::Breached(InTheWay { sync_id: command.sync_id, what: Obstacle::Job(job) }));
                }
                switch_proof::require(&mut transaction, command).await?;
                outcomes.push(change(&mut transaction, command, &standing).await?);
            }
        }
    }
    transaction.commit().await.during(DOING)?;
    Ok(Flipped::Done(outcomes))
}

/// What an operation switched in a sync, if it did.
///
/// # Errors
/// Those of reading.
pub async fn made_by(database: &Database, hold: &Hold) -> Result<Option<FlipOutcome>> {
    let entry: Option<AuditEntry> = sqlx::query_as(
        "SELECT sync_id, organization_id, previous_active, new_active, generation, at, kept_until, skipped
         FROM sync_multiplexer.audit WHERE operation_id = $1 AND sync_id = $2 AND organization_id = $3",
    )
    .bind(hold.operation_id)
    .bind(hold.sync_id)
    .bind(hold.organization_id)
    .fetch_optional(database.pool())
    .await
    .during("reading what was switched")?;
    Ok(entry.as_ref().map(outcome))
}

/// Changes the roles of one sync. It is locked, and everything allows it.
async fn change(connection: &mut PgConnection, command: &FlipCommand, standing: &Standing) -> Result<FlipOutcome> {
    let previous_active = standing.active();
    // Demoted first: at no moment does the unique index see two.
    if let Some(slot_id) = previous_active {
        set_role(connection, command.sync_id, slot_id, "active", "deprecated").await?;
    }
    let from = if standing.is_deprecated(command.target_slot_id) { "deprecated" } else { "shadow" };
    set_role(connection, command.sync_id, command.target_slot_id, from, "active").await?;
    let recorded = record(connection, command, previous_active).await?;
    move_window(connection, command, previous_active, recorded.kept_until).await?;
    let outcome = FlipOutcome {
        previous_active,
        new_active: command.target_slot_id,
        generation: recorded.generation,
        switched_at: recorded.at,
        kept_until: recorded.kept_until,
        skipped: command.skipped.clone(),
    };
    notify(connection, command, &outcome).await?;
    outbox::flipped(connection, command, &outcome).await?;
    Ok(outcome)
}

/// The generation of a sync that is locked.
async fn generation_of(connection: &mut PgConnection, command: &FlipCommand) -> Result<i64> {
    let generation: Option<i64> = sqlx::query_scalar(
        "SELECT generation FROM sync_multiplexer.sync_state WHERE sync_id = $1 AND organization_id = $2",
    )
    .bind(command.sync_id)
    .bind(command.organization_id)
    .fetch_optional(connection)
    .await
    .during("reading the generation")?;
    Ok(generation.unwrap_or_default())
}

/// The platform's rows of the sync, locked in the order of their ids.
async fn lock_rows(connection: &mut PgConnection, sync_id: Uuid) -> Result<()> {
    sqlx::query("SELECT id FROM public.sync_connection WHERE sync_id = $1 ORDER BY id FOR UPDATE")
        .bind(sync_id)
        .fetch_all(connection)
        .await
        .during("locking the slots")?;
    Ok(())
}

/// Reads all that the rules ask for.
async fn standing(connection: &mut PgConnection, command: &FlipCommand, generation: i64) -> Result<Standing> {
    const DOING: &str = "reading the roles";
    let candidates = sqlx::query_as(
        "SELECT joined.id AS slot_id, joined.role, slot.state, kept.kept_until, kept.is_open,
                retirement.operation_id AS retired_by
         FROM public.sync_connection AS joined
         JOIN public.connection ON connection.id = joined.connection_id
         LEFT JOIN sync_multiplexer.slot
                ON slot.slot_id = joined.id AND slot.sync_id = joined.sync_id AND slot.organization_id = $2
         LEFT JOIN sync_multiplexer.reverse_window AS kept
                ON kept.slot_id = joined.id AND kept.organization_id = $2
         LEFT JOIN sync_multiplexer.retirement
                ON retirement.slot_id = joined.id AND retirement.organization_id = $2 AND retirement.removed_at IS NULL
         WHERE joined.sync_id = $1 AND connection.integration_type::text = 'DESTINATION'
         ORDER BY joined.id",
    )
    .bind(command.sync_id)
    .bind(command.organization_id)
    .fetch_all(&mut *connection)
    .await
    .during(DOING)?;
    // Whoever's it is: the id is the key of the table, and the rules refuse one that is not this very switch.
    let by_this_operation = sqlx::query_as(
        "SELECT sync_id, organization_id, previous_active, new_active, generation, at, kept_until, skipped
         FROM sync_multiplexer.audit WHERE operation_id = $1",
    )
    .bind(command.operation_id)
    .fetch_optional(&mut *connection)
    .await
    .during(DOING)?;
    let last = sqlx::query_as(
        "SELECT sync_id, organization_id, previous_active, new_active, generation, at, kept_until, skipped
         FROM sync_multiplexer.audit
         WHERE sync_id = $1 AND organization_id = $2
         ORDER BY generation DESC LIMIT 1",
    )
    .bind(command.sync_id)
    .bind(command.organization_id)
    .fetch_optional(connection)
    .await
    .during(DOING)?;
    Ok(Standing { generation: generation.unsigned_abs(), candidates, by_this_operation, last })
}

async fn set_role(
    connection: &mut PgConnection,
    sync_id: Uuid,
    slot_id: Uuid,
    from: &'static str,
    to: &'static str,
) -> Result<()> {
    let changed = sqlx::query(
        "UPDATE public.sync_connection SET role = $4, modified_at = now() AT TIME ZONE 'UTC'
         WHERE id = $1 AND sync_id = $2 AND role = $3",
    )
    .bind(slot_id)
    .bind(sync_id)
    .bind(from)
    .bind(to)
    .execute(connection)
    .await
    .during("changing a role")?
    .rows_affected();
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Internal, format!("slot {slot_id} is not {from} although its row is locked")))
    }
}

/// What the audit row says beyond what was asked for.
#[derive(sqlx::FromRow)]
struct Recorded {
    #[sqlx(try_from = "i64")]
    generation: u64,
    at: DateTime<Utc>,
    kept_until: Option<DateTime<Utc>>,
}

/// Counts the generation up and writes the audit row.
async fn record(
    connection: &mut PgConnection,
    command: &FlipCommand,
    previous_active: Option<Uuid>,
) -> Result<Recorded> {
    sqlx::query_as(
        "WITH state AS (
             UPDATE sync_multiplexer.sync_state SET generation = generation + 1, updated_at = now()
             WHERE sync_id = $3 AND organization_id = $2
             RETURNING generation
         )
         INSERT INTO sync_multiplexer.audit
             (operation_id, organization_id, sync_id, previous_active, new_active, generation, requested_by, reason,
              kept_until, forced, skipped)
         SELECT $1, $2, $3, $4, $5, state.generation, $6, $7,
                CASE WHEN $4 IS NOT NULL AND $8 > 0 THEN now() + $8 * interval '1 second' END, $9, $10
         FROM state
         RETURNING generation, at, kept_until",
    )
    .bind(command.operation_id)
    .bind(command.organization_id)
    .bind(command.sync_id)
    .bind(previous_active)
    .bind(command.target_slot_id)
    .bind(&command.requested_by)
    .bind(&command.reason)
    .bind(i64::try_from(command.reverse_window.as_secs()).unwrap_or(i64::MAX))
    .bind(command.force)
    .bind(&command.skipped)
    .fetch_one(connection)
    .await
    .during("writing the audit row")
}

/// Opens the window of the slot that was left, and ends that of the slot that is active again.
async fn move_window(
    connection: &mut PgConnection,
    command: &FlipCommand,
    previous_active: Option<Uuid>,
    kept_until: Option<DateTime<Utc>>,
) -> Result<()> {
    sqlx::query(
        "UPDATE sync_multiplexer.slot
         SET kept_until = CASE WHEN slot_id = $3 THEN $4 END, updated_at = now()
         WHERE sync_id = $1 AND organization_id = $2 AND slot_id IN ($3, $5)",
    )
    .bind(command.sync_id)
    .bind(command.organization_id)
    .bind(previous_active)
    .bind(kept_until)
    .bind(command.target_slot_id)
    .execute(connection)
    .await
    .during("moving the reverse window")?;
    Ok(())
}

async fn notify(connection: &mut PgConnection, command: &FlipCommand, outcome: &FlipOutcome) -> Result<()> {
    let payload = json!({
        "organization_id": command.organization_id,
        "sync_id": command.sync_id,
        "operation_id": command.operation_id,
        "previous_active": outcome.previous_active,
        "new_active": outcome.new_active,
        "generation": outcome.generation,
    });
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(payload.to_string())
        .execute(connection)
        .await
        .during("announcing the flip")?;
    Ok(())
}

/// A refusal in words: the first blocker, with what to do.
pub(crate) fn refusal(blockers: &[Blocker]) -> Error {
    let Blocker { kind, message, next_step } = &blockers[0];
    Error::new(*kind, format!("{message}: {next_step}"))
}
