//! Every connection to Postgres is cut in the middle of a replay, again and again: it completes.

use std::time::Duration;

use harness::{World, WorldOptions};
use proto::v1::{ForkOptions, ForkRequest};
use sync_multiplexer::temporal;

use crate::moments::Moments;
use crate::write_log::WriteLog;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_survives_cut_connections() {
    const ENTITIES: usize = 240;
    const CUTS: u64 = 5;
    const LANES: u32 = 4;
    const BATCH: u32 = 8;
    let mut moments = Moments::new("a_replay_survives_cut_connections");
    let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let options = ForkOptions { lanes: LANES, batch_entities: BATCH, segment_entities: 20, ..ForkOptions::default() };
    let request = ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) };
    let log = WriteLog::install(&world, &request, Duration::from_millis(150)).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");

    let stretch = ENTITIES as u64 / (CUTS + 2);
    for cut in 0..CUTS {
        let passed = log.reached(cut * stretch + moments.pick(1..stretch)).await;
        let killed: i64 = sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .fetch_one(world.database.pool())
        .await
        .expect("connections can be cut");
        log.next_round().await;
        eprintln!("cut {cut}: {killed} connections after {passed} entities");
        assert!(killed > 0, "there was nothing to cut");
    }

    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES as u64, 0));
    log.assert_whole().await;
    let repeated = log.repeated().await;
    eprintln!("entities written again after each cut: {repeated:?}");
    assert!(repeated.iter().all(|again| *again <= i64::from(LANES * BATCH)), "{repeated:?}");
    assert!(worker.stop(), "the worker outlived its connections and ends well");
    world.done().await;
}
