-- Following a sync is an operation too: it has a requester, a phase and an end.

ALTER TABLE sync_multiplexer.operation
    DROP CONSTRAINT operation_kind_check,
    ADD CONSTRAINT operation_kind_check
        CHECK (kind IN ('fork', 'switch', 'rollback', 'resync', 'verify', 'retire', 'follow'));
