-- A forced switch, and what was left out of it: the last catch-up, the verification, each with the reason.

ALTER TABLE sync_multiplexer.audit
    ADD COLUMN forced boolean NOT NULL DEFAULT false,
    ADD COLUMN skipped text[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT audit_forced_for_a_reason CHECK (NOT forced OR btrim(reason) <> ''),
    ADD CONSTRAINT audit_skips_by_force CHECK (forced OR skipped = '{}');
