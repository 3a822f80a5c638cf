//! A sync whose active slot is on Qdrant, and what becomes of it on Vespa.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use ::qdrant_client::Qdrant;
use ::qdrant_client::qdrant::{RetrievedPoint, ScrollPointsBuilder, vector_output};
use harness::qdrant::{QdrantServer, QdrantServerOptions};
use harness::vespa::{Generation, VespaServer, VespaServerOptions};
use harness::{Worker, World, WorldOptions, fixture_path};
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::{Documents, Ids};
use proto::v1::{ForkOptions, ForkRequest, ForkResult, QdrantLayout, VespaLayout};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// Length of the local table's vectors.
pub(super) const DIMENSIONS: u32 = 256;

/// The collection that a slot on Qdrant is in, unless its layout says otherwise.
const COLLECTION: &str = "airweave_vectors_256";

/// A world with a store of the platform's own, whose active slot is on Qdrant.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) worker: Worker,
    pub(super) on_qdrant: ForkResult,
    qdrant: QdrantServer,
    golden: String,
}

/// What `check_documents.py` says.
#[derive(Debug, Deserialize)]
pub(super) struct Checked {
    pub(super) documents: u64,
    pub(super) entities: u64,
    pub(super) whole_texts: u64,
    pub(super) without_document: Vec<String>,
    pub(super) problems: Vec<String>,
}

impl Stage {
    /// The sync of `source` in a fixture.
    pub(super) async fn new(archive: &str, source: &str) -> Self {
        let world = World::with(WorldOptions { entities: 1, ..WorldOptions::default() }).await;
        let golden = world.put_fixture(archive, source).await;
        let worker = world.worker();
        let qdrant = QdrantServer::start(QdrantServerOptions::default()).await;
        let credentials = json!({ "url": qdrant.url(), "grpc_port": qdrant.port() });
        let connection = world.connect_destination("qdrant", credentials).await;
        let layout = Destination::Qdrant(QdrantLayout::default());
        let on_qdrant = world.fork(&request(&world, connection, layout)).await.expect("the fork to Qdrant completes");
        world.switch(&world.switch_request(&on_qdrant.slot_id)).await.expect("the switch to Qdrant completes");
        Self { world, worker, on_qdrant, qdrant, golden }
    }

    /// Forks to a Vespa.
    pub(super) async fn fork(&self, server: &VespaServer, layout: VespaLayout) -> ForkResult {
        let connection = self.world.connect_destination("vespa", json!({ "url": server.url() })).await;
        let request = request(&self.world, connection, Destination::Vespa(layout));
        self.world.fork(&request).await.expect("the fork to Vespa completes")
    }

    /// What another reading of the server, the store and Qdrant says.
    pub(super) async fn check(&self, server: &VespaServer, layout: &VespaLayout) -> Checked {
        let folder = TempDir::new().expect("a folder can be made");
        let golden = folder.path().join("golden.jsonl");
        fs::write(&golden, &self.golden).expect("a file can be written");
        let chunks: String = self.chunks().await.into_iter().map(|chunk| format!("{chunk}\n")).collect();
        let namespace = if layout.namespace.is_empty() { "airweave" } else { layout.namespace.as_str() };
        let grain = if layout.documents() == Documents::Chunk { "chunk" } else { "entity" };
        let ids = if layout.ids() == Ids::Scoped { "scoped" } else { "platform" };
        let mut script = Command::new("python3")
            .arg(fixture_path("vespa/check_documents.py"))
            .args([self.world.store().as_path(), golden.as_path()])
            .args([self.world.ids.sync_id.to_string(), self.world.ids.collection_id.to_string(), server.url()])
            .args([namespace, grain, ids])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut stdin = script.stdin.take().expect("it is piped");
        let ended = tokio::task::spawn_blocking(move || {
            stdin.write_all(chunks.as_bytes())?;
            drop(stdin);
            script.wait_with_output()
        });
        let answer = ended.await.expect("no panic").expect("the script reads everything and ends");
        assert!(answer.status.success(), "the script failed");
        serde_json::from_slice(&answer.stdout).expect("it answers with JSON")
    }

    /// Every chunk that Qdrant holds.
    async fn chunks(&self) -> Vec<Value> {
        let client = Qdrant::from_url(&self.qdrant.url()).skip_compatibility_check().build().expect("the URL is valid");
        let request = ScrollPointsBuilder::new(COLLECTION).limit(100_000).with_payload(true).with_vectors(true);
        client.scroll(request).await.expect("scroll").result.into_iter().map(chunk).collect()
    }

    pub(super) async fn done(self) {
        assert!(self.worker.stop(), "the worker ends well");
        self.world.done().await;
    }
}

/// A Vespa with the application for the documents.
pub(super) async fn vespa(documents: Documents) -> VespaServer {
    let generation = match documents {
        Documents::RawEntity => Generation::RawEntities,
        _ => Generation::Chunks,
    };
    VespaServer::start(VespaServerOptions { generation, dimensions: DIMENSIONS, ..VespaServerOptions::default() }).await
}

pub(super) fn layout(documents: Documents, ids: Ids) -> VespaLayout {
    VespaLayout { documents: documents.into(), ids: ids.into(), ..VespaLayout::default() }
}

/// A fork in few and large steps. PDF files in the fixtures are none that can be read, and there are more than a fork allows
/// when it is not asked.
pub(super) fn request(world: &World, connection: Uuid, destination: Destination) -> ForkRequest {
    let options = ForkOptions {
        batch_entities: 100,
        segment_entities: 250,
        dead_letter_budget: Some(20),
        ..ForkOptions::default()
    };
    ForkRequest {
        profile: Some(world.profile_of(destination)),
        options: Some(options),
        ..world.fork_request(connection)
    }
}

fn chunk(point: RetrievedPoint) -> Value {
    let vectors = point.vectors.expect("vectors were asked for");
    let Some(vector_output::Vector::Dense(dense)) = vectors.get_vector_by_name("") else { panic!("a dense vector") };
    let payload: Value = ::qdrant_client::Payload::from(point.payload).into();
    let metadata = &payload["airweave_system_metadata"];
    json!({
        "entity_id": metadata["original_entity_id"], "chunk_index": metadata["chunk_index"],
        "text": payload["textual_representation"], "dense": dense.data,
    })
}
