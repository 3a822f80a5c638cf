//! Counts, in the database itself, what is written into a slot and by which transaction.
//!
//! A fork without a replay makes the slot's table; triggers on it then note every row that a later fork writes, and make
//! writing slow enough to be struck in the middle. A note is part of the transaction it tells about, so only what was
//! committed counts.

use std::time::Duration;

use activities::database::{SlotScope, ledger};
use futures::TryStreamExt as _;
use harness::{World, until_some};
use proto::v1::{ForkOptions, ForkRequest};
use sqlx::AssertSqlSafe;

/// How long a drill may take to reach a state. Recovering from a kill takes a heartbeat timeout, 10 s, and a bit.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A slot whose writes are noted.
pub(crate) struct WriteLog<'w> {
    world: &'w World,
    slot: String,
}

impl<'w> WriteLog<'w> {
    /// Makes the empty slot that `request` will fill, and notes what is written to it from now on. Each statement that
    /// writes takes `pause` longer. A worker must be running.
    pub(crate) async fn install(world: &'w World, request: &ForkRequest, pause: Duration) -> Self {
        let options = ForkOptions { without_replay: true, ..ForkOptions::default() };
        let empty = ForkRequest { options: Some(options), ..request.clone() };
        let slot = world.fork(&empty).await.expect("an empty slot can be made").slot_id;
        let (table, seconds) = (world.points_table(&slot), pause.as_secs_f64());
        let script = format!(
            "CREATE SCHEMA drill;
             CREATE TABLE drill.round (number integer NOT NULL);
             INSERT INTO drill.round VALUES (0);
             CREATE TABLE drill.write (entity_id text COLLATE \"C\" NOT NULL, transaction xid8 NOT NULL, round integer NOT NULL);
             CREATE FUNCTION drill.note() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 INSERT INTO drill.write SELECT NEW.entity_id, pg_current_xact_id(), number FROM drill.round;
                 RETURN NULL;
             END $$;
             CREATE FUNCTION drill.pause() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM pg_sleep({seconds});
                 RETURN NULL;
             END $$;
             CREATE TRIGGER note AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION drill.note();
             CREATE TRIGGER pause AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION drill.pause();"
        );
        sqlx::raw_sql(AssertSqlSafe(script)).execute(world.database.pool()).await.expect("triggers can be made");
        Self { world, slot }
    }

    /// Waits until the cursors have passed `entities`, and says how many they have passed. Fails when the replay was over
    /// before it was seen in the middle: then the drill would prove nothing.
    pub(crate) async fn reached(&self, entities: u64) -> u64 {
        let (done, total) = until_some(&format!("{entities} entities are replayed"), PATIENCE, async || {
            Some(progress(self.world).await).filter(|(done, _)| *done >= entities)
        })
        .await;
        assert!(done < total, "the replay of {total} was over before it was struck; make writing slower");
        done
    }

    /// Notes from now on as the next round: what was alive before is dead.
    pub(crate) async fn next_round(&self) {
        sqlx::query("UPDATE drill.round SET number = number + 1")
            .execute(self.world.database.pool())
            .await
            .expect("the round can be counted");
    }

    /// Makes writing as fast again as it is.
    pub(crate) async fn hurry(&self) {
        let script = format!("DROP TRIGGER pause ON {}", self.world.points_table(&self.slot));
        sqlx::raw_sql(AssertSqlSafe(script)).execute(self.world.database.pool()).await.expect("the trigger goes");
    }

    /// How many entities each round wrote that an earlier one had written, for every round after the first.
    pub(crate) async fn repeated(&self) -> Vec<i64> {
        sqlx::query_scalar(
            "SELECT count(DISTINCT again.entity_id)
             FROM drill.round CROSS JOIN LATERAL generate_series(1, number) AS later
             LEFT JOIN drill.write AS again ON again.round = later AND EXISTS (
                 SELECT FROM drill.write AS before WHERE before.entity_id = again.entity_id AND before.round < later)
             GROUP BY later ORDER BY later",
        )
        .fetch_all(self.world.database.pool())
        .await
        .expect("the notes can be counted")
    }

    /// How many times an entity was written once more, over all rounds.
    pub(crate) async fn surplus_writes(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT coalesce(sum(times - 1), 0)::bigint
             FROM (SELECT count(DISTINCT transaction) AS times FROM drill.write GROUP BY entity_id) AS entity",
        )
        .fetch_one(self.world.database.pool())
        .await
        .expect("the notes can be counted")
    }

    /// The slot.
    pub(crate) fn slot(&self) -> &str {
        &self.slot
    }

    /// Fails unless every entity of the raw store is in the slot exactly once, in the ledger and in the points alike.
    pub(crate) async fn assert_whole(&self) {
        assert_whole(self.world, &self.slot).await;
    }
}

/// Entities that the cursors of the current plans have passed, and entities planned.
pub(crate) async fn progress(world: &World) -> (u64, u64) {
    let (done, total): (i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(next_index), 0)::bigint, coalesce(sum(entry_count), 0)::bigint FROM sync_multiplexer.segment",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("the segments are readable");
    (done.unsigned_abs(), total.unsigned_abs())
}

/// Fails unless every entity of the raw store is in the slot exactly once: the points' entities, the ledger's and the
/// store's are the same, each entity's chunks are numbered without gap or repetition, and there are as many as recorded.
pub(crate) async fn assert_whole(world: &World, slot: &str) {
    let mut expected = world.entity_ids.clone();
    expected.sort();
    assert_eq!(world.stored_entities(slot).await, expected, "the slot's entities are those of the raw store");

    let scope = SlotScope {
        organization_id: world.ids.organization_id,
        sync_id: world.ids.sync_id,
        slot_id: slot.parse().expect("a slot id is a UUID"),
    };
    let mut ledger: Vec<(String, i64)> = ledger::stream(&world.database, &scope)
        .await
        .expect("the ledger is readable")
        .map_ok(|entry| (entry.entity_id, i64::from(entry.points)))
        .try_collect()
        .await
        .expect("the ledger is readable");
    ledger.sort();
    let ids: Vec<_> = ledger.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids, expected, "the ledger's entities are those of the raw store, each once");

    let uneven = format!(
        "SELECT count(*) FROM (
             SELECT entity_id, count(*) AS points, count(DISTINCT chunk_index) AS different, max(chunk_index) + 1 AS length
             FROM {} GROUP BY entity_id) AS stored
         FULL JOIN unnest($1::text[], $2::bigint[]) AS ledger (entity_id, points) USING (entity_id)
         WHERE (stored.points, different, length) IS DISTINCT FROM (ledger.points, ledger.points, ledger.points::integer)
           AND NOT (ledger.points = 0 AND stored.points IS NULL)",
        world.points_table(slot)
    );
    let uneven: i64 = sqlx::query_scalar(AssertSqlSafe(uneven))
        .bind(ids)
        .bind(ledger.iter().map(|(_, points)| *points).collect::<Vec<_>>())
        .fetch_one(world.database.pool())
        .await
        .expect("the points can be compared");
    assert_eq!(uneven, 0, "each entity has the chunks that were recorded, each once");
}
