-- What was compared between raw store, ledger and destination, and what differed. One row per verification.

CREATE TABLE sync_multiplexer.verification (
    verification_id uuid PRIMARY KEY,
    slot_id uuid NOT NULL,
    sync_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    operation_id uuid NOT NULL,
    passed boolean NOT NULL,
    -- The whole result, as it was answered.
    result jsonb NOT NULL CHECK (jsonb_typeof(result) = 'object'),
    verified_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (slot_id, sync_id, organization_id)
        REFERENCES sync_multiplexer.slot (slot_id, sync_id, organization_id) ON DELETE CASCADE
);

CREATE INDEX verification_by_slot ON sync_multiplexer.verification (slot_id, verified_at DESC);
