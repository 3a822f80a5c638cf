//! Promotion: only of what is ready, of one at a time, and with the same answer when asked again.

use activities::database::roles::FlipCommand;
use futures::future::join_all;
use harness::qdrant::{Fault, Method, QdrantServer, QdrantServerOptions};
use harness::{World, ended, payload};
use proto::v1::profile::Destination;
use proto::v1::{ForkRequest, Profile, QdrantLayout, Role, SlotState, SwitchRequest};
use qdrant_client::Qdrant;
use tonic::Code;
use uuid::Uuid;
use workflows::domain::ErrorKind;

/// A world with a ready slot on each connection.
async fn world_with_two_ready() -> (World, harness::Worker, [String; 2]) {
    let world = World::new().await;
    let worker = world.worker();
    let (v0, v1) = (world.fork_request(world.ids.connection_v0), world.fork_request(world.ids.connection_v1));
    let (v0, v1) = tokio::join!(world.fork(&v0), world.fork(&v1));
    let slots = [v0.expect("the first fork completes").slot_id, v1.expect("the second fork completes").slot_id];
    (world, worker, slots)
}

async fn refused(world: &World, request: &SwitchRequest, kind: ErrorKind, words: &str) {
    let failure = world.switch(request).await.expect_err("the switch is refused");
    assert_eq!(failure.kind(), Some(kind), "{failure}");
    assert!(failure.to_string().contains(words), "{words:?} is not in {failure}");
}

