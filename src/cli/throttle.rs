//! `syncmux throttle`

use activities::database::operation_list::{self, Filter, MAX_PAGE};
use activities::database::operations::OperationState;
use activities::database::throttle::{self, Limited};
use activities::database::{Database, throttled};
use activities::throttle::{Author, Change, Limits, Setting};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{ArgGroup, Args};
use proto::v1;
use serde_json::json;
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::fork::whoami;
use super::list::parse_uuid;
use crate::config::{DatabaseArgs, TemporalArgs};
use crate::operations::Operations;
use crate::output::{Failure, print_json, table};
use crate::temporal;

/// Limit how fast operations work: all of them together, those of one sync, or one.
///
/// Limits hold at once, over all workers, also for segments that run already, and until they are
/// lifted or the operation ends. What is not named stays as it is. An operation that waits says so,
/// with who set the limit and why: in `syncmux status`, `syncmux operations show` and the Temporal UI.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(after_long_help = "Examples:

  syncmux throttle --all --entities-per-second 200 --reason \"backup tonight\"
  syncmux throttle --all --stop --reason \"the destination is being moved\"
  syncmux throttle --all --none --reason \"it has been moved\"
  syncmux throttle --operation $OPERATION --lanes 2 --embeds-per-second 50
  syncmux throttle --show")]
#[command(group = ArgGroup::new("what").required(true).args(["all", "operation", "sync", "show"]))]
#[command(group = ArgGroup::new("limit").multiple(true).args(["lanes", "entities_per_second", "embeds_per_second", "stop", "none"]))]
pub(super) struct Throttle {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    temporal: TemporalArgs,
    /// Organisation the operations belong to; not needed for all operations together
    #[arg(long, env = "SYNCMUX_ORGANIZATION_ID", value_name = "UUID")]
    organization: Option<String>,
    /// All operations together, whose-ever they are: for whoever runs the workers
    #[arg(long, requires = "limit", requires = "reason")]
    all: bool,
    /// One operation
    #[arg(long, requires = "limit", value_name = "UUID")]
    operation: Option<String>,
    /// Every operation of a sync that runs
    #[arg(long, requires = "limit", value_name = "UUID")]
    sync: Option<String>,
    /// Change nothing; show the limits in force and what they hold back
    #[arg(long, conflicts_with = "limit")]
    show: bool,
    /// Segments that an operation works on at a time; of all operations, batches at work at a time
    #[arg(long, value_name = "N")]
    lanes: Option<u32>,
    /// Entities carried over per second; 0 stops
    #[arg(long, value_name = "N")]
    entities_per_second: Option<f64>,
    /// Chunks embedded per second; 0 stops embedding
    #[arg(long, value_name = "N")]
    embeds_per_second: Option<f64>,
    /// Stop: no further batch is begun
    #[arg(long, conflicts_with_all = ["entities_per_second", "none"])]
    stop: bool,
    /// Lift every limit that is not named
    #[arg(long)]
    none: bool,
    /// Why, for whoever finds the work held back
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Throttle {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let organization = self.organization.as_deref().map(|id| parse_uuid("--organization", id)).transpose()?;
        let database = Database::connect(&self.database.database_url, 2).await?;
        if self.show {
            return self.print(&database, organization).await;
        }
        if self.all {
            let author = Author { requested_by: whoami(), reason: self.reason.clone() };
            let limits = throttle::limit_all(&database, self.change(), &author).await?;
            return self.tell("all operations together", limits);
        }
        let organization = organization.ok_or_else(|| {
            Failure::new(ErrorKind::InvalidInput, "--organization is missing: whose operation is it?")
        })?;
        let running = self.running(&database, organization).await?;
        let client = temporal::connect(&self.temporal).await?;
        let operations = Operations::new(database, client, &self.temporal.task_queue);
        let asked = v1::Throttle {
            lanes: self.lanes.unwrap_or_default(),
            entities_per_second: self.entities(),
            embeds_per_second: self.embeds_per_second,
            unlimited: self.none,
            requested_by: whoami(),
            reason: self.reason.clone(),
        };
        for operation in running {
            let in_force = operations.throttle(organization, operation, &asked).await?;
            let limits = Limits {
                entities_per_second: in_force.entities_per_second,
                embeds_per_second: in_force.embeds_per_second,
                lanes: Some(in_force.lanes).filter(|lanes| *lanes > 0),
            };
            self.tell(&format!("operation {operation}"), limits)?;
        }
        Ok(())
    }

