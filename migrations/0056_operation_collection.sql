-- An operation is about one sync, or about all syncs of a collection together. The record of a collection's operation names
-- no sync: what it does to each is that sync's own operation.

ALTER TABLE sync_multiplexer.operation
    ADD COLUMN collection_id uuid REFERENCES public.collection (id) ON DELETE CASCADE,
    ALTER COLUMN sync_id DROP NOT NULL,
    ADD CONSTRAINT operation_about_one_thing CHECK (num_nonnulls(sync_id, collection_id) = 1);

COMMENT ON COLUMN sync_multiplexer.operation.collection_id IS 'the collection that it is about; NULL: it is about one sync';
