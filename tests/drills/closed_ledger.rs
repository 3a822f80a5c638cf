//! A ledger that nobody can write to for a while: batches get into the slot, and then cannot be recorded.

use harness::{World, until};
use sqlx::{Postgres, Transaction};

use crate::write_log::PATIENCE;

/// The lock on the ledger. It ends with [`ClosedLedger::open`].
pub(crate) struct ClosedLedger<'w> {
    world: &'w World,
    lock: Transaction<'static, Postgres>,
}

impl<'w> ClosedLedger<'w> {
    /// Closes the ledger; it can still be read.
    pub(crate) async fn of(world: &'w World) -> Self {
        let mut lock = world.database.pool().begin().await.expect("a transaction begins");
        sqlx::query("LOCK TABLE sync_multiplexer.ledger_page IN SHARE MODE")
            .execute(&mut *lock)
            .await
            .expect("a free lock");
        Self { world, lock }
    }

    /// Waits until `lanes` batches are written and wait to be recorded: one for the table, the others for that one.
    pub(crate) async fn waited_for_by(&self, lanes: u32) {
        until(&format!("{lanes} lanes want to record a batch"), PATIENCE, async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_locks
                 WHERE (relation = 'sync_multiplexer.ledger_page'::regclass OR locktype = 'advisory') AND NOT granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            .fetch_one(self.world.database.pool())
            .await
            .expect("the locks are readable");
            waiting == i64::from(lanes)
        })
        .await;
    }

    /// Opens the ledger again.
    pub(crate) async fn open(self) {
        self.lock.rollback().await.expect("the lock is given back");
    }
}
