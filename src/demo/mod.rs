//! The demo: a real migration on real servers, from nothing to a switched sync, in one command.
//!
//! It plays the platform (`seed` fills its tables, `store` writes its raw store) and then does what an operator does, by
//! the same workflows and a worker process of its own. Each run starts over, so an interrupted one leaves nothing that
//! the next could trip over: workflows that still run are terminated, the database is made anew.

mod seed;
pub mod store;
mod target;
mod worker_process;

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use activities::connections::{Connections, NativeDestinations};
use activities::credentials::CredentialReader;
use activities::database::{Database, SlotScope};
use activities::platform_api::PlatformApiSettings;
use activities::{Activities, Settings};
use proto::v1::embedder::Kind;
use proto::v1::pgvector_layout::{Distance, VectorType};
use proto::v1::profile::Destination;
use proto::v1::{Chunker, Embedder, ForkRequest, ForkResult, PgvectorLayout, Profile, StaticTable, SwitchRequest};
use secrecy::SecretString;
use temporalio_client::Client;
use uuid::Uuid;
use workflows::domain::ErrorKind;

use crate::cli::{ForkBar, destinations, render_destinations};
use crate::config::TemporalArgs;
use crate::output::Failure;
use crate::stack::{Stack, StackOptions, find_dev_dir};
use crate::temporal;

pub use seed::{NewDestination, Seeded, connect, ids, seed};
use store::StoreOptions;
pub use target::Target;
use worker_process::WorkerProcess;
pub use worker_process::stop as stop_worker;

/// The demo's database.
pub const DATABASE: &str = "syncmux_demo";

/// The demo's task queue: a worker of yours on the same server is not disturbed.
const TASK_QUEUE: &str = "sync-multiplexer-demo";

/// What both slots are asked in the end.
const QUESTION: &str = "why were customers billed twice";

/// How to run the demo.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Leave everything running.
    pub keep: bool,
    /// Entities in the raw store.
    pub entities: usize,
    /// What it is generated from.
    pub seed: u64,
    /// Where the second slot goes.
    pub target: Target,
}

/// Runs the demo. A ctrl-C stops what it started.
///
/// # Errors
///
/// Whatever went wrong first, with its kind.
pub async fn run(options: DemoOptions) -> Result<(), Failure> {
    let stack_options = StackOptions::demo(&find_dev_dir()?);
    std::fs::create_dir_all(&stack_options.run_dir)?;
    let _lock = worker_process::DemoLock::acquire(&stack_options.run_dir)?;

    let keep = options.keep;
    let outcome = tokio::select! {
        outcome = migrate(options, &stack_options) => outcome,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(Failure::new(ErrorKind::Conflict, "interrupted; run it again to start over"))
        }
    };
    if keep && outcome.is_ok() {
        println!("\nEverything is left running. `make down` stops it.");
        return Ok(());
    }
    stop_worker(&stack_options).await?;
    Stack::down(&stack_options).await?;
    outcome
}

