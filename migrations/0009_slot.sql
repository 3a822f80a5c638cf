-- How a slot was built, beside the platform's row that says it exists. A slot without a row here was made by the
-- platform: nothing is known of its content, so it can neither be filled nor promoted.
--
-- State: empty (created), building (a replay writes to it), ready (complete and verified; the only one that can be promoted).

CREATE TABLE sync_multiplexer.slot (
    slot_id uuid PRIMARY KEY REFERENCES public.sync_connection (id) ON DELETE CASCADE,
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    sync_id uuid NOT NULL REFERENCES public.sync (id) ON DELETE CASCADE,
    profile jsonb NOT NULL CHECK (jsonb_typeof(profile) = 'object'),
    profile_name text NOT NULL,
    fingerprint text NOT NULL CHECK (fingerprint <> ''),
    state text NOT NULL DEFAULT 'empty' CHECK (state IN ('empty', 'building', 'ready')),
    created_by_operation uuid NOT NULL,
    ready_plan_id uuid,
    ready_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT slot_ready_by_a_plan CHECK (
        (state = 'ready') = (ready_at IS NOT NULL) AND (ready_at IS NULL) = (ready_plan_id IS NULL)
    ),
    -- What the tables below refer to, so that a row can never belong to one tenant and its slot to another.
    CONSTRAINT slot_scope UNIQUE (slot_id, sync_id, organization_id)
);

CREATE INDEX slot_by_sync ON sync_multiplexer.slot (sync_id);
