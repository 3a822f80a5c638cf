-- The operation that made the plan. A switch accepts a slot only by a plan of its own: whatever anybody did to the slot
-- before has then been compared with the raw store once more.
--
-- NULL: made by an earlier release.

ALTER TABLE sync_multiplexer.plan ADD COLUMN operation_id uuid;
