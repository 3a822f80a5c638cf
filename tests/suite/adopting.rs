//! The way back from the very first migration: the slot that the platform made is adopted by a fork, and then it is the
//! target of a rollback like any other.
//!
//! The platform's slot is made by writing what the platform would have written (`qdrant_fidelity` proves that our points are
//! its points) and then forgetting everything that we know of it.

use std::collections::BTreeMap;
use std::time::Duration;

use ::qdrant_client::Qdrant;
use ::qdrant_client::qdrant::{ScrollPointsBuilder, VectorsOutput};
use harness::qdrant::{QdrantServer, QdrantServerOptions};
use harness::{Ended, Worker, World, WorldOptions, ended, progress, until, until_some};
use proto::v1::profile::Destination;
use proto::v1::{ForkOptions, ForkRequest, Profile, QdrantLayout, Role, RollbackRequest, SwitchResult};
use serde_json::{Value, json};
use temporalio_client::WorkflowCancelOptions;
use uuid::Uuid;
use workflows::domain::ErrorKind;
use workflows::fork_workflow_id;

/// Where the platform keeps vectors of the local table's length.
const PLATFORMS: &str = "airweave_vectors_256";

const SHORTLY: Duration = Duration::from_secs(60);

/// Two syncs of a collection, both in the platform's Qdrant collection: the one to migrate, and a neighbour.
struct Stage {
    world: World,
    neighbour: World,
    worker: Worker,
    server: QdrantServer,
    connection: Uuid,
    /// The platform's slot of the first sync.
    theirs: String,
}

impl Stage {
    async fn new() -> Self {
        let [world, neighbour] = World::with_syncs(WorldOptions { entities: 40, ..WorldOptions::default() }).await;
        let worker = world.worker();
        let server = QdrantServer::start(QdrantServerOptions::default()).await;
        let credentials = json!({ "url": server.url(), "grpc_port": server.port() });
        let connection = world.connect_destination("qdrant", credentials).await;
        let slot = world.fork(&request(&world, connection, "")).await.expect("the platform fills its slot").slot_id;
        neighbour.fork(&request(&neighbour, connection, "")).await.expect("and that of another sync");
        for forget in [
            "DELETE FROM sync_multiplexer.slot WHERE slot_id = $1::uuid",
            "UPDATE public.sync_connection SET role = 'active' WHERE id = $1::uuid",
        ] {
            let changed =
                sqlx::query(forget).bind(&slot).execute(world.database.pool()).await.expect("it is forgotten");
            assert_eq!(changed.rows_affected(), 1);
        }
        Self { world, neighbour, worker, server, connection, theirs: slot }
    }

    /// The first migration: to a slot in pgvector.
    async fn migrate(&self) -> SwitchResult {
        let world = &self.world;
        let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the migration").slot_id;
        world.switch(&world.switch_request(&slot)).await.expect("the first switch")
    }

    /// A fork to the connection of the platform's slot, as the platform has its points.
    fn adopt(&self) -> ForkRequest {
        request(&self.world, self.connection, "")
    }

    /// Vectors and payload of every point of a sync in a collection, by id.
    async fn points(&self, sync: &World, collection: &str) -> BTreeMap<String, (Option<VectorsOutput>, Value)> {
        let client = Qdrant::from_url(&self.server.url()).skip_compatibility_check().build().expect("the URL is valid");
        let request = ScrollPointsBuilder::new(collection).limit(100_000).with_payload(true).with_vectors(true);
        let points = client.scroll(request).await.expect("scroll").result.into_iter().map(|it| {
            let payload: Value = ::qdrant_client::Payload::from(it.payload).into();
            (format!("{:?}", it.id.expect("a point has an id")), (it.vectors, payload))
        });
        let sync_id = sync.ids.sync_id.to_string();
        points.filter(|(_, (_, it))| it["airweave_system_metadata"]["sync_id"] == sync_id.as_str()).collect()
    }

    async fn rows_of_theirs(&self) -> (String, i64, i64) {
        sqlx::query_as(
            "SELECT role, (SELECT count(*) FROM sync_multiplexer.slot WHERE slot_id = joined.id),
                    (SELECT count(*) FROM sync_multiplexer.ledger_page WHERE slot_id = joined.id)
             FROM public.sync_connection AS joined WHERE id = $1::uuid",
        )
        .bind(&self.theirs)
        .fetch_one(self.world.database.pool())
        .await
        .expect("the platform's row is there")
    }

    async fn refused(&self, request: &ForkRequest, words: &str) {
        let (points, rows) = (self.points(&self.world, PLATFORMS).await, self.rows_of_theirs().await);
        let failure = self.world.fork(request).await.expect_err(words);
        assert_eq!(failure.kind(), Some(ErrorKind::Conflict), "{failure}");
        assert!(failure.to_string().contains(words), "{words:?} is not in {failure}");
        assert_eq!((self.points(&self.world, PLATFORMS).await, self.rows_of_theirs().await), (points, rows));
    }

    async fn done(self) {
        assert!(self.worker.stop(), "the worker ends well");
        self.world.done().await;
    }
}

