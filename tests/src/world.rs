//! One test's own platform, raw store, database and task queue.

use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr as _;

use activities::connections::NativeDestinations;
use activities::credentials::CredentialReader;
use activities::database::Database;
use activities::platform_api::PlatformApiSettings;
use activities::{Activities, Settings};
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::Documents;
use proto::v1::{
    Chunker, ForkOptions, ForkRequest, ForkResult, ListResult, PgvectorLayout, Profile, SwitchRequest, SwitchResult,
};
use secrecy::SecretString;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sync_multiplexer::config::TemporalArgs;
use sync_multiplexer::demo::store::{Changes, StoreOptions, change, generate};
use sync_multiplexer::demo::{NewDestination, Seeded, connect, ids, seed};
use sync_multiplexer::output::Failure;
use sync_multiplexer::temporal;
use temporalio_client::{Client, WorkflowHandle};
use uuid::Uuid;
use workflows::fork::ForkWorkflow;

use crate::worker::{Worker, syncmux};

/// A variable that `make test` sets.
///
/// # Panics
///
/// When it is not set.
#[must_use]
pub fn required_env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

/// How to make a [`World`].
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// Entities in the raw store.
    pub entities: usize,
    /// Temporal's address; the suite's server when absent.
    pub temporal_address: Option<String>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self { entities: 60, temporal_address: None }
    }
}

/// One test's own platform, raw store, database and task queue.
pub struct World {
    /// Ids of organisation, sync and connections.
    pub ids: Seeded,
    /// Ids of the entities in the raw store, which the platform knows too.
    pub entity_ids: Vec<String>,
    /// The platform's database, with destinations in the same one.
    pub database: Database,
    /// Its URL.
    pub database_url: String,
    /// The test's own queue.
    pub task_queue: String,
    /// A client of the Temporal server.
    pub client: Client,
    /// Where that server is.
    pub temporal_address: String,
    /// Seed of the generated store; printed when a test fails.
    pub seed: u64,
    pub(crate) encryption_key: String,
    pub(crate) store: StoreOptions,
    pub(crate) folder: PathBuf,
    pub(crate) admin: PgPool,
    pub(crate) name: String,
}

impl World {
    /// A fresh world with the default options.
    pub async fn new() -> Self {
        Self::with(WorldOptions::default()).await
    }

    /// A fresh world.
    ///
    /// # Panics
    ///
    /// When the servers of the suite are not there.
    pub async fn with(options: WorldOptions) -> Self {
        let name = format!("world_{}", Uuid::new_v4().simple());
        let admin_url = required_env("SYNCMUX_TEST_DATABASE_URL");
        let admin_options = PgConnectOptions::from_str(&admin_url).expect("the suite's database URL parses");
        let admin = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(admin_options)
            .await
            .expect("the suite's Postgres answers");
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&admin)
            .await
            .expect("a database can be made");
        let database_url =
            admin_url.rsplit_once('/').map(|(server, _)| format!("{server}/{name}")).expect("a URL has a path");
        let database =
            Database::connect(&SecretString::from(database_url.clone()), 8).await.expect("the database answers");
        database.migrate().await.expect("the migrations apply");

        let ids = ids(&name);
        let folder = std::env::temp_dir().join(&name);
        let seed_number =
            u64::from_le_bytes(Uuid::new_v4().as_bytes()[..8].try_into().expect("eight of sixteen bytes"));
        let store = StoreOptions {
            sync_id: ids.sync_id,
            organization_id: ids.organization_id,
            collection_id: ids.collection_id,
            collection_readable_id: "company-knowledge".to_owned(),
            source_short_name: "company_tools".to_owned(),
            seed: seed_number,
            entities: options.entities,
        };
        let entity_ids = generate(&folder, &store).expect("a store can be generated").entity_ids;
        let encryption_key = CredentialReader::generate_key();
        let credentials =
            CredentialReader::new(Some(&encryption_key.clone().into())).expect("a generated key is a key");
        seed(database.pool(), &credentials, &database_url, "company_tools", &entity_ids, &ids)
            .await
            .expect("seeding works");

