-- What makes the fence of a sync hold: a row of our own in the platform's `sync_job`, because the platform starts no job
-- while one is active. The platform looks first and inserts later, without a lock, so a job may still come in between:
-- `fence_other_jobs` says how many other rows there were when the fence was raised, and the flip counts again.
--
-- `fence_job_id` has no foreign key: the row is the platform's to remove as well, and then the fence is known to be broken.

ALTER TABLE sync_multiplexer.sync_state
    ADD COLUMN fence_job_id uuid,
    ADD COLUMN fence_other_jobs bigint CHECK (fence_other_jobs >= 0),
    ADD COLUMN fence_raised_at timestamptz,
    ADD CONSTRAINT sync_state_fence_is_whole CHECK (
        num_nulls(fence_owner, fence_job_id, fence_other_jobs, fence_raised_at) IN (0, 4)
    );

-- Fences that expired are looked for again and again.
CREATE INDEX sync_state_fence ON sync_multiplexer.sync_state (fence_expires_at) WHERE fence_owner IS NOT NULL;
