//! The worker is killed (SIGKILL) again and again while a collection is forked: every sync is whole in the end, and none is
//! begun twice.

use harness::{World, WorldOptions, until};
use proto::v1::{ForkCollectionRequest, ForkOptions};
use sync_multiplexer::temporal;

use crate::moments::Moments;
use crate::write_log::PATIENCE;

const ENTITIES: usize = 60;
const SYNCS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_whose_workers_are_killed_is_forked_whole() {
    let mut moments = Moments::new("a_collection_whose_workers_are_killed_is_forked_whole");
    let worlds = World::with_syncs::<SYNCS>(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let first = &worlds[0];
    let options = ForkOptions { lanes: 2, batch_entities: 4, segment_entities: 12, ..ForkOptions::default() };
    let request =
        ForkCollectionRequest { options: Some(options), ..first.fork_collection_request(first.ids.connection_v0) };
    let mut worker = first.worker();
    let fork = first.start_fork_collection(&request).await.expect("it starts");
    let recorded = async || -> i64 {
        sqlx::query_scalar("SELECT coalesce(sum(entry_count), 0)::bigint FROM sync_multiplexer.ledger_page")
            .fetch_one(first.database.pool())
            .await
            .expect("the ledger is readable")
    };
    // Once in each third: two syncs at a time, so also when one ends and the next begins.
    let third = (ENTITIES * SYNCS / 3) as u64;
    for kill in 0..3 {
        let moment = i64::try_from(kill * third + moments.pick(1..third)).expect("a small number");
        until(&format!("{moment} entities"), PATIENCE, async || recorded().await >= moment).await;
        worker.kill9();
        worker = first.worker();
    }
    let result = temporal::watch_fork_collection(&first.client, &request, &fork, |_| {}).await.expect("the forks end");
    assert_eq!((result.ready, result.failed, result.cancelled), (3, 0, 0), "{result:?}");
    for (world, fork) in worlds.iter().zip(&result.syncs) {
        assert_eq!((&fork.sync_id, fork.entities), (&world.ids.sync_id.to_string(), ENTITIES as u64));
        let mut expected = world.entity_ids.clone();
        expected.sort();
        assert_eq!(world.stored_entities(&fork.slot_id).await, expected);
        assert_eq!(world.list().slots.len(), 1);
    }
    let operations: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sync_multiplexer.operation WHERE state = 'completed'")
            .fetch_one(first.database.pool())
            .await
            .expect("the operations are recorded");
    assert_eq!(operations, 4, "one for the collection and one for each sync");
    assert!(worker.stop(), "the last worker ends well");
    let [first, ..] = worlds;
    first.done().await;
}
