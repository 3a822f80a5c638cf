-- A frozen part of a plan, and the cursor of record through it: everything before `next_index` was acknowledged by the
-- destination and is in the ledger, or is a dead letter, or had vanished from the raw store when its turn came.
--
-- `entries` is a zstd frame over one JSON array [key, size, token] per line, in byte order of the key.

CREATE TABLE sync_multiplexer.segment (
    plan_id uuid NOT NULL,
    segment_no integer NOT NULL CHECK (segment_no >= 0),
    organization_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done')),
    entries bytea NOT NULL,
    entry_count integer NOT NULL CHECK (entry_count > 0),
    next_index integer NOT NULL DEFAULT 0 CHECK (next_index BETWEEN 0 AND entry_count),
    entities bigint NOT NULL DEFAULT 0 CHECK (entities >= 0),
    points bigint NOT NULL DEFAULT 0 CHECK (points >= 0),
    textless bigint NOT NULL DEFAULT 0 CHECK (textless BETWEEN 0 AND entities),
    dead_letters bigint NOT NULL DEFAULT 0 CHECK (dead_letters >= 0),
    vanished bigint NOT NULL DEFAULT 0 CHECK (vanished >= 0),
    gaps jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(gaps) = 'object'),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (plan_id, segment_no),
    CONSTRAINT segment_state_follows_cursor CHECK (
        state = CASE WHEN next_index = entry_count THEN 'done' WHEN next_index = 0 THEN 'pending' ELSE 'running' END
    ),
    -- Never a lost entity: what the cursor passed is accounted for, one by one.
    CONSTRAINT segment_accounts_for_every_entry CHECK (entities + dead_letters + vanished = next_index),
    FOREIGN KEY (plan_id, organization_id)
        REFERENCES sync_multiplexer.plan (plan_id, organization_id) ON DELETE CASCADE
);

-- Compressed already: Postgres need not try again.
ALTER TABLE sync_multiplexer.segment ALTER COLUMN entries SET STORAGE EXTERNAL;
