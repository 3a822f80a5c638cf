-- An entry of a segment is a write, [key, size, token, modified in ms], or a deletion, [key, entity id]. `deleted` counts
-- deletions that were carried out: the object was looked for once more, was not there, and went from slot and ledger.

ALTER TABLE sync_multiplexer.segment
    ADD COLUMN deleted bigint NOT NULL DEFAULT 0 CHECK (deleted >= 0);

ALTER TABLE sync_multiplexer.segment
    DROP CONSTRAINT segment_accounts_for_every_entry,
    ADD CONSTRAINT segment_accounts_for_every_entry CHECK (entities + dead_letters + vanished + deleted = next_index);
