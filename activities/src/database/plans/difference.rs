//! The difference between the staged listing and the ledger: both are read in key order, side by side, one line of each at a
//! time. What differs is staged again, so that memory grows with neither.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

use sqlx::PgConnection;

use crate::database::SlotScope;
use crate::database::classify::During;
use crate::database::ledger::{LedgerCursor, LedgerEntry, TokenDigest};
use crate::database::staged_listing;
use crate::error::Result;
use crate::raw_store::{ListedObject, entity_file_name};

const DOING: &str = "comparing the listing with the ledger";

/// Rows gathered before they are sent.
const FLUSH_ROWS: usize = 2000;

/// Object keys that are named; all are counted.
const SAMPLE: usize = 20;

/// How the slot differs from the listing. What is to be written is in `pg_temp.pending (object_key, size, token,
/// modified_ms)`, what vanished in `pg_temp.vanished (object_key, entity_id, in_doubt)`, for the rest of
/// the transaction.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) listed: u64,
    pub(super) unchanged: u64,
    pub(super) left_out: u64,
    /// New, or of another version.
    pub(super) pending: u64,
    pub(super) oldest_change_ms: Option<i64>,
    /// Entries of the ledger.
    pub(super) held: u64,
    /// Of those, not listed.
    pub(super) vanished: u64,
    pub(super) vanished_sample: Vec<String>,
    /// Of those, known to the platform all the same, and no longer in `pg_temp.vanished`.
    pub(super) held_back: u64,
    pub(super) held_back_sample: Vec<String>,
    /// Entities in doubt, in `pg_temp.vanished` whether they are listed or not.
    pub(super) in_doubt: u64,
    /// Of what vanished, what is not in that table for itself but because its entity is in doubt.
    pub(super) vanished_in_doubt: u64,
}

/// Compares. An object whose version is a dead letter is left out unless it is to be tried again.
pub(super) async fn find(
    connection: &mut PgConnection,
    scope: &SlotScope,
    retry_dead_letters: bool,
) -> Result<Difference> {
    for table in [
        "CREATE TEMPORARY TABLE pending (
             object_key text COLLATE \"C\" NOT NULL, size bigint NOT NULL, token text NOT NULL, modified_ms bigint NOT NULL
         ) ON COMMIT DROP",
        "CREATE TEMPORARY TABLE vanished (
             object_key text COLLATE \"C\" NOT NULL, entity_id text NOT NULL, in_doubt boolean NOT NULL DEFAULT false
         ) ON COMMIT DROP",
    ] {
        staged_listing::execute(connection, table).await?;
    }
    let mut listing = ListingCursor::open(connection, scope).await?;
    let mut ledger = LedgerCursor::open(connection, scope).await?;
    let (mut pending, mut vanished) = (Vec::new(), Vec::new());

    let mut found = Difference::default();
    let mut listed = listing.next(connection).await?;
    let mut held = ledger.next(connection).await?;
    loop {
        let order = match (&listed, &held) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(line), Some(entry)) => line.object.key.as_bytes().cmp(entry.object_key.as_bytes()),
        };
        let line = if order.is_le() { std::mem::replace(&mut listed, listing.next(connection).await?) } else { None };
        let entry = if order.is_ge() { std::mem::replace(&mut held, ledger.next(connection).await?) } else { None };
        found.held += u64::from(entry.is_some());
        match (line, entry) {
            (Some(line), entry) => pending.extend(found.list(line, entry.as_ref(), retry_dead_letters)),
            (None, Some(entry)) => vanished.push(found.vanish(entry)),
            (None, None) => {}
        }
        if pending.len() >= FLUSH_ROWS {
            stage_pending(connection, &mut pending).await?;
        }
        if vanished.len() >= FLUSH_ROWS {
            stage_vanished(connection, &mut vanished).await?;
        }
    }
    stage_pending(connection, &mut pending).await?;
    stage_vanished(connection, &mut vanished).await?;
    for statement in ["CLOSE listing_in_order", "CLOSE ledger_in_order"] {
        staged_listing::execute(connection, statement).await?;
    }
    Ok(found)
}

impl Difference {
    /// Rows of `pg_temp.vanished`.
    pub(super) fn deletes(&self) -> u64 {
        self.vanished - self.vanished_in_doubt - self.held_back + self.in_doubt
    }

    /// Puts entities in doubt among what is to be deleted, each once. Whoever comes to one looks for its object, and writes it
    /// again when it is there; otherwise everything that the slot may hold of it goes. That is done when all writes are, so
    /// that nothing which was just written goes with it.
    pub(super) async fn settle(&mut self, connection: &mut PgConnection, in_doubt: BTreeSet<String>) -> Result<()> {
        if in_doubt.is_empty() {
            return Ok(());
        }
        // As in `vanish`.
        let ids: BTreeSet<String> = in_doubt.into_iter().map(|id| id.replace('\0', "\u{FFFD}")).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        self.vanished_in_doubt = sqlx::query("DELETE FROM pg_temp.vanished WHERE entity_id = ANY ($1::text[])")
            .bind(&ids)
            .persistent(false)
            .execute(&mut *connection)
            .await
            .during(DOING)?
            .rows_affected();
        self.in_doubt = ids.len() as u64;
        sqlx::query(
            "INSERT INTO pg_temp.vanished (object_key, entity_id, in_doubt)
             SELECT object_key, entity_id, true FROM unnest($1::text[], $2::text[]) AS row (object_key, entity_id)",
        )
        .bind(ids.iter().map(|id| entity_file_name(id)).collect::<Vec<_>>())
        .bind(&ids)
        .persistent(false)
        .execute(connection)
        .await
        .during(DOING)?;
        Ok(())
    }

