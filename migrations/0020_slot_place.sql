-- Where a slot's points are, without secrets, as the destination says it: two slots of a sync in one place would write over
-- each other, and taking one back would empty the other.
--
-- NULL: made before this column, or by a worker that does not know it yet. In pgvector, which was all there was, each slot
-- has a table of its own, so what those rows say is known.

ALTER TABLE sync_multiplexer.slot ADD COLUMN place text CONSTRAINT slot_place_is_somewhere CHECK (place <> '');

COMMENT ON COLUMN sync_multiplexer.slot.place IS 'where the points are; of the slots of a sync no two are in one place';

UPDATE sync_multiplexer.slot SET place = 'pgvector ' || slot_id WHERE profile ? 'pgvector';
