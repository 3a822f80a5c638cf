-- Of the deletions of a plan, those of entities that were in doubt when it was made. Each of them is looked for and written
-- again where its object is there; so they are no drop, and the listing need not lack them.

ALTER TABLE sync_multiplexer.plan
    ADD COLUMN in_doubt bigint NOT NULL DEFAULT 0 CHECK (in_doubt BETWEEN 0 AND deletes);

ALTER TABLE sync_multiplexer.plan
    DROP CONSTRAINT plan_accounts_for_what_vanished,
    ADD CONSTRAINT plan_accounts_for_what_vanished CHECK (deletes + held_back <= vanished + in_doubt);