fn request(world: &World, connection: Uuid, collection: &str) -> ForkRequest {
    let layout = QdrantLayout { collection: collection.to_owned(), ..QdrantLayout::default() };
    let profile = Profile { destination: Some(Destination::Qdrant(layout)), ..world.profile(512) };
    let options = ForkOptions { lanes: 2, batch_entities: 5, segment_entities: 5, ..ForkOptions::default() };
    ForkRequest { profile: Some(profile), options: Some(options), ..world.fork_request(connection) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_slot_is_adopted_and_then_rolled_back_to() {
    let mut stage = Stage::new().await;
    let neighbours = stage.points(&stage.neighbour, PLATFORMS).await;
    let left = stage.migrate().await;
    let back = RollbackRequest { target_slot_id: stage.theirs.clone(), ..stage.world.rollback_request() };
    let failure = stage.world.rollback(&back).await.expect_err("nothing is known of the slot");
    assert_eq!(failure.kind(), Some(ErrorKind::Conflict), "{failure}");
    assert!(failure.to_string().contains("fork to its connection to adopt it, then roll back"), "{failure}");

    // What the platform writes from now on is in the raw store and in the new slot, and not in the one that it left.
    let changes = stage.world.platform_job(1, 8).await;
    assert_eq!((changes.updated.len(), changes.added.len(), changes.deleted.len()), (8, 4, 2));
    let adopted = stage.world.fork(&stage.adopt()).await.expect("the slot is adopted");
    assert_eq!((&adopted.slot_id, adopted.state.as_str(), adopted.continued), (&stage.theirs, "ready", false));
    assert_eq!((adopted.entities, adopted.unchanged, adopted.deleted), (42, 0, 2), "everything is written anew");
    let listed = stage.world.list();
    let slot = listed.slots.iter().find(|slot| slot.slot_id == stage.theirs).expect("it is listed");
    assert_eq!((slot.role(), slot.entities, slot.kept), (Role::Deprecated, 42, true), "the role is what it was");
    assert_eq!(slot.kept_until[..19], left.kept_until[..19], "its window goes on");
    stage.refused(&stage.adopt(), "is kept for a rollback").await;

    let rolled = stage.world.rollback(&back).await.expect("the rollback");
    assert_eq!((&rolled.new_active_slot_id, rolled.generation), (&stage.theirs, 2));
    let apart = stage
        .world
        .connect_destination("qdrant", json!({ "url": stage.server.url(), "grpc_port": stage.server.port() }))
        .await;
    stage.world.fork(&request(&stage.world, apart, "apart")).await.expect("a clean build");
    let (found, clean) = (stage.points(&stage.world, PLATFORMS).await, stage.points(&stage.world, "apart").await);
    assert!(clean.len() >= 42);
    for (id, point) in &clean {
        assert_eq!(found.get(id), Some(point), "{id}");
    }
    assert_eq!(found.len(), clean.len(), "nothing but a clean build is there");
    assert_eq!(stage.points(&stage.neighbour, PLATFORMS).await, neighbours, "the other sync's points");
    stage.refused(&stage.adopt(), "is the active destination of this sync").await;
    stage.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_that_is_cancelled_leaves_the_platform_its_row_and_its_points() {
    let mut stage = Stage::new().await;
    let left = stage.migrate().await;
    stage.world.platform_job(1, 8).await;
    let before = stage.points(&stage.world, PLATFORMS).await;
    let request = stage.adopt();
    let fork = stage.world.start_fork(&request).await.expect("the adoption starts");
    until("what is there to be recorded", SHORTLY, async || stage.rows_of_theirs().await.2 > 0).await;
    let mut held = stage.world.database.pool().begin().await.expect("a transaction begins");
    sqlx::query("LOCK TABLE sync_multiplexer.ledger_page IN EXCLUSIVE MODE")
        .execute(&mut *held)
        .await
        .expect("the ledger can be locked");
    let id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);
    let handle = stage.world.any_workflow(&id);
    until_some("the replay", SHORTLY, || async {
        progress(&handle).await.filter(|it| it.phase == "replay" && it.segments_in_flight > 0)
    })
    .await;
    let back = RollbackRequest { target_slot_id: stage.theirs.clone(), ..stage.world.rollback_request() };
    let failure = stage.world.rollback(&back).await.expect_err("it is half adopted");
    assert!(failure.to_string().contains("is not yet adopted: wait for the fork to its connection"), "{failure}");
    fork.cancel(WorkflowCancelOptions::builder().reason("a test").build()).await.expect("it can be cancelled");
    held.rollback().await.expect("the lock can be given back");
    assert_eq!(ended(&handle).await, Ended::Cancelled);

    assert_eq!(stage.rows_of_theirs().await, ("deprecated".to_owned(), 0, 0), "nothing of ours is left");
    let after = stage.points(&stage.world, PLATFORMS).await;
    for id in before.keys() {
        assert!(after.contains_key(id), "{id} is the platform's and was removed");
    }
    let listed = stage.world.list();
    let slot = listed.slots.iter().find(|slot| slot.slot_id == stage.theirs).expect("it is listed");
    assert!(slot.kept && slot.kept_until[..19] == left.kept_until[..19], "its window is that of the flip again");

    let again = stage.world.fork(&stage.adopt()).await.expect("it can be adopted again");
    assert_eq!((again.entities, again.deleted), (42, 2));
    stage.world.rollback(&back).await.expect("and rolled back to");
    stage.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_slot_where_the_platform_has_it_and_inside_its_window_is_adopted() {
    let stage = Stage::new().await;
    stage.refused(&stage.adopt(), "is the active destination of this sync").await;
    stage.migrate().await;
    let elsewhere = request(&stage.world, stage.connection, "elsewhere");
    stage.refused(&elsewhere, "which keeps this sync in qdrant").await;
    assert_eq!(stage.server.stored_points("elsewhere").len(), 0);
    let ended = sqlx::query("UPDATE sync_multiplexer.audit SET kept_until = now() - interval '1 second'")
        .execute(stage.world.database.pool())
        .await
        .expect("a window can be moved");
    assert_eq!(ended.rows_affected(), 1);
    stage.refused(&stage.adopt(), "its reverse window has ended").await;
    stage.done().await;
}
