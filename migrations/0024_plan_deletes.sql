-- A plan is the difference between the raw store and the slot, in both directions: what is to be written, and what is to be
-- deleted because a complete listing no longer has it. Segments that delete come after those that write.
--
-- `vanished` goes on counting what the ledger holds and the listing lacks. Of that, `deletes` are planned and `held_back`
-- are not, because the platform still knows them: either the platform is just deleting them, or the listing is short.

ALTER TABLE sync_multiplexer.plan
    ADD COLUMN deletes bigint NOT NULL DEFAULT 0 CHECK (deletes >= 0),
    ADD COLUMN held_back bigint NOT NULL DEFAULT 0 CHECK (held_back >= 0),
    ADD COLUMN delete_segments integer NOT NULL DEFAULT 0 CHECK (delete_segments BETWEEN 0 AND segments),
    -- Listed in a version that is a dead letter already, and not tried again by this plan.
    ADD COLUMN left_out bigint NOT NULL DEFAULT 0 CHECK (left_out >= 0),
    -- When the oldest of the objects to write was modified; NULL when there is none.
    ADD COLUMN oldest_change timestamptz;

ALTER TABLE sync_multiplexer.plan
    DROP CONSTRAINT plan_accounts_for_every_object,
    DROP CONSTRAINT plan_segments_hold_all,
    ADD CONSTRAINT plan_accounts_for_every_object CHECK (listed = unchanged + entities + left_out),
    ADD CONSTRAINT plan_accounts_for_what_vanished CHECK (deletes + held_back <= vanished),
    ADD CONSTRAINT plan_segments_hold_all CHECK (
        delete_segments::bigint = (deletes + segment_entities - 1) / segment_entities
        AND (segments - delete_segments)::bigint = (entities + segment_entities - 1) / segment_entities
    );
