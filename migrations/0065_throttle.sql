-- How fast work may go: one row for all operations together ('all'), and one for each workflow that has limits of its own.
-- Every worker asks here before each batch, so a limit holds over all of them, at once, and outlives them.
--
-- `…_next_at` is when the next batch may begin: what was taken lately, as time (the generic cell rate algorithm). A rate of
-- zero stops; no rate is no limit. `lanes` bounds the batches at work at a time, over all operations.

CREATE TABLE sync_multiplexer.throttle (
    subject text PRIMARY KEY CHECK (subject <> ''),
    organization_id uuid REFERENCES public.organization (id) ON DELETE CASCADE,
    -- The operation of the workflow that the limits were set for.
    operation_id uuid REFERENCES sync_multiplexer.operation (operation_id) ON DELETE CASCADE,
    entities_per_second double precision CHECK (entities_per_second >= 0 AND entities_per_second < 'Infinity'),
    embeds_per_second double precision CHECK (embeds_per_second >= 0 AND embeds_per_second < 'Infinity'),
    lanes integer CHECK (lanes >= 0),
    entities_next_at timestamptz NOT NULL DEFAULT now(),
    embeds_next_at timestamptz NOT NULL DEFAULT now(),
    requested_by text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT throttle_of_all_is_no_tenants CHECK (
        (subject = 'all') = (organization_id IS NULL) AND (subject = 'all') = (operation_id IS NULL)
    ),
    -- An operation's own lanes are its workflow's.
    CONSTRAINT throttle_lanes_are_of_all CHECK (lanes IS NULL OR subject = 'all')
);
