//! Every step of a fork fails for good, and what the fork had made is gone; what others had made is not.

use activities::database::{SlotScope, ledger};
use futures::TryStreamExt as _;
use harness::qdrant::{QdrantServer, QdrantServerOptions};
use harness::{World, until};
use proto::v1::profile::Destination;
use proto::v1::{ForkOptions, ForkRequest, Profile, QdrantLayout, SlotState};
use sqlx::AssertSqlSafe;
use sync_multiplexer::output::Failure;
use sync_multiplexer::temporal;
use temporalio_client::WorkflowCancelOptions;
use workflows::domain::ErrorKind;

use crate::closed_ledger::ClosedLedger;
use crate::write_log::PATIENCE;

/// The steps that note themselves in the operation's record when they begin; `replay` is noted by the end of planning.
const STEPS: [&str; 10] =
    ["validate", "create", "prepare", "plan", "replay", "close", "catch-up", "finish", "verify", "mark-ready"];

/// From now on, whatever notes this step is refused by the database, in words that no retry changes.
async fn deny(world: &World, step: &str) {
    let script = format!(
        "CREATE SCHEMA IF NOT EXISTS drill;
         CREATE OR REPLACE FUNCTION drill.deny() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             RAISE EXCEPTION 'denied by a drill' USING ERRCODE = 'insufficient_privilege';
         END $$;
         CREATE OR REPLACE TRIGGER deny BEFORE UPDATE ON sync_multiplexer.operation
         FOR EACH ROW WHEN (NEW.phase = '{step}' AND OLD.phase <> NEW.phase) EXECUTE FUNCTION drill.deny();"
    );
    run(world, script).await;
}

/// Nothing is refused any more.
async fn allow(world: &World) {
    run(world, "DROP TRIGGER deny ON sync_multiplexer.operation".to_owned()).await;
}

async fn run(world: &World, script: String) {
    sqlx::raw_sql(AssertSqlSafe(script)).execute(world.database.pool()).await.expect("the drill is set up");
}

async fn failure(world: &World, request: &ForkRequest) -> Failure {
    world.fork(request).await.expect_err("the fork was made to fail")
}

/// The newest operation: its state and the kind it failed with.
async fn last_operation(world: &World) -> (String, Option<String>) {
    sqlx::query_as("SELECT state, error_kind FROM sync_multiplexer.operation ORDER BY started_at DESC LIMIT 1")
        .fetch_one(world.database.pool())
        .await
        .expect("there is an operation")
}

fn assert_clean_slate(residue: &[(String, i64)], after: &str) {
    let left: Vec<_> = residue.iter().filter(|(_, rows)| *rows != 0).collect();
    assert!(left.is_empty(), "after {after} there is left: {left:?}");
}

