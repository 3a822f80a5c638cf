-- Which slots were removed, by whom and why; and, while `removed_at` is NULL, which slot is being removed now. Such a slot
-- can be neither promoted nor continued. No foreign keys on purpose: this outlives the slots, syncs and organisations it
-- names.
--
-- `clearing_at` is the point of no return. Before it the mark can be taken back and the slot is as it was; after it points
-- may be gone.

CREATE TABLE sync_multiplexer.retirement (
    operation_id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    sync_id uuid NOT NULL,
    slot_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    role text NOT NULL CHECK (role IN ('shadow', 'deprecated')),
    profile_name text NOT NULL,
    fingerprint text NOT NULL,
    requested_by text NOT NULL,
    reason text NOT NULL,
    -- The end of the reverse window that was cut short.
    forced_before timestamptz,
    -- Points that were there when clearing began, or that were removed, whichever is more.
    points bigint NOT NULL DEFAULT 0 CHECK (points >= 0),
    marked_at timestamptz NOT NULL DEFAULT now(),
    clearing_at timestamptz,
    removed_at timestamptz,
    CONSTRAINT retirement_forced_for_a_reason CHECK (forced_before IS NULL OR reason <> ''),
    CONSTRAINT retirement_clears_before_it_removes CHECK (removed_at IS NULL OR clearing_at IS NOT NULL)
);

-- A slot is being removed by one operation at a time.
CREATE UNIQUE INDEX retirement_one_at_a_time ON sync_multiplexer.retirement (slot_id) WHERE removed_at IS NULL;

CREATE INDEX retirement_by_sync ON sync_multiplexer.retirement (organization_id, sync_id, marked_at DESC);
