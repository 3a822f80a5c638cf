//! From Qdrant to Qdrant: another quantisation costs no embedding, and a server that restarts costs no entity.

use std::collections::BTreeMap;
use std::time::Duration;

use ::qdrant_client::Qdrant;
use ::qdrant_client::qdrant::quantization_config::Quantization as Quantized;
use ::qdrant_client::qdrant::{CreateCollection, PointId, ScrollPointsBuilder, VectorsOutput};
use harness::qdrant::{Method, QdrantServer, QdrantServerOptions};
use harness::{EmbeddingsServer, World, WorldOptions, until};
use proto::v1::profile::Destination;
use proto::v1::qdrant_layout::Quantization;
use proto::v1::{Embedder, ForkOptions, ForkRequest, Profile, QdrantLayout};
use serde_json::json;
use sync_multiplexer::temporal;
use temporalio_client::WorkflowDescribeOptions;
use uuid::Uuid;
use workflows::domain::ErrorKind;

const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(world: &World, server: &QdrantServer) -> Uuid {
    world.connect_destination("qdrant", json!({ "url": server.url(), "grpc_port": server.port() })).await
}

fn request(world: &World, connection: Uuid, layout: QdrantLayout, embedder: Option<Embedder>) -> ForkRequest {
    let profile = Profile { embedder, ..world.profile_of(Destination::Qdrant(layout)) };
    ForkRequest { profile: Some(profile), ..world.fork_request(connection) }
}

fn client(server: &QdrantServer) -> Qdrant {
    Qdrant::from_url(&server.url()).skip_compatibility_check().build().expect("the URL is valid")
}

/// Vectors and payload of every point, by id.
async fn points(
    server: &QdrantServer,
    collection: &str,
) -> BTreeMap<String, (Option<VectorsOutput>, serde_json::Value)> {
    let request = ScrollPointsBuilder::new(collection).limit(100_000).with_payload(true).with_vectors(true);
    let points = client(server).scroll(request).await.expect("scroll").result;
    let named = |id: Option<PointId>| format!("{:?}", id.expect("a point has an id"));
    let payload = |payload| ::qdrant_client::Payload::from(payload).into();
    points.into_iter().map(|it| (named(it.id), (it.vectors, payload(it.payload)))).collect()
}

/// Where the aliases point.
async fn aliases(server: &QdrantServer) -> Vec<(String, String)> {
    let aliases = client(server).list_aliases().await.expect("the aliases can be listed").aliases;
    aliases.into_iter().map(|it| (it.alias_name, it.collection_name)).collect()
}

/// What a collection was made with.
fn created(server: &QdrantServer, collection: &str) -> CreateCollection {
    let made = server.journal().calls(Method::CreateCollection).into_iter();
    let of_this = made.filter(|call| call.collection == collection).find_map(|call| call.created);
    *of_this.unwrap_or_else(|| panic!("{collection} was not made"))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_quantisation_embeds_nothing_and_the_alias_follows_the_switch() {
    let world = World::new().await;
    let worker = world.worker();
    let server = QdrantServer::start(QdrantServerOptions::default()).await;
    let embeddings = EmbeddingsServer::start().await;
    let layout = |collection: &str, quantization: Quantization| QdrantLayout {
        collection: collection.to_owned(),
        alias: "current".to_owned(),
        quantization: quantization.into(),
        ..QdrantLayout::default()
    };
    let blue = layout("blue", Quantization::Int8);
    let first = request(&world, connect(&world, &server).await, blue.clone(), Some(embeddings.embedder("one")));
    let first = world.fork(&first).await.expect("the first fork completes");
    world.switch(&world.switch_request(&first.slot_id)).await.expect("the first switch completes");
    let (requests, texts) = embeddings.take_asked();
    assert!(requests > 0 && texts.len() as u64 == first.points, "{requests} requests for {} texts", texts.len());

    let connection = connect(&world, &server).await;
    let again = request(&world, connection, QdrantLayout { quantization: 0, ..blue }, Some(embeddings.embedder("one")));
    let failure = world.fork(&again).await.expect_err("a fork to the active slot's collection is refused");
    assert_eq!(failure.kind(), Some(ErrorKind::Conflict), "{failure}");
    assert!(failure.to_string().contains("name another collection (Qdrant)"), "{failure}");

    let before = points(&server, "blue").await;
    let green = layout("green", Quantization::Binary);
    let second = request(&world, connection, green, Some(embeddings.embedder("one")));
    let second = world.fork(&second).await.expect("the second fork completes");
    assert_eq!((second.points, second.chunks_embedded, second.chunks_reused), (first.points, 0, first.points));
    assert_eq!(embeddings.take_asked(), (0, vec![]), "the embedder was not asked at all");
    assert_eq!(before.len() as u64, first.points);
    assert_eq!(points(&server, "green").await, before, "the same points, bit for bit");
    let quantized = |collection| {
        let config = created(&server, collection).quantization_config;
        config.and_then(|config| config.quantization).expect("it is quantised")
    };
    assert!(matches!(quantized("blue"), Quantized::Scalar(_)), "{:?}", quantized("blue"));
    assert!(matches!(quantized("green"), Quantized::Binary(_)), "{:?}", quantized("green"));

    let current = |collection: &str| [("current".to_owned(), collection.to_owned())];
    assert_eq!(aliases(&server).await, current("blue"), "a fork moves no readers");
    world.switch(&world.switch_request(&second.slot_id)).await.expect("the second switch completes");
    assert_eq!(aliases(&server).await, current("green"));
    assert_eq!(points(&server, "blue").await, before, "the way back is untouched");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_in_the_middle_of_a_fork_is_waited_for() {
    const ENTITIES: u64 = 160;
    let world = World::with(WorldOptions { entities: 160, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let options = QdrantServerOptions { write_latency: Duration::from_millis(100), ..QdrantServerOptions::default() };
    let mut server = QdrantServer::start(options).await;
    let layout = QdrantLayout { collection: "blue".to_owned(), ..QdrantLayout::default() };
    let options = ForkOptions { lanes: 2, batch_entities: 8, segment_entities: 40, ..ForkOptions::default() };
    let request = request(&world, connect(&world, &server).await, layout, None);
    let fork = world.start_fork(&ForkRequest { options: Some(options), ..request }).await.expect("a fork starts");
    until("some points are there", PATIENCE, async || server.stored_points("blue").len() >= 30).await;
    server.stop().await;
    let there = server.stored_points("blue").len();
    until("an attempt has failed", PATIENCE, async || {
        let description = fork.describe(WorkflowDescribeOptions::default()).await.expect("Temporal answers");
        description.raw_description.pending_activities.iter().any(|it| it.attempt > 1)
    })
    .await;
    server.restart().await;

    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES, 0));
    assert!((there as u64) < result.points, "the fork was over before the server was gone");
    let points = points(&server, "blue").await;
    assert_eq!(points.len() as u64, result.points);
    let mut entities: Vec<_> = points
        .values()
        .map(|(_, payload)| {
            payload["airweave_system_metadata"]["original_entity_id"].as_str().expect("an id").to_owned()
        })
        .collect();
    entities.sort_unstable();
    entities.dedup();
    let mut expected = world.entity_ids.clone();
    expected.sort_unstable();
    assert_eq!(entities, expected);
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}
