-- Where the dense vectors of a segment came from: made by the embedder, or copied from another slot of the sync that held
-- the same text embedded by the same model. Counted by chunk, when the batch that needed them is recorded.

ALTER TABLE sync_multiplexer.segment
    ADD COLUMN chunks_embedded bigint NOT NULL DEFAULT 0 CHECK (chunks_embedded >= 0),
    ADD COLUMN chunks_reused bigint NOT NULL DEFAULT 0 CHECK (chunks_reused >= 0);
