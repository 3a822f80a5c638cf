//! `syncmux operations list`

use activities::database::operation_list::{Cursor, Filter};
use activities::database::operations::{Operation, OperationKind, OperationState};
use clap::Args;
use clap::builder::PossibleValuesParser;
use comfy_table::Table;
use serde_json::json;

use super::Place;
use super::show::as_json;
use crate::cli::list::parse_uuid;
use crate::output::{Failure, print_json, table};

/// List operations, newest first.
///
/// An operation whose workflow was terminated is listed as failed, and recorded so.
///
/// Examples:
///
///   syncmux operations list --state running
///   syncmux operations list --sync $SYNC --kind fork --limit 5
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    place: Place,
    /// About this sync
    #[arg(long, value_name = "UUID")]
    sync: Option<String>,
    /// About this collection as a whole
    #[arg(long, value_name = "UUID", conflicts_with = "sync")]
    collection: Option<String>,
    /// Of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(OperationKind::ALL.iter().map(|it| it.as_str())))]
    kind: Option<String>,
    /// In this state
    #[arg(long, value_parser = PossibleValuesParser::new(OperationState::ALL.iter().map(|it| it.as_str())))]
    state: Option<String>,
    /// How many, up to 200
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: u32,
    /// Go on behind a page: the cursor that it ended with
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let uuid = |flag, text: &Option<String>| text.as_deref().map(|text| parse_uuid(flag, text)).transpose();
        let filter = Filter {
            sync_id: uuid("--sync", &self.sync)?,
            collection_id: uuid("--collection", &self.collection)?,
            kind: self.kind.as_deref().map(str::parse).transpose()?,
            state: self.state.as_deref().map(str::parse).transpose()?,
        };
        let after = self.after.as_deref().map(str::parse::<Cursor>).transpose()?;
        let (operations, organization) = self.place.open().await?;
        let page = operations.list(organization, &filter, after.as_ref(), self.limit).await?;
        let next = page.next.map(|cursor| cursor.to_string());
        if self.json {
            let listed: Vec<_> = page.operations.iter().map(as_json).collect();
            return print_json(&json!({ "operations": listed, "next": next }));
        }
        println!("{}", rows(&page.operations));
        if let Some(next) = next {
            eprintln!("more with --after {next}");
        }
        Ok(())
    }
}

/// Operations as a table.
pub(in crate::cli) fn rows(operations: &[Operation]) -> Table {
    let mut rows = table(&["OPERATION", "KIND", "STATE", "PHASE", "STARTED", "BY", "WORKFLOW"]);
    for operation in operations {
        rows.add_row([
            operation.operation_id.to_string(),
            operation.kind.as_str().to_owned(),
            if operation.terminated { "terminated" } else { operation.state.as_str() }.to_owned(),
            operation.phase.clone(),
            operation.started_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            operation.requested_by.clone(),
            operation.workflow_id.clone(),
        ]);
    }
    rows
}
