-- Entities of which it is not known what the slot holds: an attempt announced them (segment.in_hand) and its plan was replaced
-- before it recorded them, or a verification found that they differ. The next plan settles each of them: written again, or
-- removed when its object is gone. They are handed on from plan to plan through this column, so that no replaced or
-- removed plan takes the knowledge with it. Bytes, because an entity id may hold any character.

ALTER TABLE sync_multiplexer.slot ADD COLUMN in_doubt bytea[] NOT NULL DEFAULT '{}';
