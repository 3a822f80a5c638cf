-- What could not be carried over, with the reason. Removed when the same object is accepted later.
-- `token` is the version that failed: the same version failing again is the same fault.

CREATE TABLE sync_multiplexer.dead_letter (
    slot_id uuid NOT NULL,
    sync_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    object_key text COLLATE "C" NOT NULL,
    -- Empty when the object could not be decoded far enough to know.
    entity_id text NOT NULL,
    stage text NOT NULL CHECK (stage IN ('read', 'decode', 'text', 'chunk', 'embed', 'write')),
    kind text NOT NULL CHECK (kind <> ''),
    message text NOT NULL,
    token text NOT NULL,
    attempts integer NOT NULL DEFAULT 1 CHECK (attempts >= 1),
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (slot_id, object_key),
    CONSTRAINT dead_letter_seen_in_order CHECK (first_seen <= last_seen),
    FOREIGN KEY (slot_id, sync_id, organization_id)
        REFERENCES sync_multiplexer.slot (slot_id, sync_id, organization_id) ON DELETE CASCADE
);