/// Slots by role, as the platform's table has them.
async fn with_role(world: &World, role: &str) -> Vec<String> {
    sqlx::query_scalar("SELECT id::text FROM public.sync_connection WHERE role = $1 ORDER BY id")
        .bind(role)
        .fetch_all(world.database.pool())
        .await
        .expect("the roles can be read")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_promoted_is_refused_with_the_reason() {
    let (world, worker, [v0, v1]) = world_with_two_ready().await;
    let switch = |slot: &str| world.switch_request(slot);
    refused(&world, &switch(&Uuid::new_v4().to_string()), ErrorKind::NotFound, "is not a destination of sync").await;
    let theirs = SwitchRequest { organization_id: Uuid::new_v4().to_string(), ..switch(&v0) };
    refused(&world, &theirs, ErrorKind::NotFound, "sync").await;
    let source: Uuid = sqlx::query_scalar("SELECT id FROM public.sync_connection WHERE role IS NULL")
        .fetch_one(world.database.pool())
        .await
        .expect("the source has a row");
    refused(&world, &switch(&source.to_string()), ErrorKind::NotFound, "is not a destination of sync").await;

    sqlx::query("UPDATE sync_multiplexer.slot SET state = 'building', ready_at = NULL, ready_plan_id = NULL WHERE slot_id = $1::uuid")
        .bind(&v1)
        .execute(world.database.pool())
        .await
        .expect("a state can be set");
    refused(&world, &switch(&v1), ErrorKind::Conflict, "is still being built: wait for its fork").await;

    let active = SwitchRequest { expected_active_slot_id: v1.clone(), ..switch(&v0) };
    refused(&world, &active, ErrorKind::Conflict, "the active slot is none, not").await;
    let generation = SwitchRequest { expected_generation: Some(7), ..switch(&v0) };
    refused(&world, &generation, ErrorKind::Conflict, "the sync is at generation 0, not 7").await;

    let list = world.list();
    assert_eq!(list.generation, 0);
    assert!(list.slots.iter().all(|slot| slot.role() == Role::Shadow), "no refusal changed a role");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_changes_all_roles_and_says_so_everywhere() {
    let (world, worker, [v0, v1]) = world_with_two_ready().await;
    let first = world.switch(&world.switch_request(&v0)).await.expect("the first switch");
    assert_eq!((first.generation, first.previous_active_slot_id.as_str()), (1, ""));
    let request = SwitchRequest {
        expected_active_slot_id: v0.clone(),
        expected_generation: Some(1),
        requested_by: "ada".to_owned(),
        reason: "smaller chunks answer better".to_owned(),
        ..world.switch_request(&v1)
    };
    let second = world.switch(&request).await.expect("the second switch");
    assert_eq!((second.generation, &second.previous_active_slot_id, &second.new_active_slot_id), (2, &v0, &v1));
    let at = chrono::DateTime::parse_from_rfc3339(&second.switched_at).expect("a time in RFC 3339");
    assert_eq!(at.offset().local_minus_utc(), 0);

    assert_eq!(with_role(&world, "active").await, std::slice::from_ref(&v1));
    assert_eq!(with_role(&world, "deprecated").await, std::slice::from_ref(&v0));
    let without: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM public.sync_connection JOIN public.connection ON connection.id = connection_id
         WHERE role IS NULL AND integration_type = 'SOURCE'",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("the source's row can be read");
    assert_eq!(without, 1, "the source has no role");

    let seen: Vec<(String, String, i64, bool)> = sqlx::query_as(
        "SELECT slot_id::text, connection_id::text, generation, profile IS NOT NULL FROM sync_multiplexer.active_destination",
    )
    .fetch_all(world.database.pool())
    .await
    .expect("readers can look");
    assert_eq!(seen, [(v1.clone(), world.ids.connection_v1.to_string(), 2, true)]);

    let audit: Vec<(String, String, String, String, i64)> = sqlx::query_as(
        "SELECT coalesce(previous_active::text, ''), new_active::text, requested_by, reason, generation
         FROM sync_multiplexer.audit ORDER BY generation",
    )
    .fetch_all(world.database.pool())
    .await
    .expect("the audit trail can be read");
    let line = |before: &str, after: &str, who: &str, why: &str, generation| {
        (before.to_owned(), after.to_owned(), who.to_owned(), why.to_owned(), generation)
    };
    assert_eq!(audit, [line("", &v0, "a test", "", 1), line(&v0, &v1, "ada", "smaller chunks answer better", 2)]);

    let listed: Vec<_> = world.list().slots.iter().map(|slot| (slot.role(), slot.state())).collect();
    assert_eq!(listed, [(Role::Active, SlotState::Ready), (Role::Deprecated, SlotState::Ready)]);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeating_a_finished_switch_answers_the_same() {
    let (world, worker, [v0, v1]) = world_with_two_ready().await;
    let operation_id = Uuid::new_v4().to_string();
    let named = SwitchRequest { operation_id: operation_id.clone(), ..world.switch_request(&v0) };
    let first = world.switch(&named).await.expect("the switch");
    assert_eq!(first.operation_id, operation_id);
    assert_eq!(world.switch(&named).await.expect("the same operation again"), first);

    // Another operation that asks for what is so already: the same answer, but for its own id.
    let other = world.switch(&world.switch_request(&v0)).await.expect("an equal switch");
    assert_ne!(other.operation_id, operation_id);
    assert_eq!(proto::v1::SwitchResult { operation_id: operation_id.clone(), ..other }, first);

    let stolen = SwitchRequest { operation_id, ..world.switch_request(&v1) };
    refused(&world, &stolen, ErrorKind::Conflict, "choose a new one").await;

    let second = world.switch(&world.switch_request(&v1)).await.expect("the next switch");
    assert_eq!(second.generation, 2);
    assert_eq!(world.switch(&named).await.expect("the old operation, asked late"), first, "its answer stays");
    assert_eq!(with_role(&world, "active").await, [v1]);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_cannot_be_told_does_not_undo_a_switch() {
    let world = World::new().await;
    let worker = world.worker();
    let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
    world.move_destinations("ftp://nowhere").await;
    let request = SwitchRequest {
        operation_id: Uuid::new_v4().to_string(),
        force: true,
        reason: "the server moved, and its points with it".to_owned(),
        ..world.switch_request(&slot)
    };
    let switched = world.switch(&request).await.expect("the roles change all the same");
    assert_eq!((switched.generation, &switched.new_active_slot_id), (1, &slot));
    assert!(switched.not_announced.contains("InvalidInput: the connection URL"), "{:?}", switched.not_announced);
    assert_eq!(with_role(&world, "active").await, std::slice::from_ref(&slot));
    let (state, phase, result): (String, String, serde_json::Value) =
        sqlx::query_as("SELECT state, phase, result FROM sync_multiplexer.operation WHERE operation_id = $1::uuid")
            .bind(&request.operation_id)
            .fetch_one(world.database.pool())
            .await
            .expect("the operation is on record");
    assert_eq!((state.as_str(), phase.as_str()), ("completed", "done"));
    assert_eq!(result["not_announced"], switched.not_announced.as_str());

    world.move_destinations(&world.database_url).await;
    let again = world.switch(&request).await.expect("the same switch again");
    assert_eq!((again.generation, again.not_announced.as_str()), (1, ""));
    assert_eq!(again.syncs[0].skipped, switched.syncs[0].skipped, "what was left out stays on record");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alias_of_a_destination_follows_the_active_slot() {
    let world = World::new().await;
    let worker = world.worker();
    let server = QdrantServer::start(QdrantServerOptions::default()).await;
    let client = Qdrant::from_url(&server.url()).skip_compatibility_check().build().expect("the URL is valid");
    let alias = async || {
        let aliases = client.list_aliases().await.expect("the aliases can be listed").aliases;
        aliases.into_iter().map(|it| (it.alias_name, it.collection_name)).collect::<Vec<_>>()
    };
    let current = |collection: &str| [("current".to_owned(), collection.to_owned())];
    let mut slots = Vec::new();
    for collection in ["blue", "green"] {
        let credentials = serde_json::json!({ "url": server.url(), "grpc_port": server.port() });
        let connection = world.connect_destination("qdrant", credentials).await;
        let layout = QdrantLayout { collection: collection.into(), alias: "current".into(), ..QdrantLayout::default() };
        let profile = Profile { destination: Some(Destination::Qdrant(layout)), ..world.profile(512) };
        let request = ForkRequest { profile: Some(profile), ..world.fork_request(connection) };
        slots.push(world.fork(&request).await.expect("the fork completes").slot_id);
    }
    assert_eq!(alias().await, [], "a fork is not a switch");

    let first = world.switch(&world.switch_request(&slots[0])).await.expect("the first switch");
    assert_eq!((first.not_announced.as_str(), alias().await.as_slice()), ("", &current("blue")[..]));

    // A server that is away for a moment is waited for; one that refuses is not.
    server.script(Method::UpdateAliases, 2, Fault::Refused(Code::Unavailable));
    let second = world.switch(&world.switch_request(&slots[1])).await.expect("the second switch");
    assert_eq!((second.not_announced.as_str(), alias().await.as_slice()), ("", &current("green")[..]));
    assert_eq!(server.journal().count(Method::UpdateAliases), 4);
    // Asked for late, the first switch answers as it did and moves nothing.
    let named = SwitchRequest { operation_id: first.operation_id.clone(), ..world.switch_request(&slots[0]) };
    assert_eq!(world.switch(&named).await.expect("the old operation"), first);
    assert_eq!(alias().await, current("green"));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_switches_at_a_time_exactly_one_wins() {
    let (world, worker, [v0, v1]) = world_with_two_ready().await;
    let (to_v0, to_v1) = (world.switch_request(&v0), world.switch_request(&v1));
    // Each believes that nothing is active yet, as both did when they were asked for.
    let ask = |request: SwitchRequest| SwitchRequest { expected_generation: Some(0), ..request };
    let (to_v0, to_v1) = (ask(to_v0), ask(to_v1));
    let (first, second) = tokio::join!(world.switch(&to_v0), world.switch(&to_v1));
    assert_one_won(&world, &[v0.clone(), v1.clone()], vec![first, second]).await;
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switches_under_other_workflow_ids_are_held_apart_by_the_database() {
    let (world, worker, [v0, v1]) = world_with_two_ready().await;
    let mut handles = Vec::new();
    for (position, slot) in [&v0, &v1, &v0, &v1].into_iter().enumerate() {
        let request = SwitchRequest { expected_generation: Some(0), ..world.switch_request(slot) };
        let argument = payload("json/plain", serde_json::to_string(&request).expect("JSON"));
        handles
            .push(world.start_any("SwitchWorkflow", &format!("{}/{position}", world.task_queue), vec![argument]).await);
    }
    let ends = join_all(handles.iter().map(ended)).await;
    let won = ends.iter().filter(|end| matches!(end, harness::Ended::Completed(_))).count();
    // The winner, and the one that asked for the same and finds it done.
    assert_eq!(won, 2, "{ends:?}");
    for end in ends.iter().filter(|end| !matches!(end, harness::Ended::Completed(_))) {
        assert_eq!(end.failure().0, "Conflict", "{end:?}");
    }
    assert_eq!(world.list().generation, 1);
    assert_eq!(with_role(&world, "active").await.len(), 1);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_flips_at_a_time_exactly_one_wins() {
    let (world, worker, slots) = world_with_two_ready().await;
    let commands: Vec<_> = (0..16)
        .map(|number| FlipCommand {
            expected_generation: Some(0),
            ..world.flip_command(slots[number % 2].parse().expect("a UUID"), false)
        })
        .collect();
    let outcomes = join_all(commands.iter().map(|command| world.flip(command))).await;
    let active = with_role(&world, "active").await;
    assert_eq!(active.len(), 1);
    for (command, outcome) in commands.iter().zip(outcomes) {
        match outcome {
            Ok(outcome) => {
                assert_eq!((outcome.new_active.to_string(), outcome.generation), (active[0].clone(), 1));
                assert_eq!(command.target_slot_id, outcome.new_active);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                assert_ne!(command.target_slot_id.to_string(), active[0], "asking for what is so is no conflict");
            }
        }
    }
    let audit: i64 = sqlx::query_scalar("SELECT count(*) FROM sync_multiplexer.audit")
        .fetch_one(world.database.pool())
        .await
        .expect("the audit trail can be read");
    assert_eq!((audit, world.list().generation), (1, 1), "one flip happened");
    drop(worker);
    world.done().await;
}

async fn assert_one_won(
    world: &World,
    slots: &[String; 2],
    outcomes: Vec<Result<proto::v1::SwitchResult, sync_multiplexer::output::Failure>>,
) {
    let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    let [winner] = won.as_slice() else { panic!("exactly one wins: {outcomes:?}") };
    for outcome in &outcomes {
        if let Err(failure) = outcome {
            assert_eq!(failure.kind(), Some(ErrorKind::Conflict), "{failure}");
        }
    }
    assert!(slots.contains(&winner.new_active_slot_id));
    assert_eq!(with_role(world, "active").await, std::slice::from_ref(&winner.new_active_slot_id));
    assert_eq!(world.list().generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_with_the_id_of_another_operation_leaves_that_one_alone() {
    let (world, worker, [v0, _]) = world_with_two_ready().await;
    // A fork that runs, as far as the records say.
    let running: Uuid = sqlx::query_scalar(
        "UPDATE sync_multiplexer.operation SET state = 'running', ended_at = NULL, result = NULL
         WHERE operation_id = (SELECT operation_id FROM sync_multiplexer.operation LIMIT 1) RETURNING operation_id",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("a fork is recorded");
    let stolen = SwitchRequest { operation_id: running.to_string(), ..world.switch_request(&v0) };
    refused(&world, &stolen, ErrorKind::Conflict, "choose a new one").await;
    let state: String = sqlx::query_scalar("SELECT state FROM sync_multiplexer.operation WHERE operation_id = $1")
        .bind(running)
        .fetch_one(world.database.pool())
        .await
        .expect("the operation is still recorded");
    assert_eq!(state, "running", "somebody else's operation was closed");
    drop(worker);
    world.done().await;
}
