//! The destinations of a sync and how far each is built.
//!
//! A slot is the platform's row in `sync_connection`; the row of our own beside it says how it was built. A slot without
//! that row was made by the platform. [`super::shadow`] makes and removes slots, [`super::roles`] changes roles.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use super::reverse_window::ReverseWindow;
use super::text_enum::text_enum;
use super::{Database, SlotScope, retire, sync_lock};
use crate::error::{Error, ErrorKind, Result};

text_enum! {
    /// What a destination is to its sync.
    pub enum Role {
        /// Serves reads and receives writes. At most one per sync.
        Active = "active",
        /// Receives writes only.
        Shadow = "shadow",
        /// Kept for a rollback.
        Deprecated = "deprecated",
    }
}

text_enum! {
    /// How far a slot is built.
    pub enum SlotState {
        /// Created, nothing written.
        Empty = "empty",
        /// A replay writes to it.
        Building = "building",
        /// Complete; the only state that can be promoted.
        Ready = "ready",
    }
}

/// A destination of a sync.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// Id of the row in `sync_connection`.
    pub slot_id: Uuid,
    /// The sync.
    pub sync_id: Uuid,
    /// The connection it writes through.
    pub connection_id: Uuid,
    /// Name of that connection.
    pub connection_name: String,
    /// The kind of destination, such as `qdrant_native`.
    pub short_name: String,
    /// Absent only in a database where the roles do not hold yet.
    pub role: Option<Role>,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
    /// How it was built; absent when the platform built it.
    pub built: Option<Built>,
    /// Entities recorded in the ledger, those without text included.
    pub entities: u64,
    /// Points recorded in the ledger.
    pub points: u64,
    /// Entities that could not be written.
    pub dead_letters: u64,
    /// Until when it is kept for a rollback; absent when it is not deprecated, or was left without a window.
    pub window: Option<ReverseWindow>,
    /// The operation that is removing it.
    pub retired_by: Option<Uuid>,
}

impl Slot {
    /// Whether the slot is kept fresh: a shadow that is ready, or one that was ready and is kept for a rollback.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        let is_ready = self.built.as_ref().is_some_and(|built| built.state == SlotState::Ready);
        let is_wanted = match self.role {
            Some(Role::Shadow) => true,
            Some(Role::Deprecated) => self.window.is_some_and(|window| window.is_open),
            Some(Role::Active) | None => false,
        };
        is_ready && is_wanted && self.retired_by.is_none()
    }
}

/// How this product built a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The profile, as JSON.
    pub profile: Value,
    /// Its label.
    pub profile_name: String,
    /// Its fingerprint: equal for equal settings.
    pub fingerprint: String,
    /// Where its points are, without secrets; absent when it was made before that was recorded.
    pub place: Option<String>,
    /// How far the slot is.
    pub state: SlotState,
    /// Identity of the model that makes its vectors, as recorded when the slot was made; absent when a release made it that
    /// did not record it, or when the destination embeds texts itself.
    pub embedder_model: Option<String>,
    /// The operation that made the slot, or adopted it.
    pub created_by_operation: Uuid,
    /// Whether the platform made the slot, and a fork took it over.
    pub adopted: bool,
    /// When it last became ready.
    pub ready_at: Option<DateTime<Utc>>,
}

