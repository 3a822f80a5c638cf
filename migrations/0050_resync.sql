-- What a resync has to know of itself, so that the platform is asked for one job and not for two: the platform starts a
-- job for every request that it accepts, and its answer may be lost.
--
-- `posted_at` is set before the platform is asked, and taken back when it is certain that no job came of it. While it
-- is set and no job is on record, a job that was not there before (`jobs_before`) is the one that was asked for.

CREATE TABLE sync_multiplexer.resync (
    operation_id uuid PRIMARY KEY REFERENCES sync_multiplexer.operation (operation_id) ON DELETE CASCADE,
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    sync_id uuid NOT NULL REFERENCES public.sync (id) ON DELETE CASCADE,
    rebuild boolean NOT NULL,
    -- Objects in the raw store and entities of the platform, counted before anything was asked for.
    objects_before bigint NOT NULL CHECK (objects_before >= 0),
    known_before bigint NOT NULL CHECK (known_before >= 0),
    begun_at timestamptz NOT NULL DEFAULT now(),
    posted_at timestamptz,
    -- The newest jobs of the sync when the platform was asked.
    jobs_before uuid[],
    -- The platform's job. No foreign key: the row is the platform's to remove.
    sync_job_id uuid,
    CONSTRAINT resync_remembers_what_was_there CHECK ((posted_at IS NULL) = (jobs_before IS NULL)),
    CONSTRAINT resync_asked_for_its_job CHECK (sync_job_id IS NULL OR posted_at IS NOT NULL)
);

-- A job belongs to one resync.
CREATE UNIQUE INDEX resync_job ON sync_multiplexer.resync (sync_job_id) WHERE sync_job_id IS NOT NULL;
