//! No two slots of a sync are in one place: a fork that would be is refused, and nothing of the other slot is touched.

use activities::database::SlotScope;
use activities::database::shadow::{self, NewShadow, Shadow};
use activities::profile::CompleteProfile;
use harness::qdrant::{Method, PointKey, QdrantServer, QdrantServerOptions};
use harness::vespa::{VespaServer, VespaServerOptions};
use harness::{Worker, World};
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::Documents;
use proto::v1::{Chunker, ForkRequest, Profile, QdrantLayout, VespaLayout};
use serde_json::json;
use uuid::Uuid;
use workflows::domain::ErrorKind;

/// Where the platform keeps vectors of the local table's length.
const PLATFORMS: &str = "airweave_vectors_256";

fn profile(max_tokens: u32, destination: Destination) -> Profile {
    let chunker = Some(Chunker { max_tokens, overlap_tokens: 0 });
    Profile { name: "a test".to_owned(), chunker, embedder: None, destination: Some(destination) }
}

fn in_collection(collection: &str) -> Profile {
    profile(512, Destination::Qdrant(QdrantLayout { collection: collection.to_owned(), ..QdrantLayout::default() }))
}

/// A world with a Qdrant beside it, and the slot in one of its collections that is the active one.
struct Stage {
    world: World,
    worker: Worker,
    server: QdrantServer,
    active: String,
    collection: String,
}

impl Stage {
    async fn new(collection: &str) -> Self {
        let world = World::new().await;
        let worker = world.worker();
        let server = QdrantServer::start(QdrantServerOptions::default()).await;
        let mut stage = Self { world, worker, server, active: String::new(), collection: collection.to_owned() };
        let connection = stage.connect("127.0.0.1").await;
        let slot =
            stage.world.fork(&stage.request(connection, in_collection(collection))).await.expect("the first fork");
        stage.world.switch(&stage.world.switch_request(&slot.slot_id)).await.expect("the first switch");
        stage.active = slot.slot_id;
        stage
    }

    /// A connection to the server under one of its names.
    async fn connect(&self, host: &str) -> Uuid {
        let url = format!("http://{host}:{}", self.server.port());
        self.world.connect_destination("qdrant", json!({ "url": url, "grpc_port": self.server.port() })).await
    }

    fn request(&self, connection: Uuid, profile: Profile) -> ForkRequest {
        ForkRequest { profile: Some(profile), ..self.world.fork_request(connection) }
    }

    fn points(&self) -> Vec<PointKey> {
        self.server.stored_points(&self.collection)
    }

    /// Refuses the fork, leaves what is there, and removes nothing on the way.
    async fn refused(&self, connection: Uuid, profile: Profile, kind: ErrorKind, words: &[&str]) {
        let (points, residue) = (self.points(), self.world.residue().await);
        let deletes = self.server.journal().count(Method::Delete);
        let failure = self.world.fork(&self.request(connection, profile)).await.expect_err("the fork is refused");
        assert_eq!(failure.kind(), Some(kind), "{failure}");
        for words in words {
            assert!(failure.to_string().contains(words), "{words:?} is not in: {failure}");
        }
        assert_eq!(self.points(), points, "the active slot's points");
        assert_eq!(self.server.journal().count(Method::Delete), deletes, "something was removed");
        assert_eq!(self.world.residue().await, residue);
    }

