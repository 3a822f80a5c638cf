//! Operations as clients see them: whose they are, what can be done to them, and when.

use activities::database::operation_list::Filter;
use activities::database::operations::{OperationKind, OperationState};
use harness::{Ended, World, ended, until};
use proto::v1::{ForkOptions, ForkRequest, Throttle};
use sync_multiplexer::operations::Operations;
use sync_multiplexer::output::Failure;
use temporalio_client::WorkflowTerminateOptions;
use uuid::Uuid;
use workflows::domain::ErrorKind;
use workflows::{fork_workflow_id, switch_workflow_id};

use crate::operators::{SHORTLY, at, hold, let_go};

fn kind<T>(outcome: Result<T, Failure>) -> Option<ErrorKind> {
    outcome.err().and_then(|failure| failure.kind())
}

/// Twelve segments of five, two at a time.
fn request(world: &World) -> ForkRequest {
    let options = ForkOptions { lanes: 2, batch_entities: 5, segment_entities: 5, ..ForkOptions::default() };
    ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_steered_by_the_id_of_its_record_and_by_its_organisation_alone() {
    let world = World::new().await;
    let worker = world.worker();
    let operations = Operations::new(world.database.clone(), world.client.clone(), &world.task_queue);
    let (own, stranger) = (world.ids.organization_id, Uuid::new_v4());
    let id = Uuid::now_v7();
    let request = ForkRequest { operation_id: id.to_string(), ..request(&world) };
    let held = hold(&world).await;
    world.start_fork(&request).await.expect("the fork starts");
    let fork = world.any_workflow(&fork_workflow_id(&request.sync_id, &request.destination_connection_id));
    at(&fork, "two lanes", |it| it.segments_in_flight == 2).await;

    // Another organisation sees nothing of it and does nothing to it.
    assert_eq!(kind(operations.get(stranger, id).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(operations.pause(stranger, id).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(operations.resume(stranger, id).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(operations.throttle(stranger, id, &Throttle::default()).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(operations.cancel(stranger, id, "").await), Some(ErrorKind::NotFound));
    assert_eq!(kind(operations.retry(stranger, id, None, "x").await), Some(ErrorKind::NotFound));
    let theirs = operations.list(stranger, &Filter::default(), None, 10).await.expect("a page");
    assert_eq!(theirs.operations, []);

    let view = operations.get(own, id).await.expect("it is there");
    assert_eq!(view.record.state, OperationState::Running);
    assert_eq!(view.progress.as_ref().map(|it| (it.paused, it.segments_in_flight)), Some((false, 2)), "{view:?}");
    operations.pause(own, id).await.expect("it pauses");
    at(&fork, "the pause", |it| it.paused).await;
    operations.resume(own, id).await.expect("it goes on");
    at(&fork, "the end of the pause", |it| !it.paused).await;
    let asked = Throttle { lanes: 3, ..Throttle::default() };
    assert_eq!(operations.throttle(own, id, &asked).await.expect("it is throttled").lanes, 3);
    let wrong = Throttle { lanes: 65, ..Throttle::default() };
    assert_eq!(kind(operations.throttle(own, id, &wrong).await), Some(ErrorKind::InvalidInput));
    assert_eq!(kind(operations.retry(own, id, None, "x").await), Some(ErrorKind::Conflict), "it runs");
    operations.cancel(own, id, "a test").await.expect("it is cancelled");
    let_go(held).await;
    assert_eq!(ended(&fork).await, Ended::Cancelled);

    let view = operations.get(own, id).await.expect("it is there");
    assert_eq!((view.record.state, view.progress, view.silent), (OperationState::Cancelled, None, None));
    for ended in [operations.pause(own, id).await, operations.cancel(own, id, "").await] {
        assert_eq!(kind(ended), Some(ErrorKind::Conflict));
    }
    let retried = operations.retry(own, id, None, "a test").await.expect("it is retried");
    assert_eq!(retried.workflow_id, fork.info().workflow_id);
    assert!(matches!(ended(&fork).await, Ended::Completed(_)));
    let view = operations.get(own, retried.operation_id).await.expect("it is there");
    assert_eq!(
        (view.record.state, view.record.options["options"]["lanes"].as_u64()),
        (OperationState::Completed, Some(2))
    );
    assert_eq!(kind(operations.retry(own, retried.operation_id, None, "x").await), Some(ErrorKind::Conflict));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_terminated_is_noticed_by_whoever_looks_or_begins_next() {
    let world = World::new().await;
    let worker = world.worker();
    let operations = Operations::new(world.database.clone(), world.client.clone(), &world.task_queue);
    let own = world.ids.organization_id;
    let slot = world.fork(&request(&world)).await.expect("the fork completes").slot_id;

    // A switch that is paused before its fence, and terminated there.
    let terminate = async || {
        let switch = world.any_workflow(&switch_workflow_id(&world.ids.sync_id.to_string()));
        let held = hold(&world).await;
        world.put_entity("later", &Uuid::new_v4().to_string());
        let request = world.switch_request(&slot);
        sync_multiplexer::temporal::start_switch(&world.client, &world.task_queue, &request).await.expect("it starts");
        until("the record", SHORTLY, async || {
            let running =
                Filter { state: Some(OperationState::Running), kind: Some(OperationKind::Switch), ..Filter::default() };
            let page = operations.list(own, &running, None, 5).await.expect("a page");
            page.operations.len() == 1
        })
        .await;
        switch.terminate(WorkflowTerminateOptions::default()).await.expect("it can be terminated");
        assert_eq!(ended(&switch).await, Ended::Terminated);
        let_go(held).await;
    };
    terminate().await;
    let switches = Filter { kind: Some(OperationKind::Switch), ..Filter::default() };
    let page = operations.list(own, &switches, None, 5).await.expect("a page");
    assert_eq!((page.operations[0].state, page.operations[0].terminated), (OperationState::Failed, true), "{page:?}");

    // Nobody looks, and another one begins.
    terminate().await;
    let states = async || -> Vec<(String, bool)> {
        sqlx::query_as(
            "SELECT state, terminated FROM sync_multiplexer.operation WHERE kind = 'switch' ORDER BY started_at",
        )
        .fetch_all(world.database.pool())
        .await
        .expect("records")
    };
    assert_eq!(states().await[1], ("running".to_owned(), false));
    let retried = operations.retry(own, page.operations[0].operation_id, None, "a test").await.expect("it is retried");
    let switch = world.any_workflow(&retried.workflow_id);
    assert!(matches!(ended(&switch).await, Ended::Completed(_)));
    let failed = ("failed".to_owned(), true);
    assert_eq!(states().await, [failed.clone(), failed, ("completed".to_owned(), false)]);
    drop(worker);
    world.done().await;
}
