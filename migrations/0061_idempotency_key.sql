-- Requests over HTTP that carried an Idempotency-Key, each with the operation that was chosen for it. The first request with
-- a key chooses; a repetition gets its answer, or, when the first never came to one, goes on with the same operation.
--
-- A key belongs to its organisation, and is forgotten when it expires.

CREATE TABLE sync_multiplexer.idempotency_key (
    organization_id uuid NOT NULL REFERENCES public.organization (id) ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL CHECK (key <> '' AND octet_length(key) <= 255),
    -- SHA-256 over method, path, query and body.
    request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32),
    operation_id uuid NOT NULL,
    -- Whoever works on the request; past `claimed_until` nobody does any more.
    claim uuid NOT NULL,
    claimed_until timestamptz NOT NULL,
    -- The answer, once there is one.
    status smallint CHECK (status BETWEEN 100 AND 599),
    content_type text,
    location text,
    body bytea,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, key),
    CONSTRAINT idempotency_key_answer_is_whole CHECK (num_nonnulls(status, content_type, body) IN (0, 3))
);

CREATE INDEX idempotency_key_expiry ON sync_multiplexer.idempotency_key (expires_at);