    async fn done(self) {
        assert!(self.worker.stop(), "the worker ends well");
        self.world.done().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_slot_in_the_collection_of_the_active_one_is_refused() {
    let stage = Stage::new("").await;
    let stage = Stage { collection: PLATFORMS.to_owned(), ..stage };
    assert!(stage.points().len() >= 60, "the active slot is in the platform's shared collection");
    let connection = stage.connect("127.0.0.1").await;
    let words = [&stage.active, "(active, ", PLATFORMS, "name another collection (Qdrant)"];
    stage.refused(connection, in_collection(""), ErrorKind::Conflict, &words).await;
    stage.refused(connection, in_collection(PLATFORMS), ErrorKind::Conflict, &words).await;

    let points = stage.points();
    let apart =
        stage.world.fork(&stage.request(connection, in_collection("apart"))).await.expect("apart there is room");
    assert_eq!((apart.entities, apart.continued), (60, false));
    assert_eq!(stage.points(), points);
    assert_eq!(stage.server.stored_points("apart").len(), points.len());
    stage.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_nobody_has_on_record_are_found() {
    let stage = Stage::new("shared").await;
    let count = stage.points().len();
    // The same server under another name: only the data tells.
    let connection = stage.connect("localhost").await;
    let found = format!("{count} points of this sync are already in qdrant localhost:{}/shared", stage.server.port());
    let words = [&found, "name another collection (Qdrant)"].map(|it| it as &str);
    stage.refused(connection, in_collection("shared"), ErrorKind::Conflict, &words).await;

    // A fork that was ended from outside before it looked leaves an empty slot, and the next one looks again.
    let complete = CompleteProfile::new(Some(in_collection("shared"))).expect("a profile");
    let (ids, slot_id) = (&stage.world.ids, Uuid::new_v4());
    let new = NewShadow {
        scope: SlotScope { organization_id: ids.organization_id, sync_id: ids.sync_id, slot_id },
        connection_id: connection,
        profile: complete.to_stored().expect("JSON"),
        profile_name: "a test".to_owned(),
        fingerprint: complete.fingerprint,
        place: format!("qdrant localhost:{}/shared", stage.server.port()),
        embedder_model: None,
        operation_id: Uuid::new_v4(),
    };
    let made = shadow::create(&stage.world.database, &new).await.expect("a slot can be made");
    assert_eq!(made, Shadow::Created(new.scope));
    stage.refused(connection, in_collection("shared"), ErrorKind::Conflict, &words).await;
    stage.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collections_that_the_platform_uses_are_left_to_it() {
    let stage = Stage::new("ours").await;
    let theirs = stage.connect("127.0.0.1").await;
    let slot: Uuid = join(&stage.world, theirs).await;
    let connection = stage.connect("127.0.0.1").await;
    let made = format!("slot {slot}");
    let words = [&made, "made by the platform in the same place", "name another collection"].map(|it| it as &str);
    for collection in ["", PLATFORMS] {
        stage.refused(connection, in_collection(collection), ErrorKind::Conflict, &words).await;
    }
    let apart =
        stage.world.fork(&stage.request(connection, in_collection("apart"))).await.expect("apart there is room");
    assert_eq!(apart.entities, 60);
    stage.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_platforms_own_server_is_must_be_known_to_share_its_collections() {
    let stage = Stage::new("ours").await;
    let native = stage.world.connect_native("qdrant_native").await;
    join(&stage.world, native).await;
    let connection = stage.connect("127.0.0.1").await;
    let words = ["may be in the same place", "set QDRANT_HOST and QDRANT_PORT", "or name another collection"];
    stage.refused(connection, in_collection(""), ErrorKind::DestinationDenied, &words).await;
    let apart =
        stage.world.fork(&stage.request(connection, in_collection("apart"))).await.expect("apart there is room");
    assert_eq!(apart.entities, 60);
    stage.done().await;
}

/// Adds a slot as the platform does.
async fn join(world: &World, connection: Uuid) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id)
         VALUES (gen_random_uuid(), now(), now(), $1, $2) RETURNING id",
    )
    .bind(world.ids.sync_id)
    .bind(connection)
    .fetch_one(world.database.pool())
    .await
    .expect("the platform can add a slot")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_slots_in_one_namespace_of_vespa_are_refused() {
    let world = World::new().await;
    let worker = world.worker();
    let server = VespaServer::start(VespaServerOptions { dimensions: 256, ..VespaServerOptions::default() }).await;
    let in_namespace = |namespace: &str| {
        let layout = VespaLayout {
            documents: Documents::Chunk.into(),
            namespace: namespace.to_owned(),
            ..VespaLayout::default()
        };
        profile(512, Destination::Vespa(layout))
    };
    let request = |connection, namespace| ForkRequest {
        profile: Some(in_namespace(namespace)),
        ..world.fork_request(connection)
    };
    let first = world.connect_destination("vespa", json!({ "url": server.url() })).await;
    let active = world.fork(&request(first, "")).await.expect("the first fork").slot_id;
    world.switch(&world.switch_request(&active)).await.expect("the first switch");
    let documents = server.ids();

    let second = world.connect_destination("vespa", json!({ "url": server.url() })).await;
    let alias = server.url().replace("127.0.0.1", "localhost");
    let third = world.connect_destination("vespa", json!({ "url": alias })).await;
    let there = format!("{} points of this sync are already in", documents.len());
    for (connection, words) in [(second, active.as_str()), (third, there.as_str())] {
        let failure = world.fork(&request(connection, "")).await.expect_err("the fork is refused");
        assert_eq!(failure.kind(), Some(ErrorKind::Conflict), "{failure}");
        assert!(failure.to_string().contains(words) && failure.to_string().contains("namespace (Vespa)"), "{failure}");
        assert_eq!(server.ids(), documents);
    }
    let apart = world.fork(&request(second, "apart")).await.expect("in a namespace of its own there is room");
    assert_eq!((apart.entities, apart.continued), (60, false));
    assert_eq!(server.ids().len(), 2 * documents.len());
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}
