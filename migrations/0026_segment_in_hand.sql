-- Entities whose points an attempt is about to write, or has written and not yet recorded. Noted before the write and cleared
-- with the batch's record. An attempt that dies in between leaves them here: should their objects be gone when the next
-- attempt comes to them, it still knows what was written. Bytes, because an entity id may hold any character.

ALTER TABLE sync_multiplexer.segment ADD COLUMN in_hand bytea[] NOT NULL DEFAULT '{}';
