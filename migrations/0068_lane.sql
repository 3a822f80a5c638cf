-- Batches at work, while a limit of all operations bounds how many there may be. Whoever works renews its row; one that was
-- not renewed in time is of a worker that is gone, and counts no more.

CREATE TABLE sync_multiplexer.lane (
    holder uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    workflow_id text NOT NULL,
    expires_at timestamptz NOT NULL
);