/// Everything a slot holds, to compare before and after: each point with its text, each entry of the ledger.
async fn content(world: &World, slot: &str) -> (Vec<String>, Vec<String>) {
    let points = format!("SELECT md5(point::text) FROM {} AS point ORDER BY point_id", world.points_table(slot));
    let points = sqlx::query_scalar(AssertSqlSafe(points)).fetch_all(world.database.pool()).await;
    let scope = SlotScope {
        organization_id: world.ids.organization_id,
        sync_id: world.ids.sync_id,
        slot_id: slot.parse().expect("a slot id is a UUID"),
    };
    let ledger = ledger::stream(&world.database, &scope).await.expect("the ledger is readable");
    let ledger = ledger.map_ok(|entry| format!("{entry:?}")).try_collect().await;
    (points.expect("the points are readable"), ledger.expect("the ledger is readable"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_fails_at_any_step_leaves_nothing() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    for step in STEPS {
        deny(&world, step).await;
        let failure = failure(&world, &request).await;
        assert_eq!(failure.kind(), Some(ErrorKind::DestinationDenied), "{step}: {failure}");
        assert!(!failure.to_string().contains("the undo"), "{step}: {failure}");
        assert_clean_slate(&world.residue().await, step);
        assert_eq!(last_operation(&world).await, ("failed".to_owned(), Some("DestinationDenied".to_owned())), "{step}");
    }
    allow(&world).await;
    let result = world.fork(&request).await.expect("nothing is in the way of the next fork");
    assert_eq!((result.entities, result.continued), (60, false));
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continued_fork_that_fails_at_any_step_takes_nothing_away() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    let first = world.fork(&request).await.expect("the first fork completes");
    let before = content(&world, &first.slot_id).await;
    assert_eq!(before.1.len(), 60);
    for step in STEPS {
        deny(&world, step).await;
        let failure = failure(&world, &request).await;
        assert_eq!(failure.kind(), Some(ErrorKind::DestinationDenied), "{step}: {failure}");
        assert_eq!(content(&world, &first.slot_id).await, before, "{step}");
    }
    allow(&world).await;
    let again = world.fork(&request).await.expect("the slot can be continued");
    assert_eq!((again.slot_id, again.continued, again.entities, again.unchanged), (first.slot_id, true, 0, 60));
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_another_key_is_refused_before_anything_is_made() {
    let world = World::new().await;
    let key = activities::credentials::CredentialReader::generate_key();
    let worker = world.worker_with(&["--encryption-key", &key]);
    let failure = failure(&world, &world.fork_request(world.ids.connection_v0)).await;
    assert_eq!(failure.kind(), Some(ErrorKind::DestinationDenied), "{failure}");
    assert_clean_slate(&world.residue().await, "begin");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_refuses_us_leaves_nothing() {
    let world = World::new().await;
    let worker = world.worker();
    let (_, server) = world.database_url.split_once('@').expect("the database URL names a user");
    world.move_destinations(&format!("postgres://nobody_{}@{server}", world.ids.sync_id.simple())).await;
    let failure = failure(&world, &world.fork_request(world.ids.connection_v0)).await;
    assert_eq!(failure.kind(), Some(ErrorKind::DestinationDenied), "{failure}");
    assert_clean_slate(&world.residue().await, "prepare");

    world.move_destinations(&world.database_url).await;
    let result = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("with a good user it completes");
    assert!(!result.continued);
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_dead_letters_leave_nothing() {
    let world = World::new().await;
    let worker = world.worker();
    for file in &world.entity_files()[..3] {
        std::fs::write(file, "{ torn").expect("an entity can be damaged");
    }
    let mut request = world.fork_request(world.ids.connection_v0);
    request.options = Some(ForkOptions { dead_letter_budget: Some(2), ..request.options.unwrap_or_default() });
    let failure = failure(&world, &request).await;
    assert_eq!(failure.kind(), Some(ErrorKind::RejectedDocuments), "{failure}");
    assert_clean_slate(&world.residue().await, "close");

    request.options = Some(ForkOptions { dead_letter_budget: Some(3), ..request.options.unwrap_or_default() });
    let result = world.fork(&request).await.expect("with a larger budget it completes");
    assert_eq!((result.dead_letter_count, result.entities, result.continued), (3, 57, false));
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_tampered_with_is_found_out_and_removed() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    for (what, tampering) in [
        ("a point is lost", "DELETE FROM %s WHERE point_id = (SELECT min(point_id::text)::uuid FROM %1$s)"),
        ("a text is changed", "UPDATE %s SET text = text || ''!''"),
    ] {
        let script = format!(
            "CREATE SCHEMA IF NOT EXISTS drill;
             CREATE OR REPLACE FUNCTION drill.tamper() RETURNS trigger LANGUAGE plpgsql AS $$
             DECLARE points regclass;
             BEGIN
                 FOR points IN SELECT format('%I.%I', schemaname, tablename)::regclass
                               FROM pg_tables WHERE schemaname = 'sync_multiplexer_vectors' LOOP
                     EXECUTE format('{}', points);
                 END LOOP;
                 RETURN NEW;
             END $$;
             CREATE OR REPLACE TRIGGER tamper BEFORE UPDATE ON sync_multiplexer.operation
             FOR EACH ROW WHEN (NEW.phase = 'verify' AND OLD.phase <> NEW.phase) EXECUTE FUNCTION drill.tamper();",
            tampering.replacen("%s", "%1$s", 1)
        );
        run(&world, script).await;
        let failure = failure(&world, &request).await;
        assert_eq!(failure.kind(), Some(ErrorKind::VerificationFailed), "{what}: {failure}");
        assert_clean_slate(&world.residue().await, what);
    }
    run(&world, "DROP TRIGGER tamper ON sync_multiplexer.operation".to_owned()).await;
    world.fork(&request).await.expect("nothing is in the way of the next fork");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_profile_on_the_same_connection_changes_nothing() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    let first = world.fork(&request).await.expect("the first fork completes");
    let (content_before, residue_before) = (content(&world, &first.slot_id).await, world.residue().await);
    let other = ForkRequest { profile: Some(world.profile(256)), ..request };
    let failure = failure(&world, &other).await;
    assert_eq!(failure.kind(), Some(ErrorKind::Conflict), "{failure}");
    assert_eq!(content(&world, &first.slot_id).await, content_before);
    assert_eq!(world.residue().await, residue_before);
    world.switch(&world.switch_request(&first.slot_id)).await.expect("the slot is as ready as before");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_undo_may_come_twice_or_without_its_step() {
    use activities::database::plans::{self, PlanOptions};
    use activities::database::shadow::{self, NewShadow, Shadow};
    use futures::StreamExt as _;
    use uuid::Uuid;

    let world = World::new().await;
    let (database, ids) = (&world.database, &world.ids);
    let scope = SlotScope { organization_id: ids.organization_id, sync_id: ids.sync_id, slot_id: Uuid::new_v4() };
    let operation_id = Uuid::new_v4();
    let undone = |answer: activities::error::Result<bool>| answer.expect("an undo that finds nothing is no failure");

    assert!(!undone(shadow::drop_shadow(database, &scope, operation_id).await), "without its step it does nothing");
    let new = NewShadow {
        scope,
        connection_id: ids.connection_v0,
        profile: serde_json::json!({}),
        profile_name: "a drill".to_owned(),
        fingerprint: "f".repeat(64),
        place: "nowhere".to_owned(),
        embedder_model: None,
        operation_id,
    };
    for _ in 0..2 {
        let made = shadow::create(database, &new).await.expect("a shadow can be made, and made again");
        assert_eq!(made, Shadow::Created(scope));
    }
    assert!(!undone(plans::drop_plan(database, &scope).await), "without its step it does nothing");
    let (key, token) = ("a.json".to_owned(), "1".to_owned());
    let object = activities::raw_store::ListedObject { key, size: 1, token, modified_ms: 0 };
    for _ in 0..2 {
        let listing = futures::stream::iter([Ok(object.clone())]).boxed();
        let plan_id = scope.slot_id;
        plans::create(database, &scope, plan_id, listing, &PlanOptions::default())
            .await
            .expect("a plan can be made, and made again");
    }
    assert_eq!(
        [undone(plans::drop_plan(database, &scope).await), undone(plans::drop_plan(database, &scope).await)],
        [true, false]
    );
    assert!(!undone(shadow::drop_shadow(database, &scope, Uuid::new_v4()).await), "not for another operation");
    assert_eq!(
        [
            undone(shadow::drop_shadow(database, &scope, operation_id).await),
            undone(shadow::drop_shadow(database, &scope, operation_id).await)
        ],
        [true, false]
    );
    assert_clean_slate(&world.residue().await, "every undo, twice");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_to_an_unreachable_destination_can_be_cancelled() {
    let world = World::new().await;
    let worker = world.worker();
    world.move_destinations("postgres://nobody@127.0.0.1:1/nowhere").await;
    let fork = world.start_fork(&world.fork_request(world.ids.connection_v0)).await.expect("a fork starts");
    until("the destination is asked", PATIENCE, async || last_phase(&world).await.as_deref() == Some("create")).await;
    fork.cancel(WorkflowCancelOptions::builder().reason("a drill").build()).await.expect("it can be cancelled");
    let ended = tokio::time::timeout(PATIENCE, temporal::watch_fork(&fork, |_| {})).await;
    let words = ended.expect("a cancelled fork ends").expect_err("it was cancelled").to_string();
    assert!(words.contains("what the operation had made was taken back"), "{words}");
    assert_clean_slate(&world.residue().await, "create");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_back_stays_on_record_and_can_be_continued() {
    let world = World::new().await;
    let worker = world.worker();
    let mut request = world.fork_request(world.ids.connection_v0);
    request.options = Some(ForkOptions { undo_limit_seconds: 3, ..request.options.unwrap_or_default() });
    let closed = ClosedLedger::of(&world).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");
    closed.waited_for_by(3).await;
    world.move_destinations("postgres://nobody@127.0.0.1:1/nowhere").await;
    fork.cancel(WorkflowCancelOptions::builder().reason("a drill").build()).await.expect("it can be cancelled");
    closed.open().await;
    let ended = tokio::time::timeout(PATIENCE, temporal::watch_fork(&fork, |_| {})).await;
    let words = ended.expect("a cancelled fork ends").expect_err("it was cancelled").to_string();
    assert!(words.contains("cancelled, but the points were not removed"), "{words}");

    let listed = world.list();
    assert_eq!(listed.slots.iter().map(|slot| slot.state()).collect::<Vec<_>>(), [SlotState::Building]);
    world.move_destinations(&world.database_url.clone()).await;
    let result = world.fork(&request).await.expect("the next fork completes");
    assert!(result.continued, "it goes on with the slot that stayed");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_does_not_follow_a_connection_to_where_another_slot_is() {
    let world = World::new().await;
    let worker = world.worker();
    let [first, second] = [
        QdrantServer::start(QdrantServerOptions::default()).await,
        QdrantServer::start(QdrantServerOptions::default()).await,
    ];
    let credentials = |server: &QdrantServer| serde_json::json!({ "url": server.url(), "grpc_port": server.port() });
    let request = |connection| ForkRequest {
        profile: Some(Profile {
            destination: Some(Destination::Qdrant(QdrantLayout {
                collection: "same".into(),
                ..QdrantLayout::default()
            })),
            ..world.profile(512)
        }),
        ..world.fork_request(connection)
    };
    let active = world.connect_destination("qdrant", credentials(&first)).await;
    let slot = world.fork(&request(active)).await.expect("the first fork").slot_id;
    world.switch(&world.switch_request(&slot)).await.expect("the first switch");
    let points = first.stored_points("same");

    let connection = world.connect_destination("qdrant", credentials(&second)).await;
    let closed = ClosedLedger::of(&world).await;
    let fork = world.start_fork(&request(connection)).await.expect("a fork starts");
    closed.waited_for_by(3).await;
    world.move_destination(connection, &credentials(&first)).await;
    fork.cancel(WorkflowCancelOptions::builder().reason("a drill").build()).await.expect("it can be cancelled");
    closed.open().await;
    let words = temporal::watch_fork(&fork, |_| {}).await.expect_err("it was cancelled").to_string();
    assert!(words.contains("the points were not removed") && words.contains(" now; what was written to "), "{words}");
    assert_eq!(first.stored_points("same"), points, "the active slot's points");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

/// The step that the newest operation is at.
async fn last_phase(world: &World) -> Option<String> {
    sqlx::query_scalar("SELECT phase FROM sync_multiplexer.operation ORDER BY started_at DESC LIMIT 1")
        .fetch_optional(world.database.pool())
        .await
        .expect("the operations are readable")
}
