-- The role of a destination in its sync: active, shadow or deprecated. NULL for sources and auth providers.
--
-- Where a platform brought the column already, it was NOT NULL and held `active` for the source as well. A default would
-- give a role to rows that must not have one, so there is none. Values are put right in 0005.

SET LOCAL lock_timeout = '10s';

ALTER TABLE public.sync_connection ADD COLUMN IF NOT EXISTS role varchar(20);
ALTER TABLE public.sync_connection ALTER COLUMN role DROP DEFAULT;
ALTER TABLE public.sync_connection ALTER COLUMN role DROP NOT NULL;

COMMENT ON COLUMN public.sync_connection.role IS
    'active: serves reads, receives writes; shadow: receives writes only; deprecated: kept for rollback; NULL: not a destination';
