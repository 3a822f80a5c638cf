-- What holds a workflow back right now, and since when: written by whoever waits, while it waits, and removed when nobody does.
-- A row that nobody has renewed for half a minute means nothing any more: its worker is gone.

CREATE TABLE sync_multiplexer.throttled (
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    workflow_id text NOT NULL,
    throttled_by text NOT NULL CHECK (throttled_by IN ('operation', 'global', 'destination')),
    why text NOT NULL,
    since timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, workflow_id, throttled_by)
);