        let temporal_address =
            options.temporal_address.unwrap_or_else(|| required_env("SYNCMUX_TEST_TEMPORAL_ADDRESS"));
        let client = temporal::connect(&TemporalArgs {
            task_queue: name.clone(),
            temporal_address: Some(temporal_address.clone()),
            temporal_profile: None,
            payload_keys_file: None,
        })
        .await
        .expect("Temporal answers");
        temporal::register_search_attributes(&client).await.expect("search attributes register");
        Self {
            ids,
            entity_ids,
            database,
            database_url,
            task_queue: name.clone(),
            client,
            temporal_address,
            seed: seed_number,
            encryption_key,
            store,
            folder,
            admin,
            name,
        }
    }

    /// Root of the raw store.
    #[must_use]
    pub fn store_root(&self) -> PathBuf {
        self.folder.clone()
    }

    /// What the raw store was generated from.
    #[must_use]
    pub fn store_options(&self) -> StoreOptions {
        self.store.clone()
    }

    /// `raw/{sync_id}` of the raw store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.join("raw").join(self.ids.sync_id.to_string())
    }

    /// Plays a later job of the platform: `count` entities are updated, half as many added and a quarter as many deleted, in
    /// the raw store and in the platform's tables. Another `round` changes other entities.
    ///
    /// # Panics
    ///
    /// When the store or the tables cannot be written.
    pub async fn platform_job(&mut self, round: u32, count: usize) -> Changes {
        let changes = change(&self.folder, &self.store, round, count).expect("the store can be changed");
        self.forget(&changes.deleted).await;
        self.entity_ids.extend(changes.added.iter().cloned());
        changes
    }

    /// The platform no longer knows these entities.
    ///
    /// # Panics
    ///
    /// When its table cannot be written.
    pub async fn forget(&mut self, ids: &[String]) {
        sqlx::query("DELETE FROM public.entity WHERE entity_id = ANY ($1) AND sync_id = $2")
            .bind(ids)
            .bind(self.ids.sync_id)
            .execute(self.database.pool())
            .await
            .expect("the platform's table can be written");
        self.entity_ids.retain(|id| !ids.contains(id));
    }

    /// Removes entities as the platform does: from the raw store, then from its tables.
    ///
    /// # Panics
    ///
    /// When the store cannot be written.
    pub async fn delete(&mut self, ids: &[String]) {
        for id in ids {
            std::fs::remove_file(self.entity_file(id)).expect("an entity can be removed");
        }
        self.forget(ids).await;
    }

    /// Everything in a slot: entity, content hash, chunk and text, in order.
    ///
    /// # Panics
    ///
    /// When the slot cannot be read.
    pub async fn content(&self, slot: &str) -> Vec<(String, String, i32, String)> {
        let query = format!(
            "SELECT entity_id, content_hash, chunk_index, text FROM {} ORDER BY entity_id, chunk_index",
            self.points_table(slot)
        );
        sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(self.database.pool()).await.expect("the slot is readable")
    }

    /// Files of all entities, sorted.
    ///
    /// # Panics
    ///
    /// When the store cannot be read.
    #[must_use]
    pub fn entity_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.store().join("entities")).expect("the store is readable");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry is readable").path()).collect();
        files.sort();
        files
    }

    /// The program with this world's settings in its environment.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(syncmux());
        command
            .env_remove("TEMPORAL_PROFILE")
            .env("DATABASE_URL", &self.database_url)
            .env("ARF_STORE_URL", &self.folder)
            .env("ENCRYPTION_KEY", &self.encryption_key)
            .env("SYNCMUX_MODEL_DIR", required_env("SYNCMUX_MODEL_DIR"))
            .env("SYNCMUX_TASK_QUEUE", &self.task_queue)
            .env("SYNCMUX_ORGANIZATION_ID", self.ids.organization_id.to_string())
            .env("TEMPORAL_ADDRESS", &self.temporal_address)
            .env("SYNCMUX_LOG", "info");
        command
    }

    /// Changes where both destinations say that they live, encrypted as the platform keeps it.
    ///
    /// # Panics
    ///
    /// When the platform's table cannot be written.
    pub async fn move_destinations(&self, url: &str) {
        let key = self.encryption_key.clone().into();
        let credentials = CredentialReader::new(Some(&key)).expect("a generated key is a key");
        let token = credentials.encrypt(&serde_json::json!({ "url": url })).expect("there is a key");
        sqlx::query("UPDATE public.integration_credential SET encrypted_credentials = $1")
            .bind(token)
            .execute(self.database.pool())
            .await
            .expect("the credentials can be changed");
    }

    /// Adds a destination of this world's organisation, with its credentials encrypted as the platform keeps them. Returns
    /// the connection to fork to.
    ///
    /// # Panics
    ///
    /// When the platform's tables refuse the rows.
    pub async fn connect_destination(&self, short_name: &str, credentials: serde_json::Value) -> Uuid {
        let key = self.encryption_key.clone().into();
        let reader = CredentialReader::new(Some(&key)).expect("a generated key is a key");
        let connection = Uuid::new_v4();
        let destination = NewDestination { connection, name: short_name, short_name, credentials: &credentials };
        let mut database = self.database.pool().acquire().await.expect("the platform's database answers");
        connect(&mut database, &reader, self.ids.organization_id, &destination).await.expect("it can be connected");
        connection
    }

    /// Changes how to get into one destination.
    ///
    /// # Panics
    ///
    /// When the platform's table cannot be written.
    pub async fn move_destination(&self, connection: Uuid, credentials: &serde_json::Value) {
        let key = self.encryption_key.clone().into();
        let reader = CredentialReader::new(Some(&key)).expect("a generated key is a key");
        let moved = sqlx::query(
            "UPDATE public.integration_credential SET encrypted_credentials = $1
             WHERE id = (SELECT integration_credential_id FROM public.connection WHERE id = $2)",
        )
        .bind(reader.encrypt(credentials).expect("there is a key"))
        .bind(connection)
        .execute(self.database.pool())
        .await
        .expect("the credentials can be changed");
        assert_eq!(moved.rows_affected(), 1, "the connection has credentials");
    }

    /// Adds the destination that the platform brings for every organisation: without owner and credentials, under the
    /// id that the platform reserves for it. Returns that id.
    ///
    /// # Panics
    ///
    /// For a name the platform reserves no id for, or when its table refuses the row.
    pub async fn connect_native(&self, short_name: &str) -> Uuid {
        let id = match short_name {
            "qdrant_native" => Uuid::from_u128(0x11111111_1111_1111_1111_111111111111),
            "vespa_native" => Uuid::from_u128(0x33333333_3333_3333_3333_333333333333),
            other => panic!("the platform reserves no id for {other}"),
        };
        sqlx::query(
            "INSERT INTO public.connection (id, created_at, modified_at, name, readable_id, integration_type, status,
                 short_name)
             VALUES ($1, now(), now(), $2, $2, 'DESTINATION', 'ACTIVE', $2)",
        )
        .bind(id)
        .bind(short_name)
        .execute(self.database.pool())
        .await
        .expect("a connection can be added");
        id
    }

    /// The activities in this process, with a worker's settings.
    ///
    /// # Panics
    ///
    /// When the database does not answer.
    pub async fn activities(&self) -> Activities {
        let settings = Settings {
            database_url: self.database_url.clone().into(),
            database_connections: 4,
            activity_slots: 1,
            store_url: self.folder.to_string_lossy().into_owned(),
            encryption_key: Some(self.encryption_key.clone().into()),
            native: NativeDestinations::default(),
            model_dir: Some(required_env("SYNCMUX_MODEL_DIR").into()),
            embeddings_api_key: None,
            platform_api: PlatformApiSettings::default(),
        };
        Activities::connect(settings).await.expect("the activities connect")
    }

    /// Starts a worker process on this world's queue.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.worker_with(&[])
    }

    /// Starts a worker process with more arguments.
    #[must_use]
    pub fn worker_with(&self, arguments: &[&str]) -> Worker {
        let mut command = self.command();
        command.arg("worker").args(arguments);
        Worker::spawn(command, self.folder.join("worker.log"))
    }

    /// Starts a worker process on a queue that is not this world's: it does no work here, but it shares the database.
    #[must_use]
    pub fn idle_worker(&self) -> Worker {
        let mut command = self.command();
        command.env("SYNCMUX_TASK_QUEUE", format!("{}/idle", self.task_queue)).arg("worker");
        Worker::spawn(command, self.folder.join("idle-worker.log"))
    }

    /// Starts a worker process with more in its environment.
    #[must_use]
    pub fn worker_among(&self, variables: &[(&str, String)]) -> Worker {
        let mut command = self.command();
        command.arg("worker").envs(variables.iter().map(|(name, value)| (name, value)));
        Worker::spawn(command, self.folder.join("worker.log"))
    }

    /// A small profile; another `max_tokens` is another fingerprint.
    #[must_use]
    pub fn profile(&self, max_tokens: u32) -> Profile {
        Profile {
            name: format!("chunks of {max_tokens}"),
            chunker: Some(Chunker { max_tokens, overlap_tokens: 0 }),
            embedder: None,
            destination: Some(Destination::Pgvector(PgvectorLayout::default())),
        }
    }

    /// A small profile with another layout; without a chunker where the destination cuts texts itself.
    #[must_use]
    pub fn profile_of(&self, destination: Destination) -> Profile {
        let cuts = matches!(&destination, Destination::Vespa(layout) if layout.documents() == Documents::RawEntity);
        let profile = self.profile(512);
        Profile { chunker: profile.chunker.filter(|_| !cuts), destination: Some(destination), ..profile }
    }

    /// A request to fork this world's sync to one of its connections, in small batches and segments.
    #[must_use]
    pub fn fork_request(&self, connection: Uuid) -> ForkRequest {
        ForkRequest {
            organization_id: self.ids.organization_id.to_string(),
            sync_id: self.ids.sync_id.to_string(),
            destination_connection_id: connection.to_string(),
            profile: Some(self.profile(512)),
            options: Some(ForkOptions { batch_entities: 8, segment_entities: 20, ..ForkOptions::default() }),
            requested_by: "a test".to_owned(),
            ..ForkRequest::default()
        }
    }

    /// Starts a fork.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_fork(&self, request: &ForkRequest) -> Result<WorkflowHandle<Client, ForkWorkflow>, Failure> {
        temporal::start_fork(&self.client, &self.task_queue, request).await
    }

    /// Forks and waits for the end.
    ///
    /// # Errors
    ///
    /// What the fork failed with.
    pub async fn fork(&self, request: &ForkRequest) -> Result<ForkResult, Failure> {
        temporal::watch_fork(&self.start_fork(request).await?, |_| {}).await
    }

    /// A request to switch to a slot.
    #[must_use]
    pub fn switch_request(&self, slot: &str) -> SwitchRequest {
        SwitchRequest {
            organization_id: self.ids.organization_id.to_string(),
            sync_id: self.ids.sync_id.to_string(),
            target_slot_id: slot.to_owned(),
            requested_by: "a test".to_owned(),
            ..SwitchRequest::default()
        }
    }

    /// Switches and waits for the end.
    ///
    /// # Errors
    ///
    /// What the switch failed with.
    pub async fn switch(&self, request: &SwitchRequest) -> Result<SwitchResult, Failure> {
        temporal::wait_switch(&temporal::start_switch(&self.client, &self.task_queue, request).await?).await
    }

    /// What `syncmux list --json` says.
    ///
    /// # Panics
    ///
    /// When the command fails.
    #[must_use]
    pub fn list(&self) -> ListResult {
        let output = self
            .command()
            .args(["list", "--json", "--sync", &self.ids.sync_id.to_string()])
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "list failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("list prints JSON")
    }

    /// Table that holds the points of a slot.
    ///
    /// # Panics
    ///
    /// When the slot id is no UUID.
    #[must_use]
    pub fn points_table(&self, slot: &str) -> String {
        format!("sync_multiplexer_vectors.slot_{}", Uuid::parse_str(slot).expect("a slot id is a UUID").simple())
    }

    /// Ids of the entities in a slot, sorted, one per entity.
    ///
    /// # Panics
    ///
    /// When the table cannot be read.
    pub async fn stored_entities(&self, slot: &str) -> Vec<String> {
        let query = format!("SELECT DISTINCT entity_id FROM {} ORDER BY entity_id", self.points_table(slot));
        sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(self.database.pool())
            .await
            .expect("the slot is readable")
    }

    /// Rows of the platform and of ours that an operation on this sync may have left, by table.
    ///
    /// # Panics
    ///
    /// When the tables cannot be read.
    pub async fn residue(&self) -> Vec<(String, i64)> {
        let mut residue = Vec::new();
        for table in ["slot", "plan", "segment", "ledger_page", "dead_letter"] {
            let query = format!("SELECT count(*) FROM sync_multiplexer.{table}");
            let count: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(self.database.pool()).await.expect("a count");
            residue.push((table.to_owned(), count));
        }
        for (what, query) in [
            (
                "destination rows",
                "SELECT count(*) FROM public.sync_connection JOIN public.connection ON connection.id = connection_id WHERE integration_type = 'DESTINATION'",
            ),
            (
                "vector tables",
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'sync_multiplexer_vectors'",
            ),
        ] {
            let count: i64 = sqlx::query_scalar(query).fetch_one(self.database.pool()).await.expect("a count");
            residue.push((what.to_owned(), count));
        }
        residue
    }

    /// Removes the database and the folder; call it at the end of a test that passed.
    ///
    /// # Panics
    ///
    /// When the database cannot be dropped.
    pub async fn done(self) {
        self.database.pool().close().await;
        sqlx::query(sqlx::AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name)))
            .execute(&self.admin)
            .await
            .expect("the database can be dropped");
        std::fs::remove_dir_all(&self.folder).expect("the folder can be removed");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "this test's world: database {}, folder {}, task queue {}, store seed {}",
                self.database_url,
                self.folder.display(),
                self.task_queue,
                self.seed
            );
        }
    }
}
