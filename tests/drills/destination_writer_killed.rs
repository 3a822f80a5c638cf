//! The worker is killed (SIGKILL) in the middle of writing to Qdrant or to Vespa: another goes on, nothing is lost, and no
//! more is written twice than the batches that were in hand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::qdrant_client::qdrant::ScrollPointsBuilder;
use ::qdrant_client::{Payload, Qdrant};
use harness::qdrant::{QdrantServer, QdrantServerOptions};
use harness::vespa::{VespaServer, VespaServerOptions};
use harness::{World, WorldOptions, until};
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::Documents;
use proto::v1::{ForkOptions, ForkRequest, ForkResult, QdrantLayout, VespaLayout};
use serde_json::{Value, json};
use sync_multiplexer::temporal;
use uuid::Uuid;

use crate::moments::Moments;
use crate::write_log::PATIENCE;

const ENTITIES: usize = 240;
const LANES: u32 = 4;
const BATCH: u32 = 8;
const KILLS: usize = 2;

/// Entities that may be written twice.
const IN_HAND: usize = KILLS * (LANES * BATCH) as usize;

/// A destination whose points can be counted without asking over the wire.
trait Held {
    /// Points so far, those of checks included.
    fn points(&self) -> usize;
}

impl Held for VespaServer {
    fn points(&self) -> usize {
        self.ids().len()
    }
}

const COLLECTION: &str = "drill";

impl Held for QdrantServer {
    fn points(&self) -> usize {
        self.stored_points(COLLECTION).len()
    }
}

/// Forks, and kills the worker again and again on the way.
async fn fork_with_kills(world: &World, server: &impl Held, connection: Uuid, layout: Destination) -> ForkResult {
    let mut moments = Moments::new("the worker is killed while it writes");
    let options = ForkOptions { lanes: LANES, batch_entities: BATCH, segment_entities: 20, ..ForkOptions::default() };
    let profile = Some(world.profile_of(layout));
    let request = ForkRequest { profile, options: Some(options), ..world.fork_request(connection) };
    let mut worker = world.worker();
    let fork = world.start_fork(&request).await.expect("a fork starts");
    let stretch = ENTITIES as u64 / (KILLS as u64 + 2);
    for kill in 0..KILLS {
        let wanted = kill as u64 * stretch + moments.pick(1..stretch);
        until(&format!("{wanted} points are there"), PATIENCE, async || server.points() as u64 >= wanted).await;
        worker.kill9();
        let there = server.points();
        assert!(there < ENTITIES, "the fork was over before it was struck");
        eprintln!("kill {kill} after {there} points");
        worker = world.worker();
    }
    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES as u64, 0));
    assert_eq!(server.points() as u64, result.points);
    assert!(worker.stop(), "the last worker ends well");
    result
}

/// Fails unless these are the entities of the store, each at least once.
fn assert_whole(world: &World, mut entities: Vec<String>) {
    entities.sort_unstable();
    entities.dedup();
    let mut expected = world.entity_ids.clone();
    expected.sort_unstable();
    assert_eq!(entities, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_writes_to_vespa_loses_nothing() {
    let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let options = VespaServerOptions {
        dimensions: 256,
        workers: 1,
        service_time: Duration::from_millis(10),
        ..VespaServerOptions::default()
    };
    let server = VespaServer::start(options).await;
    let connection = world.connect_destination("vespa", json!({ "url": server.url() })).await;
    let layout = VespaLayout { documents: Documents::Chunk.into(), ..VespaLayout::default() };
    fork_with_kills(&world, &server, connection, Destination::Vespa(layout)).await;

    let ids = server.ids();
    let entity = |id: &String| -> String {
        let fields: Value = server.document(id).expect("it is there");
        fields["airweave_system_metadata_original_entity_id"].as_str().expect("a text").to_owned()
    };
    let written = server.journal().requests().into_iter();
    let written = written.filter(|it| it.method == "POST" && it.status == Some(200)).filter_map(|it| it.id);
    let mut times = BTreeMap::<String, usize>::new();
    for id in written.filter(|id| ids.binary_search(id).is_ok()) {
        *times.entry(id).or_default() += 1;
    }
    let twice = times.values().map(|times| times - 1).sum::<usize>();
    eprintln!("{twice} of {} documents written again", ids.len());
    assert_whole(&world, ids.iter().map(entity).collect());
    // Of an entity there may be several documents.
    let again: BTreeSet<_> = times.iter().filter(|(_, times)| **times > 1).map(|(id, _)| entity(id)).collect();
    assert!(again.len() <= IN_HAND, "{} entities were written again", again.len());
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_writes_to_qdrant_loses_nothing() {
    let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let options = QdrantServerOptions { write_latency: Duration::from_millis(100), ..QdrantServerOptions::default() };
    let server = QdrantServer::start(options).await;
    let credentials = json!({ "url": server.url(), "grpc_port": server.port() });
    let connection = world.connect_destination("qdrant", credentials).await;
    let layout = QdrantLayout { collection: COLLECTION.to_owned(), ..QdrantLayout::default() };
    fork_with_kills(&world, &server, connection, Destination::Qdrant(layout)).await;

    let client = Qdrant::from_url(&server.url()).skip_compatibility_check().build().expect("a URL");
    let request = ScrollPointsBuilder::new(COLLECTION).limit(100_000).with_payload(true);
    let points = client.scroll(request).await.expect("scroll").result.into_iter();
    let held: Vec<_> = points
        .map(|point| {
            let payload: Value = Payload::from(point.payload).into();
            let entity = payload["airweave_system_metadata"]["original_entity_id"].as_str().expect("a text").to_owned();
            let key = point.id.expect("a point has an id").try_into().expect("a point id");
            (entity, server.journal().stored(COLLECTION, key))
        })
        .collect();
    let again: BTreeSet<_> = held.iter().filter(|(_, times)| *times > 1).map(|(entity, _)| entity).collect();
    eprintln!("{} entities written again", again.len());
    assert!(again.len() <= IN_HAND, "{} entities were written again", again.len());
    assert_whole(&world, held.into_iter().map(|(entity, _)| entity).collect());
    world.done().await;
}
