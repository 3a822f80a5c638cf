-- Which slots the platform made and a fork took over. The first migration leaves such a slot; once a fork has given it every
-- entity anew it is followed like any other, and there is a way back to it.
--
-- What such a slot held before is known by entity and number of points only, so it gives no vectors to others. Undoing the
-- adoption removes this row and nothing else: the platform's row in sync_connection and its points are not ours.

ALTER TABLE sync_multiplexer.slot ADD COLUMN adopted boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN sync_multiplexer.slot.adopted IS 'the platform made the slot, and a fork took it over';
