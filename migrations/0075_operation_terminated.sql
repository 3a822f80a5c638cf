-- A workflow that is terminated records no end. Whoever notices records the operation as failed and notes that nobody but
-- Temporal said so: when the workflow is heard of again, because somebody reset it, the operation goes on.

ALTER TABLE sync_multiplexer.operation
    ADD COLUMN terminated boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT operation_terminated_is_failed CHECK (NOT terminated OR state = 'failed');

COMMENT ON COLUMN sync_multiplexer.operation.terminated IS 'the end was recorded by an onlooker, not by the workflow';
