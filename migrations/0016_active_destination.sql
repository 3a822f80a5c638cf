-- Where a reader of a sync must look, and the generation that says when that changed. This is the contract for readers:
-- columns are added here, never renamed or removed.
--
-- `profile` is NULL where the platform built the slot. A sync without a row here has no active destination.

CREATE VIEW sync_multiplexer.active_destination AS
SELECT slot.sync_id,
       sync.organization_id,
       slot.connection_id,
       slot.id AS slot_id,
       connection.short_name,
       built.profile,
       coalesce(state.generation, 0) AS generation
FROM public.sync_connection AS slot
JOIN public.sync ON sync.id = slot.sync_id
JOIN public.connection ON connection.id = slot.connection_id
LEFT JOIN sync_multiplexer.slot AS built ON built.slot_id = slot.id
LEFT JOIN sync_multiplexer.sync_state AS state ON state.sync_id = slot.sync_id
WHERE slot.role = 'active';
