use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::world::World;
use crate::database::operations::{self, NewOperation, OperationKind, Outcome};
use crate::database::outbox::{self, Event};

const LEASE: Duration = Duration::from_secs(30);

async fn begin(world: &World, kind: OperationKind) -> Uuid {
    let new = NewOperation {
        operation_id: Uuid::now_v7(),
        organization_id: world.organization_id,
        sync_id: world.sync_id,
        slot_id: None,
        kind,
        workflow_id: "w".into(),
        run_id: "r".into(),
        requested_by: "ann".into(),
        options: json!({"secret": "hunter2"}),
        phase: "begin".into(),
    };
    operations::begin(world.database(), &new).await.unwrap();
    operations::begin(world.database(), &new).await.unwrap();
    new.operation_id
}

async fn phase(world: &World, operation_id: Uuid, phase: &str) {
    operations::set_phase(world.database(), world.organization_id, operation_id, phase).await.unwrap();
}

async fn claim(world: &World) -> Vec<Event> {
    let mut events = outbox::claim(world.database(), 10, LEASE).await.unwrap();
    events.sort_by_key(|event| event.sequence);
    events
}

fn phases(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.data["phase"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn events_are_written_once_each_while_somebody_wants_them() {
    let world = World::new().await;
    let unheard = begin(&world, OperationKind::Fork).await;
    phase(&world, unheard, "replay").await;
    assert!(claim(&world).await.is_empty());

    outbox::want(world.database(), LEASE).await.unwrap();
    let heard = begin(&world, OperationKind::Fork).await;
    for step in ["replay", "replay", "verify"] {
        phase(&world, heard, step).await;
    }
    let failed = Outcome::Failed(crate::error::ErrorKind::Conflict, "somebody else was faster".into());
    for _ in 0..2 {
        operations::end(world.database(), world.organization_id, heard, &failed).await.unwrap();
    }
    phase(&world, heard, "late").await;
    let mut told = Vec::new();
    while let [event] = claim(&world).await.as_slice() {
        told.push((event.event_type.clone(), event.data["phase"].as_str().unwrap().to_owned()));
        assert!(!event.data.to_string().contains("hunter2") && !event.data.to_string().contains("faster"));
        outbox::delivered(world.database(), event).await.unwrap();
    }
    let step = |phase: &str| ("operation.phase".to_owned(), phase.to_owned());
    assert_eq!(told, [step("begin"), step("replay"), step("verify"), ("operation.ended".into(), "verify".into())]);
}

#[tokio::test]
async fn an_end_that_an_onlooker_records_is_told_and_so_is_that_it_goes_on_after_all() {
    let world = World::new().await;
    outbox::want(world.database(), LEASE).await.unwrap();
    let operation = begin(&world, OperationKind::Fork).await;
    phase(&world, operation, "replay").await;
    for _ in 0..2 {
        operations::end_terminated(world.database(), world.organization_id, operation).await.unwrap();
    }
    phase(&world, operation, "replay").await;
    operations::end(world.database(), world.organization_id, operation, &Outcome::Cancelled).await.unwrap();
    let mut told = Vec::new();
    while let [event] = claim(&world).await.as_slice() {
        told.push(format!("{} {}", event.event_type, event.data["state"].as_str().unwrap()));
        outbox::delivered(world.database(), event).await.unwrap();
    }
    let running = "operation.phase running";
    assert_eq!(told, [running, running, "operation.ended failed", running, "operation.ended cancelled"]);
}

#[tokio::test]
async fn a_follow_tells_its_beginning_and_its_end() {
    let world = World::new().await;
    outbox::want(world.database(), LEASE).await.unwrap();
    let follow = begin(&world, OperationKind::Follow).await;
    for step in ["catch-up", "verify", "catch-up"] {
        phase(&world, follow, step).await;
    }
    operations::end(world.database(), world.organization_id, follow, &Outcome::Cancelled).await.unwrap();
    for expected in ["operation.phase", "operation.ended"] {
        let events = claim(&world).await;
        assert_eq!(events.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>(), [expected]);
        outbox::delivered(world.database(), &events[0]).await.unwrap();
    }
    assert!(claim(&world).await.is_empty());
}

#[tokio::test]
async fn of_an_operation_the_next_waits_for_the_one_before_and_nobody_takes_one_twice() {
    let world = World::new().await;
    outbox::want(world.database(), LEASE).await.unwrap();
    let (one, two) = (begin(&world, OperationKind::Fork).await, begin(&world, OperationKind::Switch).await);
    phase(&world, one, "replay").await;
    let events = claim(&world).await;
    assert_eq!(
        events.iter().map(|event| event.data["operation_id"].clone()).collect::<Vec<_>>(),
        [json!(one), json!(two)]
    );
    assert!(claim(&world).await.is_empty(), "both are taken, and the third waits");

    outbox::failed(world.database(), &events[0], "status 500", Some(Duration::ZERO)).await.unwrap();
    let again = claim(&world).await;
    assert_eq!((again[0].event_id, again[0].attempts), (events[0].event_id, 2));
    // The first attempt comes to its end late: whoever took the event since is not disturbed.
    outbox::failed(world.database(), &events[0], "status 500", Some(Duration::ZERO)).await.unwrap();
    assert!(claim(&world).await.is_empty());

    outbox::failed(world.database(), &again[0], "status 410", None).await.unwrap();
    assert_eq!(phases(&claim(&world).await), ["replay"], "what was given up keeps nobody");
    assert_eq!(outbox::prune(world.database(), LEASE).await.unwrap(), 0);
    assert_eq!(outbox::prune(world.database(), Duration::ZERO).await.unwrap(), 3);
}

#[tokio::test]
async fn an_event_is_there_exactly_if_what_it_tells_of_is() {
    let world = World::new().await;
    outbox::want(world.database(), LEASE).await.unwrap();
    let operation = begin(&world, OperationKind::Fork).await;
    let stranger = operations::set_phase(world.database(), world.stranger_id, operation, "replay").await;
    assert!(stranger.is_err());
    // The outbox cannot be written to, so the phase must not stand either.
    sqlx::query("ALTER TABLE sync_multiplexer.webhook_event ADD CONSTRAINT closed CHECK (false) NOT VALID")
        .execute(world.pool())
        .await
        .unwrap();
    assert!(operations::set_phase(world.database(), world.organization_id, operation, "replay").await.is_err());
    let recorded = operations::get(world.database(), world.organization_id, operation).await.unwrap();
    assert_eq!(recorded.phase, "begin");
}
