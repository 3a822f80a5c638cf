-- Every question about roles starts from a sync. The platform's early schema had no index to answer it with.

SET LOCAL lock_timeout = '10s';

CREATE INDEX IF NOT EXISTS ix_sync_connection_sync_id ON public.sync_connection (sync_id);