async fn migrate(options: DemoOptions, stack_options: &StackOptions) -> Result<(), Failure> {
    let started = Instant::now();
    say("Postgres with pgvector and Temporal");
    let stack = Stack::up(stack_options).await?;
    stop_worker(stack_options).await?;
    note(&format!("postgres {}", stack.database_url(DATABASE)));
    note(&format!("temporal {}   ui {}", stack.temporal_address(), stack.temporal_ui_url()));
    let temporal_args = TemporalArgs {
        task_queue: TASK_QUEUE.to_owned(),
        temporal_address: Some(stack.temporal_address()),
        temporal_profile: None,
        payload_keys_file: None,
    };
    let client = temporal::connect(&temporal_args).await?;
    temporal::register_search_attributes(&client).await?;
    temporal::terminate_all(&client, TASK_QUEUE).await?;

    say("The platform's side: a raw store, and tables that know it");
    let database_url = SecretString::from(stack.recreate_database(DATABASE).await?);
    let database = Database::connect(&database_url, 4).await?;
    database.migrate().await?;
    let demo_ids = ids("demo");
    let store_root = stack_options.run_dir.join("arf");
    let generated = generate_store(&store_root, &options, &demo_ids).await?;
    let encryption_key = SecretString::from(encryption_key(&stack_options.run_dir)?);
    let credentials = CredentialReader::new(Some(&encryption_key))?;
    let vector_url = stack.database_url(DATABASE);
    seed(database.pool(), &credentials, &vector_url, SOURCE, &generated, &demo_ids).await?;
    note(&format!("{} entities in {}", generated.len(), store_root.display()));
    let connections = Connections::new(database_url.clone(), Some(&encryption_key), NativeDestinations::default())?;
    let connection_v1 = options.target.connect(&database, &credentials, &connections, &demo_ids).await?;

    say("A worker");
    let settings = Settings {
        database_url,
        database_connections: 4,
        activity_slots: 1,
        store_url: store_root.display().to_string(),
        encryption_key: Some(encryption_key),
        native: NativeDestinations::default(),
        model_dir: Some(stack.model_dir()),
        embeddings_api_key: None,
        platform_api: PlatformApiSettings::default(),
    };
    let worker = WorkerProcess::start(stack_options, &settings, &temporal_args)?;
    note(&format!("pid {}, log {}", worker.pid(), worker.log().display()));

    let demo = Demo { client, database, ids: demo_ids };
    say("Fork to profile v0: what the platform would have built long ago");
    let v0 = demo.fork(demo_ids.connection_v0, profile_v0()).await?;
    demo.switch(&v0.slot_id, "", "first destination").await?;
    demo.show().await?;

    say(&options.target.headline());
    let v1 = demo.fork(connection_v1, options.target.profile()).await?;
    demo.show().await?;

    say("Switch");
    demo.switch(&v1.slot_id, &v0.slot_id, "profile v1").await?;
    demo.show().await?;

    say(&format!("Both slots answer: \"{QUESTION}\""));
    let reader = Activities::connect(settings).await?;
    for (name, slot) in [("v0, deprecated", &v0.slot_id), ("v1, active", &v1.slot_id)] {
        demo.ask(&reader, name, slot).await?;
    }

    say(&format!("Done in {:.0} s", started.elapsed().as_secs_f64()));
    note(&format!("look at the workflows: {}/namespaces/default/workflows", stack.temporal_ui_url()));
    Ok(())
}

/// Short name of the demo's source.
const SOURCE: &str = "company_tools";

struct Demo {
    client: Client,
    database: Database,
    ids: Seeded,
}

impl Demo {
    async fn fork(&self, connection: Uuid, profile: Profile) -> Result<ForkResult, Failure> {
        let request = ForkRequest {
            organization_id: self.ids.organization_id.to_string(),
            sync_id: self.ids.sync_id.to_string(),
            destination_connection_id: connection.to_string(),
            profile: Some(profile),
            requested_by: "demo".to_owned(),
            ..ForkRequest::default()
        };
        let handle = temporal::start_fork(&self.client, TASK_QUEUE, &request).await?;
        let bar = ForkBar::new();
        let outcome = temporal::watch_fork(&handle, |progress| bar.show(progress)).await;
        bar.done();
        let result = outcome?;
        let seconds = Duration::from_millis(result.duration_ms).as_secs_f64();
        note(&format!(
            "{} entities became {} points in {seconds:.1} s; {} without text, {} dead letters",
            result.entities, result.points, result.textless, result.dead_letter_count
        ));
        note(&format!("{} chunks embedded, {} reused from another slot", result.chunks_embedded, result.chunks_reused));
        for gap in &result.gaps {
            note(&format!("gap: {} ({})", gap.what, gap.count));
        }
        if let Some(verified) = &result.verification {
            note(&format!(
                "verified: {} entities and {} points counted, {} entities read back and compared with the raw store",
                verified.entities_compared, verified.points_found, verified.sampled
            ));
        }
        Ok(result)
    }

