-- Which attempt works on a segment. An attempt that was taken for dead may still be at work when the next one begins, for
-- instance after an outage of Temporal. The next one claims the segment, and from then on the earlier one records nothing.

ALTER TABLE sync_multiplexer.segment ADD COLUMN claim uuid;

COMMENT ON COLUMN sync_multiplexer.segment.claim IS
    'the attempt that may move the cursor: the one that claimed the segment last; NULL: none yet';
