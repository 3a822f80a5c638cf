-- Of two forks that look for the same free place at once, one gets it.

CREATE UNIQUE INDEX slot_place_taken_once ON sync_multiplexer.slot (sync_id, place);