/// Every destination of a sync: active first, then shadows, then deprecated ones; oldest first within a role.
///
/// # Errors
/// `NotFound` when the organisation has no such sync.
pub async fn list(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<Vec<Slot>> {
    let mut connection = database.pool().acquire().await.during("listing the slots")?;
    sync_lock::require_sync(&mut connection, organization_id, sync_id).await?;
    read(&mut connection, organization_id, sync_id, None, None).await
}

/// One slot, whoever built it.
///
/// # Errors
/// `NotFound` when the sync of this organisation has no such destination.
pub async fn get(database: &Database, scope: &SlotScope) -> Result<Slot> {
    let mut connection = database.pool().acquire().await.during("reading the slot")?;
    read(&mut connection, scope.organization_id, scope.sync_id, Some(scope.slot_id), None)
        .await?
        .pop()
        .ok_or_else(|| scope.not_found())
}

/// The slot a connection has in a sync, if it has one.
///
/// # Errors
/// `NotFound` when the organisation has no such sync.
pub async fn find_by_connection(
    database: &Database,
    organization_id: Uuid,
    sync_id: Uuid,
    connection_id: Uuid,
) -> Result<Option<Slot>> {
    let mut connection = database.pool().acquire().await.during("reading the slot")?;
    sync_lock::require_sync(&mut connection, organization_id, sync_id).await?;
    Ok(read(&mut connection, organization_id, sync_id, None, Some(connection_id)).await?.pop())
}

/// Notes that a replay writes to the slot; a slot that was ready is so no longer.
///
/// # Errors
/// `NotFound` for a slot this product did not build; `Conflict` when it is neither a shadow nor adopted, or is being
/// retired.
pub async fn mark_building(database: &Database, scope: &SlotScope) -> Result<()> {
    let mut transaction = database.pool().begin().await.during("marking the slot")?;
    sync_lock::lock(&mut transaction, scope.organization_id, scope.sync_id).await?;
    lock_buildable(&mut transaction, scope).await?;
    sqlx::query(
        "UPDATE sync_multiplexer.slot
         SET state = 'building', ready_at = NULL, ready_plan_id = NULL, updated_at = now()
         WHERE slot_id = $1 AND organization_id = $2 AND state <> 'building'",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .execute(&mut *transaction)
    .await
    .during("marking the slot")?;
    transaction.commit().await.during("marking the slot")
}

/// Declares the slot complete as of a plan, so that it can be promoted.
///
/// # Errors
/// `NotFound` for a slot this product did not build; `Conflict` when it is not being built, when the plan is not its
/// current one, or when a segment of the plan is not done.
pub async fn mark_ready(database: &Database, scope: &SlotScope, plan_id: Uuid) -> Result<()> {
    let mut transaction = database.pool().begin().await.during("marking the slot")?;
    sync_lock::lock(&mut transaction, scope.organization_id, scope.sync_id).await?;
    let (state, ready_plan_id) = lock_buildable(&mut transaction, scope).await?;
    match state {
        SlotState::Ready if ready_plan_id == Some(plan_id) => return Ok(()),
        SlotState::Building => {}
        SlotState::Empty | SlotState::Ready => {
            return Err(conflict(format!("slot {} is {state}, not building: fork it first", scope.slot_id)));
        }
    }
    let unfinished: Option<i64> = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM sync_multiplexer.segment
                 WHERE segment.plan_id = plan.plan_id AND segment.state <> 'done')
         FROM sync_multiplexer.plan
         WHERE plan.plan_id = $1 AND plan.slot_id = $2 AND plan.organization_id = $3",
    )
    .bind(plan_id)
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .fetch_optional(&mut *transaction)
    .await
    .during("looking for unfinished segments")?;
    match unfinished {
        Some(0) => {}
        None => {
            return Err(conflict(format!("plan {plan_id} is not the current plan of slot {}", scope.slot_id)));
        }
        Some(segments) => {
            return Err(conflict(format!(
                "slot {} is not complete: {segments} segments of its plan are not done",
                scope.slot_id
            )));
        }
    }
    sqlx::query(
        "UPDATE sync_multiplexer.slot
         SET state = 'ready', ready_at = now(), ready_plan_id = $3, updated_at = now()
         WHERE slot_id = $1 AND organization_id = $2",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(plan_id)
    .execute(&mut *transaction)
    .await
    .during("marking the slot")?;
    transaction.commit().await.during("marking the slot")
}

/// State of a slot of ours, after making sure that a fork may build it: a shadow, or a deprecated slot that was adopted. The
/// sync is locked by the caller.
async fn lock_buildable(connection: &mut PgConnection, scope: &SlotScope) -> Result<(SlotState, Option<Uuid>)> {
    let row: Option<(Option<Role>, bool, SlotState, Option<Uuid>)> = sqlx::query_as(
        "SELECT joined.role, slot.adopted, slot.state, slot.ready_plan_id
         FROM sync_multiplexer.slot
         JOIN public.sync_connection AS joined ON joined.id = slot.slot_id AND joined.sync_id = slot.sync_id
         WHERE slot.slot_id = $1 AND slot.sync_id = $2 AND slot.organization_id = $3
         FOR UPDATE OF slot",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during("reading the slot")?;
    let (role, adopted, state, ready_plan_id) = row.ok_or_else(|| scope.not_found())?;
    match role {
        Some(Role::Shadow) => {}
        Some(Role::Deprecated) if adopted => {}
        role => {
            let role = role.map_or("without a role", Role::as_str);
            return Err(conflict(format!("slot {} is {role}: only a shadow can be built", scope.slot_id)));
        }
    }
    retire::require_unmarked(connection, scope).await?;
    Ok((state, ready_plan_id))
}

fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict, message)
}

