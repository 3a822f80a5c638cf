-- The current plan of a slot: what the raw store listed, compared with what the slot holds. A new one replaces it.
--
-- Every listed object is either unchanged or to be replayed; nothing falls between.

CREATE TABLE sync_multiplexer.plan (
    plan_id uuid PRIMARY KEY,
    slot_id uuid NOT NULL UNIQUE,
    sync_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    listed bigint NOT NULL CHECK (listed > 0),
    unchanged bigint NOT NULL CHECK (unchanged >= 0),
    entities bigint NOT NULL CHECK (entities >= 0),
    segments integer NOT NULL CHECK (segments >= 0),
    segment_entities integer NOT NULL CHECK (segment_entities > 0),
    -- Recorded in the ledger, no longer listed. Only counted here; a plan deletes nothing.
    vanished bigint NOT NULL CHECK (vanished >= 0),
    vanished_sample text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plan_accounts_for_every_object CHECK (listed = unchanged + entities),
    CONSTRAINT plan_segments_hold_all CHECK (
        segments::bigint = (entities + segment_entities - 1) / segment_entities
    ),
    FOREIGN KEY (slot_id, sync_id, organization_id)
        REFERENCES sync_multiplexer.slot (slot_id, sync_id, organization_id) ON DELETE CASCADE,
    CONSTRAINT plan_scope UNIQUE (plan_id, organization_id)
);
