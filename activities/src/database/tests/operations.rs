use serde_json::json;
use uuid::Uuid;

use super::world::World;
use crate::database::operation_list::{self, Cursor, Filter};
use crate::database::operations::{self, NewOperation, OperationKind, OperationState, Outcome};
use crate::error::ErrorKind;

fn fork(world: &World) -> NewOperation {
    NewOperation {
        operation_id: Uuid::now_v7(),
        organization_id: world.organization_id,
        sync_id: world.sync_id,
        slot_id: None,
        kind: OperationKind::Fork,
        workflow_id: "fork/s/c".into(),
        run_id: "run-1".into(),
        requested_by: "ann".into(),
        options: json!({"lanes": 4}),
        phase: "validate".into(),
    }
}

#[tokio::test]
async fn a_life() {
    let world = World::new().await;
    let new = fork(&world);
    let begun = operations::begin(world.database(), &new).await.unwrap();
    assert_eq!(
        (begun.state, begun.phase.as_str(), begun.run_id.as_str()),
        (OperationState::Running, "validate", "run-1")
    );

    operations::set_phase(world.database(), world.organization_id, new.operation_id, "replay").await.unwrap();
    // A reset workflow begins again: the phase stays, the run is the newer one.
    let again =
        operations::begin(world.database(), &NewOperation { run_id: "run-2".into(), ..new.clone() }).await.unwrap();
    assert_eq!((again.phase.as_str(), again.run_id.as_str()), ("replay", "run-2"));
    assert_eq!(again.started_at, begun.started_at);

    let outcome = Outcome::Completed(json!({"entities": 3}));
    let ended = operations::end(world.database(), world.organization_id, new.operation_id, &outcome).await.unwrap();
    assert_eq!((ended.state, ended.result.clone()), (OperationState::Completed, Some(json!({"entities": 3}))));

    // Late and repeated calls change nothing.
    operations::set_phase(world.database(), world.organization_id, new.operation_id, "late").await.unwrap();
    let failed = Outcome::Failed(ErrorKind::Timeout, "late".into());
    let still = operations::end(world.database(), world.organization_id, new.operation_id, &failed).await.unwrap();
    assert_eq!(still, ended);
    assert_eq!(operations::begin(world.database(), &new).await.unwrap(), ended);
    assert_eq!(operations::get(world.database(), world.organization_id, new.operation_id).await.unwrap(), ended);
}

