-- What a slot is known to hold: per object of the raw store the version that was replayed and the points it became.
-- Written after the destination acknowledged, in the transaction that moves the cursor.
--
-- Keys and ids are ordered by bytes, as listings of object stores are, whatever the collation of the database.

CREATE TABLE sync_multiplexer.ledger (
    slot_id uuid NOT NULL,
    sync_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    object_key text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    token text NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    -- 0: the entity carries no text, so there was nothing to write.
    points integer NOT NULL CHECK (points >= 0),
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (slot_id, object_key),
    FOREIGN KEY (slot_id, sync_id, organization_id)
        REFERENCES sync_multiplexer.slot (slot_id, sync_id, organization_id) ON DELETE CASCADE
);

CREATE INDEX ledger_by_entity ON sync_multiplexer.ledger (slot_id, entity_id);
