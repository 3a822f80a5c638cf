//! Going back and removing: requests of this world, and how its clock is moved.

use proto::v1::{RetireRequest, RetireResult, RollbackRequest, SwitchResult};
use sqlx::{AssertSqlSafe, Postgres, Transaction};
use sync_multiplexer::output::Failure;
use sync_multiplexer::temporal;
use temporalio_client::{Client, WorkflowHandle};
use workflows::retire::RetireWorkflow;

use crate::World;

impl World {
    /// A request to go back to the slot that was active before.
    #[must_use]
    pub fn rollback_request(&self) -> RollbackRequest {
        RollbackRequest {
            organization_id: self.ids.organization_id.to_string(),
            sync_id: self.ids.sync_id.to_string(),
            requested_by: "a test".to_owned(),
            reason: "a test wants back".to_owned(),
            ..RollbackRequest::default()
        }
    }

    /// Rolls back and waits for the end.
    ///
    /// # Errors
    ///
    /// What the rollback failed with.
    pub async fn rollback(&self, request: &RollbackRequest) -> Result<SwitchResult, Failure> {
        let handle = temporal::start_rollback(&self.client, &self.task_queue, request.clone()).await?;
        temporal::wait_switch(&handle).await
    }

    /// A request to retire a slot.
    #[must_use]
    pub fn retire_request(&self, slot: &str) -> RetireRequest {
        RetireRequest {
            organization_id: self.ids.organization_id.to_string(),
            sync_id: self.ids.sync_id.to_string(),
            slot_id: slot.to_owned(),
            requested_by: "a test".to_owned(),
            ..RetireRequest::default()
        }
    }

    /// Starts a retire.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_retire(
        &self,
        request: &RetireRequest,
    ) -> Result<WorkflowHandle<Client, RetireWorkflow>, Failure> {
        temporal::start_retire(&self.client, &self.task_queue, request).await
    }

    /// Retires a slot and waits for the end.
    ///
    /// # Errors
    ///
    /// What the retire failed with.
    pub async fn retire(&self, request: &RetireRequest) -> Result<RetireResult, Failure> {
        temporal::wait_retire(&self.start_retire(request).await?).await
    }

    /// Lets the reverse window of a slot end a second ago.
    ///
    /// # Panics
    ///
    /// When the slot has no window.
    pub async fn end_window(&self, slot: &str) {
        let ended = sqlx::query(
            "UPDATE sync_multiplexer.slot SET kept_until = now() - interval '1 second'
             WHERE slot_id = $1::uuid AND kept_until IS NOT NULL",
        )
        .bind(slot)
        .execute(self.database.pool())
        .await
        .expect("a window can be moved");
        assert_eq!(ended.rows_affected(), 1, "slot {slot} has a window");
    }

    /// Keeps the points of a slot from being removed: they can still be read and counted.
    ///
    /// # Panics
    ///
    /// When the points cannot be locked.
    pub async fn hold_points(&self, slot: &str) -> Transaction<'static, Postgres> {
        self.lock_points(slot, "ACCESS SHARE").await
    }

    /// Keeps the points of a slot even from being counted.
    ///
    /// # Panics
    ///
    /// When the points cannot be locked.
    pub async fn hide_points(&self, slot: &str) -> Transaction<'static, Postgres> {
        self.lock_points(slot, "ACCESS EXCLUSIVE").await
    }

    async fn lock_points(&self, slot: &str, mode: &str) -> Transaction<'static, Postgres> {
        let mut transaction = self.database.pool().begin().await.expect("a transaction begins");
        let lock = format!("LOCK TABLE {} IN {mode} MODE", self.points_table(slot));
        sqlx::query(AssertSqlSafe(lock)).execute(&mut *transaction).await.expect("the points can be locked");
        transaction
    }

    /// How many sessions wait for the points of a slot.
    ///
    /// # Panics
    ///
    /// When the locks cannot be read.
    pub async fn waiting_for_points(&self, slot: &str) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks
             WHERE relation = to_regclass($1) AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .bind(self.points_table(slot))
        .fetch_one(self.database.pool())
        .await
        .expect("the locks are readable")
    }

    /// Everything a slot holds, to compare before and after: each point with its text, each page of the ledger.
    ///
    /// # Panics
    ///
    /// When the slot cannot be read.
    pub async fn fingerprint(&self, slot: &str) -> (Vec<String>, Vec<String>) {
        let points = format!("SELECT md5(point::text) FROM {} AS point ORDER BY point_id", self.points_table(slot));
        let points = sqlx::query_scalar(AssertSqlSafe(points)).fetch_all(self.database.pool()).await;
        let ledger = sqlx::query_scalar(
            "SELECT md5(page::text) FROM sync_multiplexer.ledger_page AS page WHERE slot_id::text = $1 ORDER BY first_key",
        )
        .bind(slot)
        .fetch_all(self.database.pool())
        .await;
        (points.expect("the points are readable"), ledger.expect("the ledger is readable"))
    }
}
