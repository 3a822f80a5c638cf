//! `syncmux list`

use std::collections::HashMap;

use activities::database::follow_state::{self, FollowState};
use activities::database::{Database, Role, roles, slots};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use proto::v1::{self, FollowedSlot, Lag, ListResult};
use workflows::domain::ErrorKind;

use crate::config::{DatabaseArgs, TenantArgs};
use crate::output::{Failure, print_json, table};

/// List the destinations of a sync with role, state and counts.
///
/// Counts are what this product recorded; a slot that the platform built shows none. A deprecated slot is kept for a
/// rollback until its reverse window ends. The lag is how many entities a followed slot was behind when it was last compared
/// with the raw store, and how old the oldest change was.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux list --sync $SYNC")]
pub(super) struct List {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let organization = parse_uuid("--organization", &self.tenant.organization)?;
        let sync = parse_uuid("--sync", &self.sync)?;
        let database = Database::connect(&self.database.database_url, 2).await?;
        let result = destinations(&database, organization, sync).await?;
        if self.json {
            return print_json(&result);
        }
        println!("{}", render(&result));
        Ok(())
    }
}

/// The destinations of a sync.
pub(crate) async fn destinations(
    database: &Database,
    organization: uuid::Uuid,
    sync: uuid::Uuid,
) -> Result<ListResult, Failure> {
    let generation = roles::generation(database, organization, sync).await?;
    let slots = slots::list(database, organization, sync).await?;
    let mut followed: HashMap<_, _> = follow_state::list(database, organization, sync).await?.into_iter().collect();
    let slots = slots.into_iter().map(|slot| {
        let followed = followed.remove(&slot.slot_id).map(|state| followed_message(slot.slot_id, state));
        v1::Slot { followed, ..message(slot) }
    });
    Ok(ListResult { sync_id: sync.to_string(), generation, slots: slots.collect() })
}

fn followed_message(slot_id: uuid::Uuid, state: FollowState) -> FollowedSlot {
    let millis = |time: Option<DateTime<Utc>>| time.map_or(0, |time| time.timestamp_millis().unsigned_abs());
    let (since, error_kind, error_message) =
        state.failing.map(|it| (Some(it.since), it.kind, it.message)).unwrap_or_default();
    FollowedSlot {
        slot_id: slot_id.to_string(),
        lag: state.lag.map(|(entities, oldest_change_ms)| Lag { entities, oldest_change_ms }),
        compared_at_ms: millis(state.compared_at),
        caught_up_at_ms: millis(state.caught_up_at),
        failing_since_ms: millis(since),
        error_kind,
        error_message,
    }
}

/// How far a followed slot was behind when it was last compared with the raw store.
pub(super) fn behind(slot: &v1::Slot) -> String {
    let Some(followed) = &slot.followed else { return "-".to_owned() };
    let lag = match followed.lag {
        None => "unknown".to_owned(),
        Some(Lag { entities, oldest_change_ms: 0 }) => entities.to_string(),
        Some(Lag { entities, oldest_change_ms }) => format!("{entities}, {} s", oldest_change_ms.div_ceil(1000)),
    };
    if followed.failing_since_ms > 0 { format!("{lag} (failing)") } else { lag }
}

/// The destinations as a table.
pub(crate) fn render(result: &ListResult) -> String {
    let mut rows = table(&[
        "SLOT",
        "CONNECTION",
        "KIND",
        "ROLE",
        "STATE",
        "PROFILE",
        "ENTITIES",
        "POINTS",
        "DEAD",
        "LAG",
        "KEPT UNTIL",
    ]);
    for slot in &result.slots {
        let built = slot.state() != v1::SlotState::Unspecified;
        let number = |count: u64| if built { count.to_string() } else { "-".to_owned() };
        rows.add_row([
            slot.slot_id.clone(),
            slot.connection_name.clone(),
            slot.short_name.clone(),
            words(slot.role().as_str_name(), "ROLE_"),
            if slot.retiring_operation_id.is_empty() {
                words(slot.state().as_str_name(), "SLOT_STATE_")
            } else {
                "retiring".to_owned()
            },
            if slot.profile_name.is_empty() { "-".to_owned() } else { slot.profile_name.clone() },
            number(slot.entities),
            number(slot.points),
            number(slot.dead_letters),
            behind(slot),
            kept(slot),
        ]);
    }
    format!("{rows}\ngeneration {}", result.generation)
}

fn message(slot: slots::Slot) -> v1::Slot {
    let role = match slot.role {
        Some(Role::Active) => v1::Role::Active,
        Some(Role::Shadow) => v1::Role::Shadow,
        Some(Role::Deprecated) => v1::Role::Deprecated,
        None => v1::Role::Unspecified,
    };
    let state = match slot.built.as_ref().map(|built| built.state) {
        Some(slots::SlotState::Empty) => v1::SlotState::Empty,
        Some(slots::SlotState::Building) => v1::SlotState::Building,
        Some(slots::SlotState::Ready) => v1::SlotState::Ready,
        None => v1::SlotState::Unspecified,
    };
    let (profile_name, profile_fingerprint) =
        slot.built.map(|built| (built.profile_name, built.fingerprint)).unwrap_or_default();
    v1::Slot {
        slot_id: slot.slot_id.to_string(),
        connection_id: slot.connection_id.to_string(),
        connection_name: slot.connection_name,
        short_name: slot.short_name,
        role: role.into(),
        state: state.into(),
        profile_name,
        profile_fingerprint,
        created_at: slot.created_at.to_rfc3339(),
        entities: slot.entities,
        points: slot.points,
        dead_letters: slot.dead_letters,
        kept_until: slot
            .window
            .map(|window| window.kept_until.to_rfc3339_opts(SecondsFormat::Secs, true))
            .unwrap_or_default(),
        kept: slot.window.is_some_and(|window| window.is_open),
        retiring_operation_id: slot.retired_by.map(|id| id.to_string()).unwrap_or_default(),
        followed: None,
    }
}

/// Until when a slot is kept for a rollback.
pub(super) fn kept(slot: &v1::Slot) -> String {
    match (slot.kept_until.as_str(), slot.kept) {
        ("", _) => "-".to_owned(),
        (until, true) => until.to_owned(),
        (until, false) => format!("{until} (over)"),
    }
}

fn words(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix) {
        Some("UNSPECIFIED") | None => "-".to_owned(),
        Some(word) => word.to_lowercase(),
    }
}

/// An id from the command line.
pub(super) fn parse_uuid(flag: &str, text: &str) -> Result<uuid::Uuid, Failure> {
    uuid::Uuid::try_parse(text)
        .map_err(|_| Failure::new(ErrorKind::InvalidInput, format!("{flag} is not a UUID: {text:?}")))
}
