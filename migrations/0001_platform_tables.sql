-- The platform's tables that the worker reads, for a database no platform has prepared: a demo, a test, a laptop.
--
-- On a platform's database this does nothing at all. A database that holds some of these tables and lacks others is
-- neither, so it is refused: completing somebody else's half-made schema would be a guess.
--
-- Shape and conventions are the platform's: ids made by the client, times without zone in UTC, no defaults for either.
-- `sync_connection` has no role here; that column is ours to add, and comes with 0003 in either case.

DO $$
DECLARE
    needed constant text[] := ARRAY['organization', 'integration_credential', 'connection', 'collection', 'sync',
                                    'sync_connection', 'source_connection', 'sync_job', 'entity'];
    absent text[];
BEGIN
    SELECT array_agg(name ORDER BY name) INTO absent
    FROM unnest(needed) AS name
    WHERE to_regclass('public.' || name) IS NULL;

    IF absent IS NULL THEN
        RETURN;
    END IF;

    IF cardinality(absent) < cardinality(needed) THEN
        RAISE EXCEPTION 'the schema public holds some of the platform''s tables, but not: %',
            array_to_string(absent, ', ')
            USING HINT = 'Finish the platform''s own migrations first, or use an empty database.';
    END IF;

    IF to_regtype('public.connectionstatus') IS NULL THEN
        CREATE TYPE public.connectionstatus AS ENUM ('ACTIVE', 'INACTIVE', 'ERROR');
    END IF;
    IF to_regtype('public.entitytype') IS NULL THEN
        CREATE TYPE public.entitytype AS ENUM ('FILE', 'JSON');
    END IF;
    IF to_regtype('public.integrationtype') IS NULL THEN
        CREATE TYPE public.integrationtype AS ENUM ('SOURCE', 'DESTINATION', 'AUTH_PROVIDER');
    END IF;
    IF to_regtype('public.syncstatus') IS NULL THEN
        CREATE TYPE public.syncstatus AS ENUM ('ACTIVE', 'INACTIVE', 'ERROR');
    END IF;

    CREATE TABLE public.organization (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        name varchar NOT NULL,
        description text,
        auth0_org_id varchar,
        org_metadata json
    );

    CREATE TABLE public.integration_credential (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        created_by_email varchar,
        modified_by_email varchar,
        organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
        name varchar NOT NULL,
        integration_short_name varchar NOT NULL,
        description text,
        integration_type varchar NOT NULL,
        authentication_method varchar NOT NULL,
        oauth_type varchar,
        encrypted_credentials text NOT NULL,
        auth_config_class varchar
    );
    CREATE INDEX ix_integration_credential_organization_id ON public.integration_credential (organization_id);

    -- A native connection, one the platform itself brings, has no organisation.
    CREATE TABLE public.connection (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        created_by_email varchar,
        modified_by_email varchar,
        organization_id uuid REFERENCES public.organization (id) ON DELETE CASCADE,
        name varchar NOT NULL,
        readable_id varchar NOT NULL CONSTRAINT uq_connection_readable_id UNIQUE,
        description text,
        integration_type public.integrationtype NOT NULL,
        status public.connectionstatus NOT NULL,
        short_name varchar NOT NULL,
        integration_credential_id uuid REFERENCES public.integration_credential (id)
    );

    CREATE TABLE public.collection (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        created_by_email varchar,
        modified_by_email varchar,
        organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
        name varchar NOT NULL,
        readable_id varchar NOT NULL UNIQUE,
        vector_size integer NOT NULL,
        embedding_model_name varchar NOT NULL
    );
    CREATE INDEX ix_collection_organization_id ON public.collection (organization_id);

    CREATE TABLE public.sync (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        created_by_email varchar,
        modified_by_email varchar,
        organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
        name varchar NOT NULL,
        description varchar,
        status public.syncstatus NOT NULL,
        cron_schedule varchar(100),
        next_scheduled_run timestamp,
        temporal_schedule_id varchar(255),
        sync_type varchar(50) NOT NULL DEFAULT 'full',
        sync_metadata json
    );
    CREATE INDEX ix_sync_organization_id ON public.sync (organization_id);

    -- Source and destinations of a sync together.
    CREATE TABLE public.sync_connection (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        sync_id uuid NOT NULL REFERENCES public.sync (id) ON DELETE CASCADE,
        connection_id uuid NOT NULL REFERENCES public.connection (id) ON DELETE CASCADE
    );

    CREATE TABLE public.source_connection (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        created_by_email varchar,
        modified_by_email varchar,
        organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
        name varchar NOT NULL,
        description text,
        short_name varchar NOT NULL,
        config_fields json,
        is_authenticated boolean NOT NULL DEFAULT false,
        sync_id uuid REFERENCES public.sync (id) ON DELETE CASCADE,
        connection_id uuid REFERENCES public.connection (id) ON DELETE CASCADE,
        readable_collection_id varchar REFERENCES public.collection (readable_id) ON DELETE CASCADE,
        auth_provider_config json,
        readable_auth_provider_id varchar REFERENCES public.connection (readable_id) ON DELETE CASCADE
    );
    CREATE INDEX ix_source_connection_organization_id ON public.source_connection (organization_id);

    CREATE TABLE public.sync_job (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        created_by_email varchar,
        modified_by_email varchar,
        organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
        sync_id uuid NOT NULL REFERENCES public.sync (id) ON DELETE CASCADE,
        status varchar(50) NOT NULL DEFAULT 'pending',
        scheduled boolean NOT NULL DEFAULT false,
        started_at timestamp,
        completed_at timestamp,
        failed_at timestamp,
        entities_inserted integer NOT NULL,
        entities_updated integer NOT NULL DEFAULT 0,
        entities_deleted integer NOT NULL,
        entities_kept integer NOT NULL DEFAULT 0,
        entities_skipped integer NOT NULL,
        entities_encountered json,
        error varchar
    );
    CREATE INDEX ix_sync_job_organization_id ON public.sync_job (organization_id);
    CREATE INDEX idx_sync_job_status ON public.sync_job (status);

    CREATE TABLE public.entity_definition (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        organization_id uuid REFERENCES public.organization (id),
        name varchar NOT NULL,
        description varchar,
        type public.entitytype NOT NULL,
        entity_schema json NOT NULL,
        parent_id uuid REFERENCES public.entity_definition (id),
        module_name varchar NOT NULL,
        class_name varchar NOT NULL,
        CONSTRAINT uq_entity_definition_name_org UNIQUE (name, organization_id)
    );

    -- One row per source entity the platform has synced: what the raw store must hold.
    CREATE TABLE public.entity (
        id uuid PRIMARY KEY,
        created_at timestamp NOT NULL,
        modified_at timestamp NOT NULL,
        organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
        sync_id uuid NOT NULL REFERENCES public.sync (id) ON DELETE CASCADE,
        sync_job_id uuid NOT NULL REFERENCES public.sync_job (id) ON DELETE CASCADE,
        entity_id varchar NOT NULL,
        entity_definition_id uuid REFERENCES public.entity_definition (id) ON DELETE CASCADE,
        hash varchar NOT NULL,
        CONSTRAINT uq_sync_id_entity_id_entity_definition_id UNIQUE (sync_id, entity_id, entity_definition_id)
    );
    CREATE INDEX idx_entity_sync_job_id ON public.entity (sync_job_id);
END
$$;
