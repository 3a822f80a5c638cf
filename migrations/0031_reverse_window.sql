-- The one place that says whether a deprecated slot is still inside its reverse window, by the clock of the database: the
-- clocks of workers differ.
--
-- A slot without a row here is not deprecated, or was demoted without a window.

CREATE VIEW sync_multiplexer.reverse_window AS
SELECT joined.id AS slot_id,
       joined.sync_id,
       sync.organization_id,
       known.kept_until,
       known.kept_until > clock_timestamp() AS is_open
FROM public.sync_connection AS joined
JOIN public.sync ON sync.id = joined.sync_id
LEFT JOIN sync_multiplexer.slot AS built ON built.slot_id = joined.id
LEFT JOIN LATERAL (
    SELECT audit.kept_until
    FROM sync_multiplexer.audit
    WHERE audit.sync_id = joined.sync_id AND audit.previous_active = joined.id
    ORDER BY audit.generation DESC
    LIMIT 1
) AS demotion ON true
CROSS JOIN LATERAL (
    SELECT CASE WHEN built.slot_id IS NULL THEN demotion.kept_until ELSE built.kept_until END AS kept_until
) AS known
WHERE joined.role = 'deprecated' AND known.kept_until IS NOT NULL;