    /// Counts a line; answers the object if it is to be written.
    fn list(&mut self, line: ListedLine, held: Option<&LedgerEntry>, retry_dead_letters: bool) -> Option<ListedObject> {
        let object = line.object;
        self.listed += 1;
        if held.is_some_and(|entry| entry.token == TokenDigest::of(&object.token)) {
            self.unchanged += 1;
            return None;
        }
        if line.is_dead_letter && !retry_dead_letters {
            self.left_out += 1;
            return None;
        }
        self.pending += 1;
        self.oldest_change_ms =
            Some(self.oldest_change_ms.map_or(object.modified_ms, |oldest| oldest.min(object.modified_ms)));
        Some(object)
    }

    /// Counts an entry that was not listed; answers its key and entity.
    fn vanish(&mut self, entry: LedgerEntry) -> (String, String) {
        self.vanished += 1;
        if self.vanished_sample.len() < SAMPLE {
            self.vanished_sample.push(entry.object_key.clone());
        }
        // No destination takes an id with U+0000, so such an entity has no points to find.
        (entry.object_key, entry.entity_id.replace('\0', "\u{FFFD}"))
    }
}

/// Stages what was gathered. `INSERT`, not `COPY`: the cursors are read in between, and a `COPY` that is closed at once waits
/// for the network each time.
async fn stage_pending(connection: &mut PgConnection, objects: &mut Vec<ListedObject>) -> Result<()> {
    sqlx::query(
        "INSERT INTO pg_temp.pending (object_key, size, token, modified_ms)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])",
    )
    .bind(objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>())
    .bind(objects.iter().map(|object| object.size.cast_signed()).collect::<Vec<_>>())
    .bind(objects.iter().map(|object| object.token.as_str()).collect::<Vec<_>>())
    .bind(objects.iter().map(|object| object.modified_ms).collect::<Vec<_>>())
    .persistent(false)
    .execute(connection)
    .await
    .during(DOING)?;
    objects.clear();
    Ok(())
}

async fn stage_vanished(connection: &mut PgConnection, vanished: &mut Vec<(String, String)>) -> Result<()> {
    let (keys, ids): (Vec<&str>, Vec<&str>) = vanished.iter().map(|(key, id)| (key.as_str(), id.as_str())).unzip();
    sqlx::query("INSERT INTO pg_temp.vanished (object_key, entity_id) SELECT * FROM unnest($1::text[], $2::text[])")
        .bind(keys)
        .bind(ids)
        .persistent(false)
        .execute(connection)
        .await
        .during(DOING)?;
    vanished.clear();
    Ok(())
}

/// A staged line, and whether its version is a dead letter because of what is in it.
struct ListedLine {
    object: ListedObject,
    is_dead_letter: bool,
}

/// The staged listing in byte order of the keys.
struct ListingCursor {
    lines: VecDeque<ListedLine>,
}

impl ListingCursor {
    async fn open(connection: &mut PgConnection, scope: &SlotScope) -> Result<Self> {
        sqlx::query(
            "DECLARE listing_in_order NO SCROLL CURSOR FOR
             SELECT listing.object_key, listing.size, listing.token, listing.modified_ms, letter.entity_id
             FROM pg_temp.listing
             LEFT JOIN sync_multiplexer.dead_letter AS letter
                    ON letter.slot_id = $1 AND letter.organization_id = $2
                   AND letter.object_key = listing.object_key AND letter.token = listing.token
             ORDER BY listing.object_key",
        )
        .bind(scope.slot_id)
        .bind(scope.organization_id)
        .persistent(false)
        .execute(connection)
        .await
        .during(DOING)?;
        Ok(Self { lines: VecDeque::new() })
    }

    async fn next(&mut self, connection: &mut PgConnection) -> Result<Option<ListedLine>> {
        if self.lines.is_empty() {
            let rows: Vec<(String, i64, String, i64, Option<String>)> =
                sqlx::query_as("FETCH FORWARD 2000 FROM listing_in_order")
                    .persistent(false)
                    .fetch_all(connection)
                    .await
                    .during(DOING)?;
            self.lines.extend(rows.into_iter().map(|(key, size, token, modified_ms, letter)| ListedLine {
                // An object of another name than its entity's may be one because of the object that has the name, which
                // may be gone by now.
                is_dead_letter: letter.is_some_and(|id| id.is_empty() || entity_file_name(&id) == key),
                object: ListedObject { key, size: size.cast_unsigned(), token, modified_ms },
            }));
        }
        Ok(self.lines.pop_front())
    }
}
