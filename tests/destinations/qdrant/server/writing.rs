//! Writes: applied in part, skipped in silence, last one wins.

use ::qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use ::qdrant_client::qdrant::points_update_operation::{DeletePoints, Operation, PointStructList};
use ::qdrant_client::qdrant::{
    CollectionStatus, Condition, DeletePointsBuilder, Filter, GetPointsBuilder, PointStruct, PointsIdsList,
    PointsUpdateOperation, UpdateBatchPointsBuilder, UpdateMode, UpdateStatus, UpsertPointsBuilder, Vector,
};
use serde_json::json;
use tonic::Code;

use crate::qdrant::target::{Target, code, named, payload, point, points, status};

/// A batch of a hundred whose point 50 has a vector that the collection does not know.
fn batch_with_an_unknown_name() -> Vec<PointStruct> {
    let mut batch = points(100);
    batch[49] = named(50, vec![("nowhere", vec![1.0_f32; 4].into())]);
    batch
}

#[tokio::test]
async fn one_bad_point_leaves_a_part_of_the_batch() {
    let target = Target::open().await;
    let name = target.collection().await;
    let refusal = status(target.upsert(&name, batch_with_an_unknown_name()).await);
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("nowhere"), "{refusal}");
    let stored = target.count(&name).await;
    assert!((1..99).contains(&stored), "{stored} of the 99 good points were stored");
    let mut good = points(100);
    good.remove(49);
    assert_eq!(target.upsert(&name, good).await.expect("the good ones again"), UpdateStatus::Completed);
    assert_eq!(target.count(&name).await, 99);
    target.close().await;
}

#[tokio::test]
async fn without_waiting_the_rest_of_the_batch_is_lost_in_silence() {
    let target = Target::open().await;
    let name = target.collection().await;
    let request = UpsertPointsBuilder::new(&name, batch_with_an_unknown_name()).wait(false);
    let answer = target.client.upsert_points(request).await.expect("it says OK");
    assert_eq!(answer.result.expect("result").status(), UpdateStatus::Acknowledged);
    // What waits comes after what did not, so that the count is final.
    target.upsert(&name, vec![point(1_000, [1.0; 4])]).await.expect("upsert");
    let stored = target.count(&name).await - 1;
    assert!(stored < 99, "{stored} of the 99 good points were stored");
    let info = target.client.collection_info(&name).await.expect("info").result.expect("result");
    assert_eq!(info.status(), CollectionStatus::Green);
    assert!(info.optimizer_status.expect("status").ok, "nothing hints at the loss");
    target.close().await;
}

#[tokio::test]
async fn a_wrong_length_is_found_before_anything_is_applied() {
    let target = Target::open().await;
    let name = target.collection().await;
    let mut batch = points(100);
    batch[49] = PointStruct::new(50, vec![1.0_f32; 3], payload(json!({})));
    for wait in [true, false] {
        let answer = target.client.upsert_points(UpsertPointsBuilder::new(&name, batch.clone()).wait(wait)).await;
        let refusal = status(answer);
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().contains("expected dim: 4, got 3"), "{refusal}");
    }
    assert_eq!(target.count(&name).await, 0);
    target.close().await;
}

#[tokio::test]
async fn malformed_points_are_refused() {
    let target = Target::open().await;
    let name = target.collection().await;
    let twice: Vector = vec![(7, 1.0), (7, 2.0)].into();
    assert_eq!(code(target.upsert(&name, vec![named(1, vec![("bm25", twice)])]).await), Code::InvalidArgument);
    assert_eq!(code(target.upsert(&name, vec![]).await), Code::InvalidArgument, "empty");
    let not_a_uuid = PointStruct::new("no-uuid", vec![1.0; 4], payload(json!({})));
    assert_eq!(code(target.upsert(&name, vec![not_a_uuid]).await), Code::InvalidArgument);
    let no_vectors = PointStruct { vectors: None, ..point(1, [1.0; 4]) };
    assert_eq!(code(target.upsert(&name, vec![no_vectors]).await), Code::InvalidArgument);
    assert_eq!(target.count(&name).await, 0);
    target.close().await;
}

#[tokio::test]
async fn of_points_with_the_same_id_the_last_one_is_stored() {
    let target = Target::open().await;
    let name = target.collection().await;
    let version = |n: u64| PointStruct::new(1, vec![1.0; 4], payload(json!({ "version": n })));
    target.upsert(&name, vec![version(1), version(2), version(3)]).await.expect("upsert");
    assert_eq!(target.count(&name).await, 1);
    assert_eq!(version_of(&target, &name, 1).await, Some(3));
    target.close().await;
}

async fn version_of(target: &Target, name: &str, id: u64) -> Option<i64> {
    let request = GetPointsBuilder::new(name, vec![id.into()]).with_payload(true);
    let found = target.client.get_points(request).await.expect("get").result;
    found.first().map(|point| point.payload["version"].as_integer().expect("a version"))
}

