-- The rule behind the role column, as a trigger function. It does nothing until 0005 attaches it.
--
-- * A row that does not join a destination carries no role.
-- * A destination that joins without a role (the platform knows nothing of roles) becomes active when the sync has no
--   active one, and a shadow otherwise.
-- * A destination does not lose its role.
--
-- It lives in our schema and names every table with its schema, so it runs the same for every role and search path.

CREATE SCHEMA IF NOT EXISTS sync_multiplexer;
COMMENT ON SCHEMA sync_multiplexer IS 'Owned by sync-multiplexer. Its contract for readers is the view active_destination.';

CREATE OR REPLACE FUNCTION sync_multiplexer.guard_role() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    joins_destination boolean;
BEGIN
    SELECT integration_type::text = 'DESTINATION' INTO joins_destination
    FROM public.connection
    WHERE id = NEW.connection_id;

    IF joins_destination IS NOT TRUE THEN
        IF NEW.role IS NOT NULL THEN
            RAISE EXCEPTION 'sync_connection % does not join a destination and cannot carry the role %', NEW.id, NEW.role
                USING ERRCODE = 'check_violation', CONSTRAINT = 'sync_multiplexer_guard_role',
                      SCHEMA = 'public', TABLE = 'sync_connection', COLUMN = 'role';
        END IF;
        RETURN NEW;
    END IF;

    IF NEW.role IS NULL AND TG_OP = 'INSERT' THEN
        -- Two destinations joining at once would both find no active one. The second waits here until the first is
        -- committed, and then sees it.
        PERFORM pg_advisory_xact_lock(hashtextextended('sync_multiplexer.guard_role ' || NEW.sync_id, 0));
        NEW.role := CASE
            WHEN EXISTS (SELECT FROM public.sync_connection WHERE sync_id = NEW.sync_id AND role = 'active')
            THEN 'shadow' ELSE 'active' END;
    ELSIF NEW.role IS NULL AND OLD.role IS NOT NULL THEN
        RAISE EXCEPTION 'sync_connection % joins a destination and keeps a role', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'sync_multiplexer_guard_role',
                  SCHEMA = 'public', TABLE = 'sync_connection', COLUMN = 'role';
    END IF;
    RETURN NEW;
END
$$;