#[tokio::test]
async fn failure_and_cancellation_are_told_apart() {
    let world = World::new().await;
    let (failed, cancelled) = (fork(&world), fork(&world));
    for new in [&failed, &cancelled] {
        operations::begin(world.database(), new).await.unwrap();
    }
    let outcome = Outcome::Failed(ErrorKind::RawStoreInvalid, "no manifest".into());
    let failed = operations::end(world.database(), world.organization_id, failed.operation_id, &outcome).await.unwrap();
    assert_eq!(failed.state, OperationState::Failed);
    assert_eq!(failed.error_kind.as_deref(), Some("RawStoreInvalid"));
    assert_eq!(failed.error_message.as_deref(), Some("no manifest"));
    let cancelled =
        operations::end(world.database(), world.organization_id, cancelled.operation_id, &Outcome::Cancelled)
            .await
            .unwrap();
    assert_eq!(cancelled.state, OperationState::Cancelled);
    let of_sync = Filter { sync_id: Some(world.sync_id), ..Filter::default() };
    let page = async |filter: &Filter, after: Option<&Cursor>, limit| {
        operation_list::page(world.database(), world.organization_id, filter, after, limit).await
    };
    assert_eq!(page(&of_sync, None, 10).await.unwrap().operations, [cancelled.clone(), failed.clone()]);
    assert_eq!(page(&of_sync, None, 2).await.unwrap().next, None);
    let first = page(&Filter::default(), None, 1).await.unwrap();
    assert_eq!(first.operations, std::slice::from_ref(&cancelled));
    let cursor: Cursor = first.next.unwrap().to_string().parse().unwrap();
    let second = page(&Filter::default(), Some(&cursor), 1).await.unwrap();
    assert_eq!((second.operations, second.next), (vec![failed.clone()], None));
    for (filter, expected) in [
        (Filter { state: Some(OperationState::Failed), ..of_sync }, vec![failed]),
        (Filter { state: Some(OperationState::Running), ..of_sync }, vec![]),
        (Filter { kind: Some(OperationKind::Switch), ..of_sync }, vec![]),
    ] {
        assert_eq!(page(&filter, None, 10).await.unwrap().operations, expected, "{filter:?}");
    }
    for limit in [0, operation_list::MAX_PAGE + 1] {
        assert_eq!(page(&of_sync, None, limit).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    for text in ["", "x", "1-x", "-1", "9223372036854775807-00000000000000000000000000000000"] {
        assert_eq!(text.parse::<Cursor>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
    }
}

#[tokio::test]
async fn an_id_belongs_to_one_operation() {
    let world = World::new().await;
    let new = fork(&world);
    operations::begin(world.database(), &new).await.unwrap();
    let before = world.everything().await;
    let others = [
        NewOperation { kind: OperationKind::Retire, run_id: "run-9".into(), ..new.clone() },
        NewOperation { slot_id: Some(Uuid::now_v7()), run_id: "run-9".into(), ..new.clone() },
        NewOperation { workflow_id: "fork/s/d".into(), run_id: "run-9".into(), ..new.clone() },
    ];
    for other in &others {
        assert_eq!(operations::begin(world.database(), other).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    let strangers_sync = super::world::sync(world.pool(), world.stranger_id).await;
    let stranger =
        NewOperation { organization_id: world.stranger_id, sync_id: strangers_sync, run_id: "run-9".into(), ..new };
    assert_eq!(operations::begin(world.database(), &stranger).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn an_operation_that_was_terminated_is_ended_by_an_onlooker_and_goes_on_when_it_is_heard_of() {
    let world = World::new().await;
    let (database, organization) = (world.database(), world.organization_id);
    let first = fork(&world);
    operations::begin(database, &first).await.unwrap();
    operations::set_phase(database, organization, first.operation_id, "replay").await.unwrap();
    let ended = operations::end_terminated(database, organization, first.operation_id).await.unwrap();
    assert_eq!((ended.state, ended.terminated, ended.phase.as_str()), (OperationState::Failed, true, "replay"));
    assert!(ended.error_message.as_deref().unwrap().starts_with("terminated: "));
    assert_eq!(operations::end_terminated(database, organization, first.operation_id).await.unwrap(), ended);

    // Reset, it goes on where it was, and its own word counts.
    operations::set_phase(database, organization, first.operation_id, "verify").await.unwrap();
    let revived = operations::get(database, organization, first.operation_id).await.unwrap();
    assert_eq!((revived.state, revived.ended_at, revived.error_kind), (OperationState::Running, None, None));
    operations::end_terminated(database, organization, first.operation_id).await.unwrap();
    let outcome = Outcome::Completed(json!({"entities": 3}));
    let completed = operations::end(database, organization, first.operation_id, &outcome).await.unwrap();
    assert_eq!((completed.state, completed.terminated), (OperationState::Completed, false));
    assert_eq!(operations::end_terminated(database, organization, first.operation_id).await.unwrap(), completed);
}

#[tokio::test]
async fn an_operation_that_begins_ends_what_its_workflow_id_left_running() {
    let world = World::new().await;
    let (database, organization) = (world.database(), world.organization_id);
    let left = fork(&world);
    let elsewhere = NewOperation { workflow_id: "fork/s/d".into(), ..fork(&world) };
    // Two syncs of one collection are switched by one run of one workflow.
    let other_sync = super::world::sync(world.pool(), organization).await;
    let beside = NewOperation { sync_id: other_sync, ..fork(&world) };
    for new in [&left, &elsewhere, &beside] {
        operations::begin(database, new).await.unwrap();
    }
    let next = NewOperation { run_id: "run-2".into(), ..fork(&world) };
    operations::begin(database, &next).await.unwrap();
    let state = async |operation: &NewOperation| {
        let recorded = operations::get(database, organization, operation.operation_id).await.unwrap();
        (recorded.state, recorded.terminated)
    };
    assert_eq!(state(&left).await, (OperationState::Failed, true));
    for running in [&elsewhere, &beside, &next] {
        assert_eq!(state(running).await, (OperationState::Running, false));
    }
}
