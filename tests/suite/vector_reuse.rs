//! A fork embeds only what no other slot of the sync holds, and nobody can tell afterwards which vectors were copied.

use std::collections::BTreeSet;

use harness::{EmbeddingsServer, World, progress};
use proto::v1::profile::Destination;
use proto::v1::{Embedder, ForkRequest, ForkResult, Hnsw, PgvectorLayout, Profile};
use workflows::fork_workflow_id;

/// A row of a slot: entity, text, vector.
type Row = (String, String, Vec<f32>);

async fn rows(world: &World, slot: &str) -> Vec<Row> {
    let query = format!(
        "SELECT entity_id, text, dense::real[] FROM {} ORDER BY entity_id, chunk_index",
        world.points_table(slot)
    );
    sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(world.database.pool()).await.expect("the slot is readable")
}

/// A world whose first slot is filled by `model`, and what the server was asked for it.
async fn filled(model: &str) -> (World, EmbeddingsServer, ForkResult) {
    let world = World::new().await;
    let server = EmbeddingsServer::start().await;
    let worker = world.worker();
    let profile = Profile { embedder: Some(server.embedder(model)), ..world.profile(512) };
    let request = ForkRequest { profile: Some(profile), ..world.fork_request(world.ids.connection_v0) };
    let first = world.fork(&request).await.expect("the first fork completes");
    assert_eq!((first.chunks_embedded, first.chunks_reused), (first.points, 0), "there is nothing to copy from yet");
    let (requests, texts) = server.take_asked();
    assert!(requests > 1 && texts.len() as u64 == first.points, "{requests} requests for {} texts", texts.len());
    assert!(worker.stop(), "the worker ends well");
    (world, server, first)
}

fn second(world: &World, max_tokens: u32, embedder: Embedder, hnsw: Option<Hnsw>) -> ForkRequest {
    let layout = PgvectorLayout { hnsw, ..PgvectorLayout::default() };
    let profile = Profile {
        embedder: Some(embedder),
        destination: Some(Destination::Pgvector(layout)),
        ..world.profile(max_tokens)
    };
    ForkRequest { profile: Some(profile), ..world.fork_request(world.ids.connection_v1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_only_migration_embeds_nothing() {
    let (world, server, first) = filled("one").await;
    let worker = world.worker();
    let request = second(&world, 512, server.embedder("one"), Some(Hnsw { m: 8, ef_construction: 32 }));
    let result = world.fork(&request).await.expect("the second fork completes");
    assert_eq!((result.points, result.chunks_embedded, result.chunks_reused), (first.points, 0, first.points));
    assert_eq!(server.take_asked(), (0, vec![]), "the server was not asked at all");
    assert_eq!(rows(&world, &result.slot_id).await, rows(&world, &first.slot_id).await);

    let handle = world.any_workflow(&fork_workflow_id(&request.sync_id, &request.destination_connection_id));
    let shown = progress(&handle).await.expect("a finished fork tells its progress");
    assert_eq!((shown.chunks_embedded, shown.chunks_reused), (0, first.points));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_chunker_only_equal_texts_are_copied() {
    let (world, server, first) = filled("one").await;
    let worker = world.worker();
    let request = second(&world, 96, server.embedder("one"), None);
    let result = world.fork(&request).await.expect("the second fork completes");
    let (old, new) = (rows(&world, &first.slot_id).await, rows(&world, &result.slot_id).await);
    assert_eq!((result.points, new.len() as u64), (result.chunks_embedded + result.chunks_reused, result.points));
    assert!(result.chunks_embedded > 0 && result.chunks_reused > 0, "{result:?}");

    let (_, asked) = server.take_asked();
    assert_eq!(asked.len() as u64, result.chunks_embedded);
    let held: BTreeSet<(&str, &str)> = old.iter().map(|(entity, text, _)| (entity.as_str(), text.as_str())).collect();
    let kept = new.iter().filter(|(entity, text, _)| held.contains(&(entity.as_str(), text.as_str()))).count();
    let held: BTreeSet<&str> = held.into_iter().map(|(_, text)| text).collect();
    let known = new.iter().filter(|(_, text, _)| held.contains(text.as_str())).count();
    let reused = usize::try_from(result.chunks_reused).expect("a small number");
    assert!((kept..=known).contains(&reused), "{reused} copied, {kept} in the same entity, {known} anywhere");
    for (entity, text, dense) in new {
        assert_eq!(dense, EmbeddingsServer::vector("one", &text), "a chunk of {entity:?}");
    }
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_another_model_are_not_copied() {
    let (world, server, first) = filled("one").await;
    let worker = world.worker();
    let request = second(&world, 512, server.embedder("two"), None);
    let result = world.fork(&request).await.expect("the second fork completes");
    assert_eq!((result.points, result.chunks_embedded, result.chunks_reused), (first.points, first.points, 0));
    for (entity, text, dense) in rows(&world, &result.slot_id).await {
        assert_eq!(dense, EmbeddingsServer::vector("two", &text), "a chunk of {entity:?}");
    }
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_cannot_be_read_is_a_gap_and_everything_is_embedded() {
    let (world, server, first) = filled("one").await;
    let drop_table = format!("DROP TABLE {}", world.points_table(&first.slot_id));
    sqlx::query(sqlx::AssertSqlSafe(drop_table)).execute(world.database.pool()).await.expect("a table can be dropped");
    let worker = world.worker();
    let request = second(&world, 512, server.embedder("one"), None);
    let result = world.fork(&request).await.expect("a donor never fails a fork");
    assert_eq!((result.state.as_str(), result.chunks_embedded, result.chunks_reused), ("ready", first.points, 0));
    let gap = format!("vectors of slot {} not reused: NotFound", first.slot_id);
    let gap = result.gaps.iter().find(|it| it.what == gap).unwrap_or_else(|| panic!("{:?}", result.gaps));
    assert_eq!(gap.count, 3, "once in each of three segments");
    assert!(worker.log().contains("vectors of another slot are not reused"), "the log says why");
    drop(worker);
    world.done().await;
}
