//! `syncmux arf`

use std::collections::BTreeMap;

use activities::chunking::ChunkerSettings;
use activities::inspection::{Broken, InspectedEntity, Inspector};
use activities::raw_store::{ListedObject, RawStore, SyncStore};
use clap::{Args, Subcommand};
use futures::{Stream, TryStreamExt as _};
use serde::Serialize;
use serde_json::json;
use workflows::domain::ErrorKind;

use super::list::parse_uuid;
use crate::config::StoreArgs;
use crate::output::{Failure, print_json, table};

/// Entities read at a time.
const READS_IN_FLIGHT: usize = 32;

/// Read a raw store; needs nothing else running.
#[derive(Debug, Subcommand)]
pub(super) enum Arf {
    /// Count entities per class, bytes, stored files, unknown classes and what cannot be decoded
    #[command(after_long_help = "Examples:

  syncmux arf stat --sync $SYNC")]
    Stat(Which),
    /// Like stat, but exits with 6 when anything cannot be carried over, and names it
    #[command(after_long_help = "Examples:

  syncmux arf check --sync $SYNC")]
    Check(Which),
    /// Print entities with hash, metadata section, text and chunks
    #[command(after_long_help = "Examples:

  syncmux arf show --sync $SYNC --jsonl")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    #[command(flatten)]
    store: StoreArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    store: StoreArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// One JSON object per line, with path, entity_id, class, hash, metadata_section, text and chunks
    #[arg(long)]
    jsonl: bool,
    /// Only the entity with this id
    #[arg(long, value_name = "ID")]
    entity: Option<String>,
    /// Only entities of this class
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Largest chunk in cl100k_base tokens
    #[arg(long, default_value_t = 512, value_name = "TOKENS")]
    max_tokens: usize,
}

#[derive(Default, Serialize)]
struct Statistics {
    entities: u64,
    json_bytes: u64,
    stored_files: u64,
    stored_file_bytes: u64,
    without_text: u64,
    classes: BTreeMap<String, u64>,
    unknown_classes: BTreeMap<String, u64>,
    broken: Vec<serde_json::Value>,
    manifest_problems: Vec<String>,
}

impl Arf {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Stat(which) => statistics(&which).await?.print(which.json),
            Self::Check(which) => {
                let statistics = statistics(&which).await?;
                statistics.print(which.json)?;
                match statistics.broken.len() {
                    0 => Ok(()),
                    broken => Err(Failure::new(
                        ErrorKind::RawStoreInvalid,
                        format!("{broken} entities cannot be carried over"),
                    )),
                }
            }
            Self::Show(show) => show.run().await,
        }
    }
}

fn open(store: &StoreArgs, sync: &str) -> Result<SyncStore, Failure> {
    Ok(RawStore::open(&store.store_url)?.sync(parse_uuid("--sync", sync)?))
}

type Inspected = (ListedObject, Result<InspectedEntity, Broken>);

/// Every entity of the store in the order of its listing; one that is gone by then is left out.
async fn entities<'a>(
    store: &'a SyncStore,
    inspector: &'a Inspector,
) -> Result<impl Stream<Item = Result<Inspected, Failure>> + 'a, Failure> {
    Ok(store
        .list()
        .map_err(Failure::from)
        .map_ok(move |listed| async move { Ok(inspector.inspect(&listed).await?.map(|entity| (listed, entity))) })
        .try_buffered(READS_IN_FLIGHT)
        .try_filter_map(|inspected| async { Ok(inspected) }))
}

