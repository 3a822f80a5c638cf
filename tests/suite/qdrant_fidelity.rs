//! A slot on Qdrant is what the platform would have written itself: point ids, payload, text and keyword vectors.
//!
//! The expectation comes from `fixtures/qdrant/expected_points.py`, which has nothing of the product in it, and from what
//! the platform's own code once made of the fixture's entities.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use ::qdrant_client::Qdrant;
use ::qdrant_client::qdrant::point_id::PointIdOptions;
use ::qdrant_client::qdrant::{RetrievedPoint, ScrollPointsBuilder, vector_output};
use harness::qdrant::{QdrantServer, QdrantServerOptions};
use harness::{World, WorldOptions, fixture_path};
use proto::v1::profile::Destination;
use proto::v1::{ForkOptions, ForkRequest, Profile, QdrantLayout};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Chunks that are compared, at least.
const SAMPLE: usize = 50;

/// A chunk as Qdrant holds it.
struct Stored {
    id: String,
    payload: Value,
    sparse: Vec<(u32, f32)>,
}

impl Stored {
    fn new(point: RetrievedPoint) -> Self {
        let Some(PointIdOptions::Uuid(id)) = point.id.and_then(|id| id.point_id_options) else { panic!("a UUID") };
        let vectors = point.vectors.expect("vectors were asked for");
        let sparse = match vectors.get_vector_by_name("bm25") {
            Some(vector_output::Vector::Sparse(sparse)) => sparse.indices.into_iter().zip(sparse.values).collect(),
            Some(other) => panic!("bm25 is a sparse vector, not {other:?}"),
            None => Vec::new(),
        };
        Self { id, payload: ::qdrant_client::Payload::from(point.payload).into(), sparse }
    }

    fn metadata(&self, key: &str) -> &Value {
        &self.payload["airweave_system_metadata"][key]
    }

    fn entity(&self) -> &str {
        self.metadata("original_entity_id").as_str().expect("an entity id is text")
    }

    fn class(&self) -> &str {
        self.metadata("entity_type").as_str().expect("a class is text")
    }

    fn index(&self) -> u64 {
        self.metadata("chunk_index").as_u64().expect("an index is a number")
    }

    fn text(&self) -> &str {
        self.payload["textual_representation"].as_str().expect("a text is text")
    }
}

/// Every point of a collection, in the order of the ids.
async fn stored(server: &QdrantServer, collection: &str) -> Vec<Stored> {
    let client = Qdrant::from_url(&server.url()).skip_compatibility_check().build().expect("the URL is valid");
    let request = ScrollPointsBuilder::new(collection).limit(100_000).with_payload(true).with_vectors(true);
    client.scroll(request).await.expect("scroll").result.into_iter().map(Stored::new).collect()
}

/// At least [`SAMPLE`] of them: one of each class, later chunks of long texts, and the rest by id, which is as good as
/// by chance.
fn sample(points: &[Stored]) -> BTreeSet<usize> {
    let mut classes = BTreeSet::new();
    let first_of_class = points.iter().enumerate().filter(|(_, point)| classes.insert(point.class().to_owned()));
    let mut sample: BTreeSet<usize> = first_of_class.map(|(at, _)| at).collect();
    let later = points.iter().enumerate().filter(|(_, point)| point.index() > 0);
    sample.extend(later.map(|(at, _)| at).take(10));
    sample.extend((0..points.len()).step_by((points.len() / SAMPLE).max(1)));
    sample
}

