use serde_json::json;
use uuid::Uuid;

use super::world::World;
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
    let listed = operations::list(world.database(), world.organization_id, Some(world.sync_id), 10).await.unwrap();
    assert_eq!(listed, [cancelled.clone(), failed]);
    assert_eq!(operations::list(world.database(), world.organization_id, None, 1).await.unwrap(), [cancelled]);
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
