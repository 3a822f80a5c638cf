-- Which model made the vectors of a slot. The profile names a model, but what is behind the name can change: the files of
-- a local table are replaced, say. Vectors may stand for each other exactly when this is equal.

ALTER TABLE sync_multiplexer.slot ADD COLUMN embedder_model text CHECK (embedder_model <> '');

COMMENT ON COLUMN sync_multiplexer.slot.embedder_model IS
    'identity of the model, recorded when the slot was made; NULL: made by a release that did not record it, or the
     destination embeds texts itself';
