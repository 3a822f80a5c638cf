-- Until when a slot that was demoted is kept for a rollback: its reverse window. The flip that demotes it says so, in its
-- own transaction; the flip that promotes it again takes it back.
--
-- `slot` holds how things are now. `audit` holds what each flip decided, and is all there is for a slot that the platform
-- made, because that has no row in `slot`. Demotions before this column were made without a window.

ALTER TABLE sync_multiplexer.slot ADD COLUMN kept_until timestamptz;

COMMENT ON COLUMN sync_multiplexer.slot.kept_until IS
    'end of the reverse window of a deprecated slot; NULL: not deprecated, or deprecated without a window';

ALTER TABLE sync_multiplexer.audit ADD COLUMN kept_until timestamptz;

COMMENT ON COLUMN sync_multiplexer.audit.kept_until IS
    'until when the flip wanted previous_active kept for a rollback; NULL: no window';