/// The destinations of a sync that fit the filters.
async fn read(
    connection: &mut PgConnection,
    organization_id: Uuid,
    sync_id: Uuid,
    slot_id: Option<Uuid>,
    connection_id: Option<Uuid>,
) -> Result<Vec<Slot>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT joined.id AS slot_id, joined.sync_id, joined.connection_id, connection.name AS connection_name,
                connection.short_name, joined.role, joined.created_at AT TIME ZONE 'UTC' AS created_at,
                built.profile, built.profile_name, built.fingerprint, built.place, built.state,
                built.created_by_operation, built.adopted, built.ready_at, built.embedder_model, ledger.entities, ledger.points,
                dead_letter.dead_letters, kept.kept_until, kept.is_open, retirement.operation_id AS retired_by
         FROM public.sync_connection AS joined
         JOIN public.sync ON sync.id = joined.sync_id
         JOIN public.connection ON connection.id = joined.connection_id
         LEFT JOIN sync_multiplexer.slot AS built
                ON built.slot_id = joined.id AND built.sync_id = joined.sync_id
               AND built.organization_id = sync.organization_id
         LEFT JOIN sync_multiplexer.reverse_window AS kept
                ON kept.slot_id = joined.id AND kept.organization_id = sync.organization_id
         LEFT JOIN sync_multiplexer.retirement
                ON retirement.slot_id = joined.id AND retirement.organization_id = sync.organization_id
               AND retirement.removed_at IS NULL
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(entry_count), 0)::bigint AS entities, coalesce(sum(points), 0)::bigint AS points
             FROM sync_multiplexer.ledger_page WHERE ledger_page.slot_id = built.slot_id
         ) AS ledger
         CROSS JOIN LATERAL (
             SELECT count(*) AS dead_letters
             FROM sync_multiplexer.dead_letter WHERE dead_letter.slot_id = built.slot_id
         ) AS dead_letter
         WHERE joined.sync_id = $1 AND sync.organization_id = $2
           AND connection.integration_type::text = 'DESTINATION'
           AND ($3::uuid IS NULL OR joined.id = $3)
           AND ($4::uuid IS NULL OR joined.connection_id = $4)
         ORDER BY array_position(ARRAY['active', 'shadow', 'deprecated'], joined.role::text),
                  joined.created_at, joined.id",
    )
    .bind(sync_id)
    .bind(organization_id)
    .bind(slot_id)
    .bind(connection_id)
    .fetch_all(connection)
    .await
    .during("reading the slots")?;
    Ok(rows.into_iter().map(Row::into_slot).collect())
}

#[derive(sqlx::FromRow)]
struct Row {
    slot_id: Uuid,
    sync_id: Uuid,
    connection_id: Uuid,
    connection_name: String,
    short_name: String,
    role: Option<Role>,
    created_at: DateTime<Utc>,
    profile: Option<Value>,
    profile_name: Option<String>,
    fingerprint: Option<String>,
    place: Option<String>,
    state: Option<SlotState>,
    created_by_operation: Option<Uuid>,
    adopted: Option<bool>,
    ready_at: Option<DateTime<Utc>>,
    embedder_model: Option<String>,
    #[sqlx(try_from = "i64")]
    entities: u64,
    #[sqlx(try_from = "i64")]
    points: u64,
    #[sqlx(try_from = "i64")]
    dead_letters: u64,
    kept_until: Option<DateTime<Utc>>,
    is_open: Option<bool>,
    retired_by: Option<Uuid>,
}

impl Row {
    fn into_slot(self) -> Slot {
        // The columns come from one row of an outer join: all there, or none.
        let built = match (self.profile, self.profile_name, self.fingerprint, self.state, self.created_by_operation) {
            (Some(profile), Some(profile_name), Some(fingerprint), Some(state), Some(created_by_operation)) => {
                let (place, embedder_model, ready_at) = (self.place, self.embedder_model, self.ready_at);
                Some(Built {
                    profile,
                    profile_name,
                    fingerprint,
                    place,
                    state,
                    embedder_model,
                    created_by_operation,
                    adopted: self.adopted.unwrap_or_default(),
                    ready_at,
                })
            }
            _ => None,
        };
        Slot {
            slot_id: self.slot_id,
            sync_id: self.sync_id,
            connection_id: self.connection_id,
            connection_name: self.connection_name,
            short_name: self.short_name,
            role: self.role,
            created_at: self.created_at,
            built,
            entities: self.entities,
            points: self.points,
            dead_letters: self.dead_letters,
            window: ReverseWindow::from_columns(self.kept_until, self.is_open),
            retired_by: self.retired_by,
        }
    }
}
