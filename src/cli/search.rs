//! `syncmux search`

use activities::Activities;
use activities::database::SlotScope;
use clap::Args;
use proto::v1::{SearchHit, SearchResult};

use super::list::parse_uuid;
use crate::config::TenantArgs;
use crate::output::{Failure, print_json, table};
use crate::worker::WorkerSettings;

/// Characters of a chunk that the table shows.
const SHOWN: usize = 90;

/// Ask a sync a question, the way a reader does.
///
/// Resolves the active destination, embeds the question as that slot's texts were embedded, and prints the best chunks. When
/// the active slot changes meanwhile, it asks the new one: an answer is of one slot, which was active all the time. Takes
/// the settings a worker takes.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux search --sync $SYNC \"why were customers billed twice\"")]
pub(super) struct Search {
    #[command(flatten)]
    settings: WorkerSettings,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// Ask this slot, whatever its role [default: the active one]
    #[arg(long, value_name = "SLOT")]
    slot: Option<String>,
    /// Chunks to show
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// What to look for
    #[arg(value_name = "QUESTION")]
    question: String,
}

impl Search {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let organization_id = parse_uuid("--organization", &self.tenant.organization)?;
        let sync_id = parse_uuid("--sync", &self.sync)?;
        let slot = self.slot.as_deref().map(|slot| parse_uuid("--slot", slot)).transpose()?;
        let activities = Activities::connect(self.settings.activities()?).await?;
        let (mut result, hits) = match slot {
            Some(slot_id) => {
                let scope = SlotScope { organization_id, sync_id, slot_id };
                let hits = activities.search(scope, &self.question, self.limit).await?;
                (SearchResult { slot_id: slot_id.to_string(), ..SearchResult::default() }, hits)
            }
            None => {
                let (active, hits) =
                    activities.search_active(organization_id, sync_id, &self.question, self.limit).await?;
                let result = SearchResult {
                    slot_id: active.slot_id.to_string(),
                    generation: Some(active.generation),
                    collection: active.collection_readable_id.unwrap_or_default(),
                    ..SearchResult::default()
                };
                (result, hits)
            }
        };
        result.sync_id = sync_id.to_string();
        result.hits = hits
            .into_iter()
            .map(|hit| SearchHit { entity_id: hit.entity.0, chunk_index: hit.index, score: hit.score, text: hit.text })
            .collect();
        if self.json {
            return print_json(&result);
        }
        println!("{}", render(&result));
        Ok(())
    }
}

fn render(result: &SearchResult) -> String {
    let mut rows = table(&["SCORE", "ENTITY", "CHUNK", "TEXT"]);
    for hit in &result.hits {
        rows.add_row([
            format!("{:.4}", hit.score),
            hit.entity_id.clone(),
            hit.chunk_index.to_string(),
            beginning(&hit.text),
        ]);
    }
    match result.generation {
        Some(generation) => format!("{rows}\nslot {}, generation {generation}", result.slot_id),
        None => format!("{rows}\nslot {}", result.slot_id),
    }
}

/// The first words of a chunk, on one line.
fn beginning(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &flat[..end]),
        None => flat,
    }
}