    fn entities(&self) -> Option<f64> {
        if self.stop { Some(0.0) } else { self.entities_per_second }
    }

    fn change(&self) -> Change {
        let rest = if self.none { Change::LIFT } else { Change::default() };
        Change {
            entities_per_second: self.entities().map_or(rest.entities_per_second, Setting::To),
            embeds_per_second: self.embeds_per_second.map_or(rest.embeds_per_second, Setting::To),
            lanes: self.lanes.map_or(rest.lanes, Setting::To),
        }
    }

    /// The operation, or those of the sync that run.
    async fn running(&self, database: &Database, organization: Uuid) -> Result<Vec<Uuid>, Failure> {
        if let Some(operation) = &self.operation {
            return Ok(vec![parse_uuid("--operation", operation)?]);
        }
        let sync = parse_uuid("--sync", self.sync.as_deref().unwrap_or_default())?;
        let filter = Filter { sync_id: Some(sync), state: Some(OperationState::Running), ..Filter::default() };
        let page = operation_list::page(database, organization, &filter, None, MAX_PAGE).await?;
        if page.operations.is_empty() {
            return Err(Failure::new(ErrorKind::Conflict, format!("no operation of sync {sync} runs")));
        }
        Ok(page.operations.into_iter().map(|operation| operation.operation_id).collect())
    }

    fn tell(&self, what: &str, limits: Limits) -> Result<(), Failure> {
        if self.json {
            return print_json(&json!({ "what": what, "limits": as_json(limits) }));
        }
        println!("{what}: {limits}");
        Ok(())
    }

    async fn print(&self, database: &Database, organization: Option<Uuid>) -> Result<(), Failure> {
        let limited = throttle::in_force(database, organization).await?;
        let held = match organization {
            Some(organization) => throttled::current(database, organization, None).await?,
            None => Vec::new(),
        };
        if self.json {
            let limits: Vec<_> = limited
                .iter()
                .map(|it| {
                    json!({
                        "workflow_id": it.workflow_id, "limits": as_json(it.limits), "requested_by": it.requested_by,
                        "reason": it.reason, "since": it.since,
                    })
                })
                .collect();
            let held_back: Vec<_> = held
                .iter()
                .map(|it| {
                    json!({
                        "workflow_id": it.workflow_id, "by": it.throttled_by.as_str(), "why": it.why, "since": it.since,
                    })
                })
                .collect();
            return print_json(&json!({ "limits": limits, "held_back": held_back }));
        }
        let mut rows = table(&["LIMITED", "TO", "BY", "SINCE", "WHY"]);
        for Limited { workflow_id, limits, requested_by, reason, since } in limited {
            let what = workflow_id.unwrap_or_else(|| "all operations together".to_owned());
            rows.add_row([what, limits.to_string(), requested_by, shown(since), reason]);
        }
        println!("{rows}");
        for it in held {
            println!("{} is held back by {}: {}, since {}", it.workflow_id, it.throttled_by, it.why, shown(it.since));
        }
        Ok(())
    }
}

fn as_json(limits: Limits) -> serde_json::Value {
    json!({
        "entities_per_second": limits.entities_per_second, "embeds_per_second": limits.embeds_per_second,
        "lanes": limits.lanes,
    })
}

/// A time as it is shown.
pub(super) fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
