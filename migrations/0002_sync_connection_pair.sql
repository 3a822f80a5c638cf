-- A connection takes part in a sync once. Otherwise "the slot of this connection" has no answer.
--
-- The platform's early schema did not say so. Later ones do, under a name of their own; then nothing is added here.
-- Existing duplicates are not ours to choose between, so they stop the migration.

SET LOCAL lock_timeout = '10s';

DO $$
DECLARE
    doubled text;
BEGIN
    IF EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = 'public.sync_connection'::regclass AND indisunique AND indisvalid
          AND indpred IS NULL AND indexprs IS NULL AND indnkeyatts = 2
          AND ARRAY(
                  SELECT attname::text FROM pg_attribute
                  WHERE attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:1])
                  ORDER BY attname::text
              ) = ARRAY['connection_id', 'sync_id']
    ) THEN
        RETURN;
    END IF;

    LOCK TABLE public.sync_connection IN SHARE ROW EXCLUSIVE MODE;

    SELECT string_agg(format('sync %s with connection %s (%s rows)', sync_id, connection_id, times), '; ') INTO doubled
    FROM (
        SELECT sync_id, connection_id, count(*) AS times
        FROM public.sync_connection
        GROUP BY sync_id, connection_id
        HAVING count(*) > 1
        ORDER BY sync_id, connection_id
        LIMIT 10
    ) AS pair;

    IF doubled IS NOT NULL THEN
        RAISE EXCEPTION 'public.sync_connection joins the same connection to a sync more than once: %', doubled
            USING HINT = 'Delete the surplus rows, then migrate again. The first ten pairs are named.';
    END IF;

    ALTER TABLE public.sync_connection
        ADD CONSTRAINT uq_sync_connection_sync_id_connection_id UNIQUE (sync_id, connection_id);
END
$$;