#[tokio::test]
async fn a_conditional_write_is_completed_whether_it_was_done_or_not() {
    let target = Target::open().await;
    let name = target.collection().await;
    let version = |id: u64, n: u64| PointStruct::new(id, vec![1.0; 4], payload(json!({ "version": n })));
    target.upsert(&name, vec![version(1, 1), version(2, 2)]).await.expect("upsert");
    let only_over = |n: i64| Filter::must([Condition::matches("version", n)]);
    let write = |points: Vec<PointStruct>, filter: Option<Filter>, mode: UpdateMode| {
        let mut request = UpsertPointsBuilder::new(&name, points).wait(true).update_mode(mode).build();
        request.update_filter = filter;
        async { target.client.upsert_points(request).await.expect("write").result.expect("result").status() }
    };
    // A filter that fits one of two, and a point that is new: the misfit is skipped, the new one inserted.
    let batch = vec![version(1, 10), version(2, 10), version(3, 10)];
    assert_eq!(write(batch, Some(only_over(1)), UpdateMode::Upsert).await, UpdateStatus::Completed);
    let versions = [version_of(&target, &name, 1).await, version_of(&target, &name, 2).await];
    assert_eq!(versions, [Some(10), Some(2)]);
    assert_eq!(version_of(&target, &name, 3).await, Some(10), "inserted, whatever the filter says");
    // Only updates: what is new is not inserted.
    let batch = vec![version(1, 20), version(2, 20), version(4, 20)];
    assert_eq!(write(batch, Some(only_over(10)), UpdateMode::UpdateOnly).await, UpdateStatus::Completed);
    let versions = [version_of(&target, &name, 1).await, version_of(&target, &name, 2).await];
    assert_eq!(versions, [Some(20), Some(2)]);
    assert_eq!(version_of(&target, &name, 4).await, None);
    // Only inserts: what is there stays.
    let batch = vec![version(1, 30), version(5, 30)];
    assert_eq!(write(batch, None, UpdateMode::InsertOnly).await, UpdateStatus::Completed);
    assert_eq!(version_of(&target, &name, 1).await, Some(20));
    assert_eq!(version_of(&target, &name, 5).await, Some(30));
    target.close().await;
}

#[tokio::test]
async fn a_batch_of_operations_is_no_transaction() {
    let target = Target::open().await;
    let name = target.collection().await;
    let upsert = |points: Vec<PointStruct>| PointsUpdateOperation {
        operation: Some(Operation::Upsert(PointStructList { points, ..PointStructList::default() })),
    };
    let delete = |id: u64| {
        let ids = PointsIdsList { ids: vec![id.into()] };
        let points = Some(PointsSelectorOneOf::Points(ids).into());
        PointsUpdateOperation {
            operation: Some(Operation::DeletePoints(DeletePoints { points, shard_key_selector: None })),
        }
    };
    let run =
        |operations| target.client.update_points_batch(UpdateBatchPointsBuilder::new(&name, operations).wait(true));
    let bad = named(2, vec![("nowhere", vec![1.0_f32; 4].into())]);
    let answer = run(vec![upsert(vec![point(1, [1.0; 4])]), upsert(vec![bad]), upsert(vec![point(3, [1.0; 4])])]).await;
    assert_eq!(code(answer), Code::InvalidArgument);
    assert_eq!(target.count(&name).await, 1, "the first is stored, the third was never tried");
    let answer = run(vec![upsert(vec![point(3, [1.0; 4])]), delete(1)]).await.expect("both are fine");
    let statuses: Vec<UpdateStatus> = answer.result.iter().map(|result| result.status()).collect();
    assert_eq!(statuses, [UpdateStatus::Completed; 2]);
    assert_eq!(target.count_with(&name, Filter::must([Condition::has_id([3])])).await, 1);
    assert_eq!(target.count(&name).await, 1);
    target.close().await;
}

#[tokio::test]
async fn points_are_removed_by_id_and_by_filter() {
    let target = Target::open().await;
    let name = target.collection().await;
    target.upsert(&name, points(10)).await.expect("upsert");
    let by_id = DeletePointsBuilder::new(&name).points(vec![1_u64, 2, 99]).wait(true);
    let answer = target.client.delete_points(by_id).await.expect("delete");
    assert_eq!(answer.result.expect("result").status(), UpdateStatus::Completed, "an absent id is fine");
    let filter = Filter::must([Condition::matches("n", vec![3_i64, 4, 5])]);
    let by_filter = DeletePointsBuilder::new(&name).points(filter).wait(true);
    target.client.delete_points(by_filter).await.expect("delete");
    assert_eq!(target.count(&name).await, 5);
    target.close().await;
}

#[tokio::test]
async fn nan_and_infinity_are_stored_and_come_first() {
    let target = Target::open().await;
    let name = target.collection().await;
    let batch = vec![
        point(1, [1.0, 0.0, 0.0, 0.0]),
        point(2, [f32::NAN, 0.0, 0.0, 0.0]),
        point(3, [f32::INFINITY, 0.0, 0.0, 0.0]),
        point(4, [5.0, 0.0, 0.0, 0.0]),
    ];
    assert_eq!(target.upsert(&name, batch).await.expect("they are accepted"), UpdateStatus::Completed);
    let hits = super::searching::dense(&target, &name, [1.0, 1.0, 0.0, 0.0], Filter::default()).await;
    assert!(hits[0].0 == 2 && hits[0].1.is_nan(), "NaN comes first: {hits:?}");
    assert_eq!((hits.len(), hits[3].0), (4, 1), "{hits:?}");
    target.close().await;
}
