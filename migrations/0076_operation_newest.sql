-- Operations are listed newest first, page by page, for an organisation as a whole too.

CREATE INDEX operation_newest ON sync_multiplexer.operation (organization_id, started_at DESC, operation_id DESC);
