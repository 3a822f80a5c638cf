-- Events for the receiver of webhooks: written in the transaction that they tell of, delivered at least once, then removed.
-- So there is one here exactly while it is on its way.
--
-- `webhook_wanted` says until when somebody wants them. Workers with a receiver keep moving it; when none has one any more,
-- nothing is written after it ran out, and what was left is removed when it is old. So the table is bounded by time.

CREATE TABLE sync_multiplexer.webhook_event (
    -- The order of the events of an operation, which are sent one after the other; across operations it means nothing.
    sequence bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- What a receiver knows an event by: the same for every attempt.
    event_id uuid NOT NULL UNIQUE,
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    operation_id uuid NOT NULL,
    type text NOT NULL CHECK (type <> ''),
    data jsonb NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- While an attempt is under way, when it is taken for dead.
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Status or kind of failure of the last attempt.
    last_failure text,
    -- Given up then, and kept for a while for people to see.
    dead_at timestamptz
);

CREATE INDEX webhook_event_due ON sync_multiplexer.webhook_event (next_attempt_at) WHERE dead_at IS NULL;
CREATE INDEX webhook_event_by_operation ON sync_multiplexer.webhook_event (operation_id, sequence) WHERE dead_at IS NULL;

CREATE TABLE sync_multiplexer.webhook_wanted (
    -- One row at most.
    is_the_one boolean PRIMARY KEY DEFAULT true CHECK (is_the_one),
    until timestamptz NOT NULL
);
