-- The rows of `ledger`, as pages. Nothing is lost and nothing need be replayed again.
--
-- SQL cannot compress as the program does, so these pages begin with a 0: one JSON array per line, in byte order of the
-- key. Of token and content hash they keep what the program keeps: the first 8 bytes of the token's SHA-256, the first 16 of
-- the hash. The program lays a page out anew when it next writes to it. `odd_names` is not known here, so every entry
-- counts: such a page is looked at once more often than it need be.
--
-- `ledger` stays until a later release drops it. This release neither reads nor writes it; what a worker of the release
-- before adds to it from now on is not known to this one, which replays those entities once more.

INSERT INTO sync_multiplexer.ledger_page
    (slot_id, sync_id, organization_id, first_key, entry_count, textless, odd_names, points, entries)
SELECT slot_id, sync_id, organization_id,
       CASE WHEN page = 0 THEN '' ELSE min(object_key) END,
       count(*), count(*) FILTER (WHERE points = 0), count(*), sum(points),
       '\x00'::bytea || convert_to(
           string_agg(
               json_build_array(
                   object_key, entity_id, encode(substring(sha256(convert_to(token, 'UTF8')) FROM 1 FOR 8), 'hex'),
                   encode(substring(content_hash FROM 1 FOR 16), 'hex'), points
               )::text,
               E'\n' ORDER BY object_key
           ),
           'UTF8'
       )
FROM (
    SELECT *, (row_number() OVER (PARTITION BY slot_id ORDER BY object_key) - 1) / 512 AS page
    FROM sync_multiplexer.ledger
) AS numbered
GROUP BY slot_id, sync_id, organization_id, page;

COMMENT ON TABLE sync_multiplexer.ledger IS 'superseded by ledger_page; not read or written any more';
