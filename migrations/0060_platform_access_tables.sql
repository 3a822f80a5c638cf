-- The platform's tables that say who may use the HTTP API, for a database no platform has prepared (see 0001).
--
-- On a platform's database this does nothing: both have been there in every known generation of it.

CREATE TABLE IF NOT EXISTS public.api_key (
    id uuid PRIMARY KEY,
    created_at timestamp NOT NULL,
    modified_at timestamp NOT NULL,
    created_by_email varchar,
    modified_by_email varchar,
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    encrypted_key varchar NOT NULL UNIQUE,
    expiration_date timestamp NOT NULL
);

CREATE TABLE IF NOT EXISTS public.feature_flag (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    flag varchar(100) NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    modified_at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    CONSTRAINT uq_org_flag UNIQUE (organization_id, flag)
);