/// What the script expects for points, in the same order.
fn expected(world: &World, golden_lines: &str, points: &[&Stored]) -> Vec<Value> {
    let folder = TempDir::new().expect("a folder can be made");
    let golden = folder.path().join("golden.jsonl");
    fs::write(&golden, golden_lines).expect("a file can be written");
    let asked: String = points
        .iter()
        .map(|point| json!({ "entity_id": point.entity(), "chunk_index": point.index(), "text": point.text() }))
        .map(|asked| format!("{asked}\n"))
        .collect();
    let mut script = Command::new("python3")
        .arg(fixture_path("qdrant/expected_points.py"))
        .args([world.store().as_path(), golden.as_path()])
        .args([world.ids.sync_id.to_string(), world.ids.collection_id.to_string()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut stdin = script.stdin.take().expect("it is piped");
    let writing = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
    let answer = script.wait_with_output().expect("it ends");
    writing.join().expect("no panic").expect("the script reads everything");
    assert!(answer.status.success(), "the script failed");
    let answer = String::from_utf8(answer.stdout).expect("JSON is UTF-8");
    answer.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// Cutting may drop white space between chunks, and nothing else.
fn without_white_space<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    texts.into_iter().flat_map(str::split_whitespace).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_from_pgvector_is_what_the_platform_would_have_written() {
    let world = World::with(WorldOptions { entities: 1, ..WorldOptions::default() }).await;
    let golden = world.put_fixture("dev-mixed", "stub").await;
    let worker = world.worker();
    // The store's PDF files are none that can be read, and are more than a fork allows when it is not asked.
    let options = Some(ForkOptions {
        batch_entities: 100,
        segment_entities: 500,
        dead_letter_budget: Some(20),
        ..ForkOptions::default()
    });
    let request = ForkRequest { options, ..world.fork_request(world.ids.connection_v0) };
    let first = world.fork(&request).await.expect("the fork to pgvector completes");
    world.switch(&world.switch_request(&first.slot_id)).await.expect("the switch completes");

    let server = QdrantServer::start(QdrantServerOptions::default()).await;
    let credentials = json!({ "url": server.url(), "grpc_port": server.port() });
    let connection = world.connect_destination("qdrant", credentials).await;
    let profile = Profile { destination: Some(Destination::Qdrant(QdrantLayout::default())), ..world.profile(512) };
    let request = ForkRequest { profile: Some(profile), options, ..world.fork_request(connection) };
    let second = world.fork(&request).await.expect("the fork to Qdrant completes");
    assert_eq!((second.entities, second.points), (first.entities, first.points), "as much as pgvector has");
    assert_eq!((second.chunks_embedded, second.chunks_reused), (0, second.points), "with its vectors");

    let points = stored(&server, "airweave_vectors_256").await;
    assert_eq!(points.len() as u64, second.points);
    let mut texts = BTreeMap::<&str, BTreeMap<u64, &str>>::new();
    for point in &points {
        texts.entry(point.entity()).or_default().insert(point.index(), point.text());
    }
    let sample: Vec<&Stored> = sample(&points).into_iter().map(|at| &points[at]).collect();
    assert!(sample.len() >= SAMPLE, "{} chunks", sample.len());
    let mut whole_texts = 0;
    for (point, expected) in sample.iter().zip(expected(&world, &golden, &sample)) {
        let what = format!("chunk {} of {:?}, a {}", point.index(), point.entity(), point.class());
        assert_eq!(point.id, expected["point_id"], "{what}");
        assert_eq!(point.payload, expected["payload"], "{what}");
        let sparse: Vec<(u32, f32)> = serde_json::from_value(expected["sparse"].clone()).expect("pairs");
        assert_eq!(point.sparse, sparse, "{what}");
        let texts = &texts[point.entity()];
        assert!(texts.keys().copied().eq(0..texts.len() as u64), "{what}: every chunk is there once");
        let held = without_white_space(texts.values().copied());
        let begins = expected["text_begins"].as_str().expect("text");
        assert!(held.starts_with(&without_white_space([begins])), "{what}");
        if let Some(whole) = expected["whole_text"].as_str() {
            assert_eq!(held, without_white_space([whole]), "{what}");
            whole_texts += 1;
        }
    }
    assert!(whole_texts >= SAMPLE / 2, "{whole_texts} texts were compared as a whole");
    drop(worker);
    world.done().await;
}
