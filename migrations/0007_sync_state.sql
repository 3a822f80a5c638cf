-- One row per sync that was ever touched here. Locking it serialises everything that changes roles or slots of a sync.
--
-- `generation` counts the role changes; readers and writers notice a flip by it. The fence is a hold that expires by
-- itself: while it stands, no platform job of the sync may run.

CREATE TABLE sync_multiplexer.sync_state (
    sync_id uuid PRIMARY KEY REFERENCES public.sync (id) ON DELETE CASCADE,
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    generation bigint NOT NULL DEFAULT 0 CHECK (generation >= 0),
    fence_owner uuid,
    fence_expires_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sync_state_fence_is_owned_and_expires CHECK ((fence_owner IS NULL) = (fence_expires_at IS NULL))
);
