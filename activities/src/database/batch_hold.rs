//! Batches and plans exclude each other.
//!
//! A slot has one plan, and a new one replaces it. A batch of the old one that landed later could write an older version over
//! a newer one, and nobody would look again. So whoever writes a batch holds a shared advisory lock of the slot from before
//! the destination is touched until the batch is recorded, and looks after it has the lock whether its plan and its claim
//! still stand. Whoever makes or removes a plan holds the lock exclusively. What a plan finds in the ledger is then all that
//! was ever written, but for what was announced and not recorded, which is [in doubt](super::doubts).
//!
//! Attempts at one segment exclude each other in the same way, by a lock of the segment.
//!
//! Locks end with their transaction. A holder that is frozen keeps its for [`FROZEN_AFTER`] at most: then Postgres ends the
//! session. While it is alive it says so, and when it finds its session gone it stops writing.
//!
//! Order: the segment's lock, the slot's, rows of the plan, the ledger's lock. Nobody takes them the other way round.

use std::future::Future;
use std::time::Duration;

use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::classify::During;
use super::segments::{self, BatchRecord};
use super::{Database, SlotScope};
use crate::error::{Error, ErrorKind, Result};

/// After how long without a sign of life Postgres takes the locks from a holder. Long enough for a pause of a virtual
/// machine, short enough that a planner can wait for it; a holder that is alive gives six signs in that time.
pub const FROZEN_AFTER: Duration = Duration::from_secs(30);

/// How often a holder says that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// How long a planner waits for batches, beyond the time after which the last frozen one is gone. Then its attempt fails and
/// is repeated with a fresh listing.
const PLANNER_WAITS: Duration = Duration::from_secs(60);

/// The one attempt that may work on a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The slot.
    pub scope: SlotScope,
    /// Its plan.
    pub plan_id: Uuid,
    /// The segment of the plan.
    pub segment_no: u32,
    /// What the attempt [claimed](segments::claim) the segment with.
    pub claim: Uuid,
}

/// The right to write one batch.
#[derive(Debug)]
pub struct BatchHold {
    transaction: Transaction<'static, Postgres>,
    attempt: Attempt,
}

impl BatchHold {
    /// Waits for the right, while another attempt at the segment writes or a plan is being made.
    ///
    /// # Errors
    /// `Conflict` when the plan is not the slot's any more; `Unavailable` when another attempt claimed the segment since.
    pub async fn take(database: &Database, attempt: Attempt) -> Result<Self> {
        const DOING: &str = "waiting to write a batch";
        let mut transaction = database.pool().begin().await.during(DOING)?;
        lose_when_frozen(&mut transaction).await?;
        sqlx::query(
            "SELECT pg_advisory_xact_lock(hashtextextended('sync_multiplexer.segment ' || $1::uuid || ' ' || $2::bigint, 0))",
        )
        .bind(attempt.plan_id)
        .bind(i64::from(attempt.segment_no))
        .execute(&mut *transaction)
        .await
        .during(DOING)?;
        sqlx::query("SELECT pg_advisory_xact_lock_shared(hashtextextended('sync_multiplexer.plan ' || $1::uuid, 0))")
            .bind(attempt.scope.slot_id)
            .execute(&mut *transaction)
            .await
            .during(DOING)?;
        segments::require_claim(&mut transaction, &attempt).await?;
        Ok(Self { transaction, attempt })
    }

    /// Does what writes to the destination, and stops it when the right is lost.
    ///
    /// # Errors
    /// Those of `work`; `Unavailable` when the session that holds the right is gone.
    pub async fn keep<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(SIGN_OF_LIFE) => self.say_alive().await?,
            }
        }
    }

    async fn say_alive(&mut self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&mut *self.transaction).await.map_err(|error| {
            Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the right to write to slot {} was lost while a batch was being written; the batch is written again",
                    self.attempt.scope.slot_id
                ),
            )
            .with_source(error)
        })?;
        Ok(())
    }

    /// Records the batch and gives the right back, in one.
    ///
    /// # Errors
    /// Those of `segments::checkpoint`; nothing was recorded then.
    pub async fn record(mut self, from_index: u32, batch: &BatchRecord) -> Result<()> {
        let Attempt { scope, plan_id, segment_no, claim } = self.attempt;
        segments::write_down(&mut self.transaction, &scope, plan_id, segment_no, Some(claim), from_index, batch)
            .await?;
        self.transaction.commit().await.during("recording the batch")
    }
}

/// Waits until no batch of the slot is being written, and keeps all others out until the end of the transaction.
///
/// # Errors
/// `Unavailable` when batches did not end in time.
pub(super) async fn keep_batches_out(connection: &mut PgConnection, scope: &SlotScope) -> Result<()> {
    const DOING: &str = "waiting for batches that are being written";
    let wait = format!("{}ms", (FROZEN_AFTER + PLANNER_WAITS).as_millis());
    sqlx::query("SELECT set_config('lock_timeout', $1, true)")
        .bind(wait)
        .execute(&mut *connection)
        .await
        .during(DOING)?;
    lose_when_frozen(&mut *connection).await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('sync_multiplexer.plan ' || $1::uuid, 0))")
        .bind(scope.slot_id)
        .execute(&mut *connection)
        .await
        .during(DOING)?;
    sqlx::query("SET LOCAL lock_timeout TO DEFAULT").execute(connection).await.during(DOING)?;
    Ok(())
}

/// Makes Postgres end the session when its holder gives no sign of life inside the transaction.
async fn lose_when_frozen(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("SELECT set_config('idle_in_transaction_session_timeout', $1, true)")
        .bind(format!("{}ms", FROZEN_AFTER.as_millis()))
        .execute(connection)
        .await
        .during("limiting how long a lock is kept")?;
    Ok(())
}
