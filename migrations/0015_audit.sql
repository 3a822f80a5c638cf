-- Who changed which role, when and why. No foreign keys on purpose: this outlives the slots, syncs and organisations it names.
--
-- One row per operation makes a switch that is asked for twice one switch. One row per generation says the same of the
-- sync: each generation was made once, by one operation.

CREATE TABLE sync_multiplexer.audit (
    operation_id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    sync_id uuid NOT NULL,
    previous_active uuid,
    new_active uuid NOT NULL,
    generation bigint NOT NULL CHECK (generation > 0),
    requested_by text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_generation_made_once UNIQUE (sync_id, generation),
    CONSTRAINT audit_is_of_a_change CHECK (previous_active IS DISTINCT FROM new_active)
);