    async fn switch(&self, to: &str, from: &str, reason: &str) -> Result<(), Failure> {
        let request = SwitchRequest {
            organization_id: self.ids.organization_id.to_string(),
            sync_id: self.ids.sync_id.to_string(),
            target_slot_id: to.to_owned(),
            expected_active_slot_id: from.to_owned(),
            requested_by: "demo".to_owned(),
            reason: reason.to_owned(),
            ..SwitchRequest::default()
        };
        let handle = temporal::start_switch(&self.client, TASK_QUEUE, &request).await?;
        let result = temporal::wait_switch(&handle).await?;
        note(&format!("slot {} is active, generation {}", result.new_active_slot_id, result.generation));
        if !result.not_announced.is_empty() {
            note(&format!("the destination was not told: {}", result.not_announced));
        }
        Ok(())
    }

    async fn show(&self) -> Result<(), Failure> {
        let listed = destinations(&self.database, self.ids.organization_id, self.ids.sync_id).await?;
        println!();
        for line in render_destinations(&listed).lines() {
            println!("  {line}");
        }
        Ok(())
    }

    async fn ask(&self, reader: &Activities, name: &str, slot: &str) -> Result<(), Failure> {
        let slot_id = Uuid::try_parse(slot)
            .map_err(|_| Failure::new(ErrorKind::Internal, "the fork answered a slot id that is no UUID"))?;
        let scope = SlotScope { organization_id: self.ids.organization_id, sync_id: self.ids.sync_id, slot_id };
        println!("\n  {name}");
        for hit in reader.search(scope, QUESTION, 3).await? {
            println!("    {:.4}  {}#{}  {}", hit.score, hit.entity.0, hit.index, excerpt(&hit.text));
        }
        Ok(())
    }
}

fn profile_v0() -> Profile {
    Profile {
        name: "v0".to_owned(),
        chunker: Some(Chunker { max_tokens: 1024, overlap_tokens: 0 }),
        embedder: Some(local_table()),
        destination: Some(Destination::Pgvector(PgvectorLayout {
            vector_type: VectorType::Vector.into(),
            distance: Distance::Cosine.into(),
            hnsw: None,
        })),
    }
}

fn local_table() -> Embedder {
    Embedder { kind: Some(Kind::StaticTable(StaticTable::default())) }
}

async fn generate_store(root: &Path, options: &DemoOptions, ids: &Seeded) -> Result<Vec<String>, Failure> {
    let store = StoreOptions {
        sync_id: ids.sync_id,
        organization_id: ids.organization_id,
        collection_id: ids.collection_id,
        collection_readable_id: "company-knowledge".to_owned(),
        source_short_name: SOURCE.to_owned(),
        seed: options.seed,
        entities: options.entities,
    };
    let root: PathBuf = root.to_owned();
    let generated = tokio::task::spawn_blocking(move || store::generate(&root, &store))
        .await
        .map_err(|error| Failure::new(ErrorKind::Internal, error.to_string()))??;
    Ok(generated.entity_ids)
}

/// The demo's `ENCRYPTION_KEY`, made on the first run.
fn encryption_key(run_dir: &Path) -> Result<String, Failure> {
    let file = run_dir.join("encryption.key");
    if let Ok(key) = std::fs::read_to_string(&file) {
        return Ok(key);
    }
    let key = CredentialReader::generate_key();
    let mut kept = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file)?;
    kept.write_all(key.as_bytes())?;
    Ok(key)
}

/// A headline.
fn say(headline: &str) {
    if std::io::stdout().is_terminal() {
        println!("\n\x1b[1m{headline}\x1b[0m");
    } else {
        println!("\n{headline}");
    }
}

/// A line below it.
fn note(line: &str) {
    println!("  {line}");
}

/// The part of a chunk that a person would look at: its last paragraph's start.
fn excerpt(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let body = flat.split("# Content ").last().unwrap_or(&flat);
    let mut cut: String = body.chars().take(110).collect();
    if cut.len() < body.len() {
        cut.push('…');
    }
    cut
}
