-- From here on the roles hold: every destination has one, nothing else does, and a sync has at most one active.
--
-- Filling in the roles and the three things that keep them (check, unique index, trigger) are one step under one lock:
-- a row the platform adds between them would be wrong for ever. The table has a handful of rows per sync.
--
-- What a row says already is kept where it is possible to keep it:
--   * exactly one active destination: it stays, and so do the valid roles beside it
--   * several: the oldest of them stays active, the others become shadows
--   * none, and rows without a role: the oldest of those becomes active, the others become shadows
--   * none, and every row says shadow or deprecated: somebody decided that; nothing is promoted
--   * sources and auth providers: NULL, whatever they said
--   * anything else that a destination says: refused

SET LOCAL lock_timeout = '10s';

LOCK TABLE public.sync_connection IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    unknown text;
BEGIN
    SELECT string_agg(format('%s has %L', id, role), '; ') INTO unknown
    FROM (
        SELECT slot.id, slot.role
        FROM public.sync_connection AS slot
        JOIN public.connection ON connection.id = slot.connection_id
        WHERE connection.integration_type::text = 'DESTINATION'
          AND slot.role NOT IN ('active', 'shadow', 'deprecated')
        ORDER BY slot.id
        LIMIT 10
    ) AS found;

    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'public.sync_connection holds destinations with an unknown role: %', unknown
            USING HINT = 'Set each to active, shadow or deprecated, then migrate again. The first ten rows are named.';
    END IF;
END
$$;

UPDATE public.sync_connection AS slot
SET role = NULL
FROM public.connection
WHERE connection.id = slot.connection_id
  AND connection.integration_type::text <> 'DESTINATION'
  AND slot.role IS NOT NULL;

UPDATE public.sync_connection AS slot
SET role = 'shadow'
FROM (
    SELECT id, row_number() OVER (PARTITION BY sync_id ORDER BY created_at, id) AS age
    FROM public.sync_connection
    WHERE role = 'active'
) AS ranked
WHERE ranked.id = slot.id AND ranked.age > 1;

UPDATE public.sync_connection AS slot
SET role = CASE WHEN ranked.age = 1 AND NOT ranked.has_active THEN 'active' ELSE 'shadow' END
FROM (
    SELECT joined.id,
           row_number() OVER (PARTITION BY joined.sync_id ORDER BY joined.created_at, joined.id) AS age,
           EXISTS (
               SELECT FROM public.sync_connection AS other
               WHERE other.sync_id = joined.sync_id AND other.role = 'active'
           ) AS has_active
    FROM public.sync_connection AS joined
    JOIN public.connection ON connection.id = joined.connection_id
    WHERE connection.integration_type::text = 'DESTINATION' AND joined.role IS NULL
) AS ranked
WHERE ranked.id = slot.id;

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = 'public.sync_connection'::regclass AND conname = 'sync_multiplexer_known_role'
    ) THEN
        ALTER TABLE public.sync_connection
            ADD CONSTRAINT sync_multiplexer_known_role CHECK (role IN ('active', 'shadow', 'deprecated'));
    END IF;
END
$$;

CREATE UNIQUE INDEX IF NOT EXISTS ix_sync_connection_single_active
    ON public.sync_connection (sync_id) WHERE role = 'active';

CREATE OR REPLACE TRIGGER sync_multiplexer_guard_role
    BEFORE INSERT OR UPDATE OF role, connection_id ON public.sync_connection
    FOR EACH ROW EXECUTE FUNCTION sync_multiplexer.guard_role();
