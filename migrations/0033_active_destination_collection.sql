-- Readers search a collection, so the contract for readers names it: the one that the sync's source connection feeds. Both
-- columns are NULL where no source connection says so.

CREATE OR REPLACE VIEW sync_multiplexer.active_destination AS
SELECT slot.sync_id,
       sync.organization_id,
       slot.connection_id,
       slot.id AS slot_id,
       connection.short_name,
       built.profile,
       coalesce(state.generation, 0) AS generation,
       collection.id AS collection_id,
       collection.readable_id AS collection_readable_id
FROM public.sync_connection AS slot
JOIN public.sync ON sync.id = slot.sync_id
JOIN public.connection ON connection.id = slot.connection_id
LEFT JOIN sync_multiplexer.slot AS built ON built.slot_id = slot.id
LEFT JOIN sync_multiplexer.sync_state AS state ON state.sync_id = slot.sync_id
-- As the worker chooses it: the oldest source connection decides.
LEFT JOIN LATERAL (
    SELECT source_connection.readable_collection_id
    FROM public.source_connection
    WHERE source_connection.sync_id = sync.id AND source_connection.organization_id = sync.organization_id
    ORDER BY source_connection.created_at, source_connection.id
    LIMIT 1
) AS source ON true
LEFT JOIN public.collection ON collection.readable_id = source.readable_collection_id
                           AND collection.organization_id = sync.organization_id
WHERE slot.role = 'active';
