-- What a slot is known to hold, as pages: per range of object keys a block of entries, a few dozen bytes each. Takes the
-- place of the table `ledger`, which had a row of some two hundred bytes per entity and an index beside it.
--
-- A page holds the keys from `first_key` up to the next page's, so ranges cannot overlap. The lowest page begins at the
-- empty key. A key is looked for in the page with the greatest `first_key` that is not above it.
--
-- Written after the destination acknowledged, in the transaction that moves the cursor, by one transaction per slot at a
-- time (an advisory lock on the slot). Keys are ordered by bytes, as listings of object stores are, whatever the collation
-- of the database.

CREATE TABLE sync_multiplexer.ledger_page (
    slot_id uuid NOT NULL,
    sync_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    first_key text COLLATE "C" NOT NULL,
    entry_count integer NOT NULL CHECK (entry_count > 0),
    -- Of the entries, those without text and so without points.
    textless integer NOT NULL CHECK (textless BETWEEN 0 AND entry_count),
    -- Of the entries, those in an object that is not named after its entity id. Only these, and an object that is, can
    -- carry the same entity.
    odd_names integer NOT NULL CHECK (odd_names BETWEEN 0 AND entry_count),
    points bigint NOT NULL CHECK (points >= 0),
    -- The first byte says how the rest is laid out: activities/src/database/ledger/page.rs.
    entries bytea NOT NULL CHECK (octet_length(entries) > 1),
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (slot_id, first_key),
    FOREIGN KEY (slot_id, sync_id, organization_id)
        REFERENCES sync_multiplexer.slot (slot_id, sync_id, organization_id) ON DELETE CASCADE
);

-- Compressed already: Postgres need not try again.
ALTER TABLE sync_multiplexer.ledger_page ALTER COLUMN entries SET STORAGE EXTERNAL;

CREATE INDEX ledger_page_with_odd_names ON sync_multiplexer.ledger_page (slot_id) WHERE odd_names > 0;
