//! Jobs as the platform starts them: it looks for an active one, and inserts its own a moment later, without a lock.

use uuid::Uuid;

use crate::World;

impl World {
    /// Starts a job of this world's sync, unless one is active. Answers its id.
    ///
    /// # Panics
    ///
    /// When the platform's table cannot be used.
    pub async fn start_job(&self) -> Option<Uuid> {
        let active: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM public.sync_job
                            WHERE sync_id = $1 AND status IN ('pending', 'running', 'cancelling'))",
        )
        .bind(self.ids.sync_id)
        .fetch_one(self.database.pool())
        .await
        .expect("jobs can be looked for");
        if active {
            return None;
        }
        // The platform's moment between looking and inserting.
        tokio::task::yield_now().await;
        Some(self.insert_job("pending").await)
    }

    /// Adds a job, whatever else there is.
    ///
    /// # Panics
    ///
    /// When the platform's table cannot be written.
    pub async fn insert_job(&self, status: &str) -> Uuid {
        sqlx::query_scalar(
            "INSERT INTO public.sync_job (id, created_at, modified_at, created_by_email, organization_id, sync_id, status,
                 scheduled, entities_inserted, entities_updated, entities_deleted, entities_kept, entities_skipped)
             VALUES (gen_random_uuid(), clock_timestamp() AT TIME ZONE 'UTC', clock_timestamp() AT TIME ZONE 'UTC',
                 'the platform', $1, $2, $3, false, 0, 0, 0, 0, 0)
             RETURNING id",
        )
        .bind(self.ids.organization_id)
        .bind(self.ids.sync_id)
        .bind(status)
        .fetch_one(self.database.pool())
        .await
        .expect("a job can be added")
    }

    /// Ends a job.
    ///
    /// # Panics
    ///
    /// When the platform's table cannot be written.
    pub async fn end_job(&self, job: Uuid) {
        sqlx::query(
            "UPDATE public.sync_job SET status = 'completed', completed_at = clock_timestamp() AT TIME ZONE 'UTC'
             WHERE id = $1",
        )
        .bind(job)
        .execute(self.database.pool())
        .await
        .expect("a job can be ended");
    }

    /// Fences that stand, and active jobs: nothing of the kind may be left when nobody switches and no job runs.
    ///
    /// # Panics
    ///
    /// When the tables cannot be read.
    pub async fn fences(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM sync_multiplexer.sync_state WHERE fence_owner IS NOT NULL)
                  + (SELECT count(*) FROM public.sync_job WHERE status IN ('pending', 'running', 'cancelling'))",
        )
        .fetch_one(self.database.pool())
        .await
        .expect("the fences can be counted")
    }

    /// Switches that happened while a job of the platform was active.
    ///
    /// # Panics
    ///
    /// When the tables cannot be read.
    pub async fn switches_during_jobs(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM sync_multiplexer.audit
             JOIN public.sync_job ON sync_job.sync_id = audit.sync_id AND sync_job.created_by_email = 'the platform'
             WHERE audit.at > sync_job.created_at AT TIME ZONE 'UTC'
               AND audit.at < coalesce(sync_job.completed_at AT TIME ZONE 'UTC', 'infinity')",
        )
        .fetch_one(self.database.pool())
        .await
        .expect("the audit trail can be read")
    }

    /// Keeps every verification from being recorded, and so every switch from its flip, until it is rolled back.
    ///
    /// # Panics
    ///
    /// When the table cannot be locked.
    pub async fn hold_verifications(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut transaction = self.database.pool().begin().await.expect("a transaction begins");
        sqlx::query("LOCK TABLE sync_multiplexer.verification IN SHARE MODE")
            .execute(&mut *transaction)
            .await
            .expect("the verifications can be locked");
        transaction
    }

    /// How many sessions wait for [`Self::hold_verifications`].
    ///
    /// # Panics
    ///
    /// When the locks cannot be read.
    pub async fn waiting_for_verifications(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks
             WHERE relation = 'sync_multiplexer.verification'::regclass AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(self.database.pool())
        .await
        .expect("the locks are readable")
    }
}