async fn statistics(which: &Which) -> Result<Statistics, Failure> {
    let store = open(&which.store, &which.sync)?;
    let inspector = Inspector::open(store.clone(), ChunkerSettings::default()).await?;
    let mut found = Statistics { manifest_problems: store.manifest().await?.problems, ..Statistics::default() };
    let mut entities = std::pin::pin!(entities(&store, &inspector).await?);
    while let Some((listed, entity)) = entities.try_next().await? {
        found.entities += 1;
        match entity {
            Ok(entity) => {
                found.json_bytes += entity.json_bytes;
                found.stored_files += u64::from(entity.blob_bytes.is_some());
                found.stored_file_bytes += entity.blob_bytes.unwrap_or(0);
                found.without_text += u64::from(entity.text.is_none());
                if !entity.known_class {
                    *found.unknown_classes.entry(entity.class.clone()).or_default() += 1;
                }
                *found.classes.entry(entity.class).or_default() += 1;
            }
            Err(Broken { stage, reason }) => {
                found.broken.push(json!({ "object_key": listed.key, "stage": stage, "reason": reason }));
            }
        }
    }
    Ok(found)
}

impl Statistics {
    fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            return print_json(self);
        }
        let mut classes = table(&["CLASS", "ENTITIES"]);
        for (class, count) in &self.classes {
            let note = if self.unknown_classes.contains_key(class) { " (unknown class)" } else { "" };
            classes.add_row([format!("{class}{note}"), count.to_string()]);
        }
        println!("{classes}\n");
        println!("{} entities, {} bytes of JSON", self.entities, self.json_bytes);
        println!("{} stored files, {} bytes", self.stored_files, self.stored_file_bytes);
        println!("{} entities without text", self.without_text);
        println!(
            "{} unknown classes, {} objects that cannot be carried over",
            self.unknown_classes.len(),
            self.broken.len()
        );
        for broken in &self.broken {
            let text = |field: &str| broken[field].as_str().unwrap_or_default();
            println!("  {}  {}: {}", text("object_key"), text("stage"), text("reason"));
        }
        for problem in &self.manifest_problems {
            println!("  manifest: {problem}");
        }
        Ok(())
    }
}

impl Show {
    async fn run(self) -> Result<(), Failure> {
        let store = open(&self.store, &self.sync)?;
        let settings = ChunkerSettings { max_tokens: self.max_tokens, ..ChunkerSettings::default() };
        let inspector = Inspector::open(store.clone(), settings).await?;
        if !inspector.names_source() {
            eprintln!(
                "the manifest does not name the source, so texts say \"unknown\" and hashes differ; a replay takes the name from the \
                 platform, or refuses"
            );
        }
        let mut shown = 0_u64;
        let mut entities = std::pin::pin!(entities(&store, &inspector).await?);
        while let Some((listed, entity)) = entities.try_next().await? {
            let path = format!("raw/{}/entities/{}", store.sync_id(), listed.key);
            let entity = match entity {
                Ok(entity) => entity,
                Err(Broken { stage, reason }) => {
                    eprintln!("{path}: {stage}: {reason}");
                    continue;
                }
            };
            let wanted = self.entity.as_ref().is_none_or(|id| *id == entity.entity_id)
                && self.class.as_ref().is_none_or(|class| *class == entity.class);
            if !wanted {
                continue;
            }
            shown += 1;
            if self.jsonl {
                println!(
                    "{}",
                    json!({
                        "path": path,
                        "entity_id": entity.entity_id,
                        "class": entity.class,
                        "hash": entity.content_hash,
                        "metadata_section": entity.metadata_section,
                        "text": entity.text,
                        "no_text": entity.no_text,
                        "chunks": entity.chunks,
                    })
                );
            } else {
                println!(
                    "{path}\n  {} {:?}, {} chunks, hash {}",
                    entity.class,
                    entity.entity_id,
                    entity.chunks.len(),
                    entity.content_hash
                );
                match (&entity.text, &entity.no_text) {
                    (Some(text), _) => println!("{}\n", indent(text)),
                    (None, reason) => println!("  no text: {}\n", reason.as_deref().unwrap_or("unknown")),
                }
            }
        }
        if shown == 0 && (self.entity.is_some() || self.class.is_some()) {
            return Err(Failure::new(ErrorKind::NotFound, "the raw store has no such entity"));
        }
        Ok(())
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  │ {line}")).collect::<Vec<_>>().join("\n")
}
