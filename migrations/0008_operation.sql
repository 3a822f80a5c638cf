-- One row per requested operation. Temporal drives it; this is what remains to be asked about when its history is gone.
--
-- The slot is no foreign key: it is chosen before the slot exists, and named after the slot was removed again.

CREATE TABLE sync_multiplexer.operation (
    operation_id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    sync_id uuid NOT NULL REFERENCES public.sync (id) ON DELETE CASCADE,
    slot_id uuid,
    kind text NOT NULL CHECK (kind IN ('fork', 'switch', 'rollback', 'resync', 'verify', 'retire')),
    workflow_id text NOT NULL CHECK (workflow_id <> ''),
    run_id text NOT NULL,
    requested_by text NOT NULL,
    options jsonb NOT NULL,
    phase text NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed', 'failed', 'cancelled')),
    error_kind text,
    error_message text,
    result jsonb,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT operation_ends_once CHECK ((state = 'running') = (ended_at IS NULL)),
    CONSTRAINT operation_failed_for_a_reason CHECK ((state = 'failed') = (error_kind IS NOT NULL)),
    CONSTRAINT operation_error_is_whole CHECK ((error_kind IS NULL) = (error_message IS NULL)),
    CONSTRAINT operation_result_is_of_success CHECK (result IS NULL OR state = 'completed')
);

CREATE INDEX operation_by_sync ON sync_multiplexer.operation (organization_id, sync_id, started_at DESC);
