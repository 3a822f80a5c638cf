//! The worker is killed (SIGKILL) in the middle of a retire: another goes on from there, and the slot is gone with all that
//! was its own.
//!
//! Locks hold a retire at the moments that differ: before its points are counted, behind the point of no return, and
//! between the last point and the last row.

use harness::{AnyWorkflow, World, scheduled, until};
use proto::v1::{Role, SlotState};
use sqlx::{Postgres, Transaction};
use sync_multiplexer::temporal;
use workflows::retire_workflow_id;

use crate::moments::Moments;
use crate::write_log::{PATIENCE, assert_whole};

/// Where a retire can be held.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The slot is marked; its points cannot be counted.
    Counting,
    /// The points are counted and cannot be removed.
    Clearing,
    /// The points are gone; the slot's row cannot be removed.
    Removing,
}

const MOMENTS: [Moment; 3] = [Moment::Counting, Moment::Clearing, Moment::Removing];

impl Moment {
    async fn hold(self, world: &World, slot: &str) -> Transaction<'static, Postgres> {
        match self {
            Self::Counting => world.hide_points(slot).await,
            Self::Clearing => world.hold_points(slot).await,
            Self::Removing => {
                let mut transaction = world.database.pool().begin().await.expect("a transaction begins");
                sqlx::query("SELECT id FROM public.sync_connection WHERE id = $1::uuid FOR KEY SHARE")
                    .bind(slot)
                    .execute(&mut *transaction)
                    .await
                    .expect("the row can be held");
                transaction
            }
        }
    }

    /// Waits until a worker stands at the lock.
    async fn reached(self, world: &World, slot: &str, handle: &AnyWorkflow) {
        until(&format!("{self:?}"), PATIENCE, async || match self {
            Self::Counting | Self::Clearing => world.waiting_for_points(slot).await > 0,
            Self::Removing => scheduled(handle, "remove_slot").await > 0 && waiting_for_rows(world).await,
        })
        .await;
    }
}

async fn waiting_for_rows(world: &World) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
                        AND query LIKE 'DELETE FROM public.sync_connection%')",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("the sessions are readable")
}

/// Ends what a killed worker left waiting in the database, as the server does once it notices.
async fn end_sessions_that_wait(world: &World) {
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .execute(world.database.pool())
    .await
    .expect("sessions can be ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retire_whose_workers_are_killed_ends_like_any_other() {
    let mut chance = Moments::new("a_retire_whose_workers_are_killed_ends_like_any_other");
    let world = World::new().await;
    let mut worker = world.worker();
    let neighbour = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("the fork completes").slot_id;
    world.switch(&world.switch_request(&neighbour)).await.expect("a ready slot can be promoted");
    let before = world.fingerprint(&neighbour).await;

    // Every moment once, in an order of chance, and now and then with a second kill at the same place.
    let mut moments = MOMENTS;
    moments.rotate_left(usize::try_from(chance.pick(0..3)).expect("small"));
    for moment in moments {
        let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
        let points = world.fingerprint(&slot).await.0.len() as u64;
        let held = moment.hold(&world, &slot).await;
        let retire = world.start_retire(&world.retire_request(&slot)).await.expect("a retire starts");
        let handle = world.any_workflow(&retire_workflow_id(&slot));
        for kill in 0..=chance.pick(0..2) {
            moment.reached(&world, &slot, &handle).await;
            worker.kill9();
            eprintln!("kill {kill} at {moment:?}");
            end_sessions_that_wait(&world).await;
            worker = world.worker();
        }
        held.rollback().await.expect("the lock can be given back");

        let retired = temporal::wait_retire(&retire).await.expect("the retire completes");
        assert_eq!(retired.points_removed, points, "{moment:?}: what was there at first is what went");
        let listed = world.list().slots;
        assert_eq!((listed.len(), &listed[0].slot_id), (1, &neighbour), "{moment:?}");
        let table: Option<String> = sqlx::query_scalar("SELECT to_regclass($1)::text")
            .bind(world.points_table(&slot))
            .fetch_one(world.database.pool())
            .await
            .expect("tables can be looked up");
        assert_eq!(table, None, "{moment:?}: the points are gone");
        assert_eq!(world.fingerprint(&neighbour).await, before, "{moment:?}: the active slot was touched");
    }
    let rows: (i64, i64) = sqlx::query_as("SELECT count(*), count(removed_at) FROM sync_multiplexer.retirement")
        .fetch_one(world.database.pool())
        .await
        .expect("the records are readable");
    assert_eq!(rows, (3, 3), "each retire is on record once, and ended");
    assert_whole(&world, &neighbour).await;
    assert_eq!((world.list().slots[0].role(), world.list().slots[0].state()), (Role::Active, SlotState::Ready));
    assert!(worker.stop(), "the last worker ends well");
    world.done().await;
}
