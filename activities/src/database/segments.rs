//! Working through a plan: reading a segment, and moving its cursor.
//!
//! The cursor here is the one of record. It moves in the same transaction that writes the ledger, after the destination
//! acknowledged, only from where the caller believes it to be, and only for the attempt that claimed the segment last: of
//! two attempts at a segment one goes on, the other is told. What the cursor passes is accounted for entry by entry.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::batch_hold::Attempt;
use super::classify::During;
use super::dead_letters::{self, NewDeadLetter};
use super::ledger::{self, LedgerChanges, LedgerEntry};
use super::segment_entries::{self, PlannedChange};
use super::{Database, SlotScope, doubts, plans};
use crate::error::{Error, ErrorKind, Result};

/// A segment and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Every entry, in byte order of the keys within writes and within deletions.
    pub entries: Vec<PlannedChange>,
    /// The entry to go on with; `entries.len()` when done.
    pub next_index: u32,
    /// What the entries before came to.
    pub counters: Counters,
    /// Ids of entities that were [announced](announce) for the entries that follow, and not recorded.
    pub in_hand: Vec<String>,
}

impl Segment {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next_index as usize == self.entries.len()
    }
}

/// What became of entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Counters {
    /// Accepted by the destination, or without text and so nothing to write.
    #[sqlx(try_from = "i64")]
    pub entities: u64,
    /// Points written for them.
    #[sqlx(try_from = "i64")]
    pub points: u64,
    /// Of the entities, those without text.
    #[sqlx(try_from = "i64")]
    pub textless: u64,
    /// Not carried over, each with a reason in the table `dead_letter`.
    #[sqlx(try_from = "i64")]
    pub dead_letters: u64,
    /// To be written when the plan was made, and gone when their turn came.
    #[sqlx(try_from = "i64")]
    pub vanished: u64,
    /// Deleted, because the raw store no longer has them.
    #[sqlx(try_from = "i64")]
    pub deleted: u64,
    /// Chunks whose dense vector was made by the embedder.
    #[sqlx(try_from = "i64")]
    pub chunks_embedded: u64,
    /// Chunks whose dense vector was copied from another slot of the sync.
    #[sqlx(try_from = "i64")]
    pub chunks_reused: u64,
}

/// What became of the entries from one cursor to the next. Each of them is in exactly one of the first four.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchRecord {
    /// Where the cursor goes.
    pub next_index: u32,
    /// Acknowledged by the destination; zero points for an entity without text.
    pub accepted: Vec<LedgerEntry>,
    /// Not carried over, with the reason.
    pub dead_letters: Vec<NewDeadLetter>,
    /// Number of objects to write that are no longer in the raw store. Their ledger entries stay, for the next plan to judge.
    pub vanished: u32,
    /// Keys of objects to delete that are gone from the raw store and, by now, from the destination.
    pub deleted: Vec<String>,
    /// Keys of objects that have to be written again, whatever the ledger says: what they became went with something else.
    pub forgotten: Vec<String>,
    /// Ids of entities that are not in the slot any more although one of the forgotten objects carries them.
    pub in_doubt: Vec<String>,
    /// Chunks whose dense vector was made by the embedder.
    pub chunks_embedded: u64,
    /// Chunks whose dense vector was copied from another slot of the sync.
    pub chunks_reused: u64,
    /// Things noticed that stop nothing, with how often: no converter for a file type, an unknown class.
    pub gaps: BTreeMap<String, u64>,
}

/// How far a plan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Segments of the plan.
    pub segments: u32,
    /// Of those, done.
    pub segments_done: u32,
    /// Objects the raw store listed.
    pub listed: u64,
    /// Entities to write or delete.
    pub entities_total: u64,
    /// Entities the cursors have passed, whatever became of them.
    pub entities_done: u64,
    /// What became of those.
    pub counters: Counters,
    /// Everything noticed, with how often.
    pub gaps: BTreeMap<String, u64>,
}

#[derive(sqlx::FromRow)]
struct Cursor {
    #[sqlx(try_from = "i32")]
    entry_count: u32,
    #[sqlx(try_from = "i32")]
    next_index: u32,
    claim: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct SegmentRow {
    entries: Vec<u8>,
    #[sqlx(flatten)]
    cursor: Cursor,
    #[sqlx(flatten)]
    counters: Counters,
    in_hand: Vec<Vec<u8>>,
}

impl SegmentRow {
    fn decode(self) -> Result<Segment> {
        Ok(Segment {
            entries: segment_entries::decode(&self.entries, self.cursor.entry_count as usize)?,
            next_index: self.cursor.next_index,
            counters: self.counters,
            in_hand: self.in_hand.iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect(),
        })
    }
}

/// Claims a segment for one attempt and reads it. From then on nobody else moves its cursor, until somebody claims it again;
/// what another attempt is recording right now is waited for.
///
/// `claim` is an id that no other attempt has.
///
/// # Errors
/// `NotFound` when the plan has no such segment; `Conflict` when the plan is not the slot's any more.
pub async fn claim(
    database: &Database,
    scope: &SlotScope,
    plan_id: Uuid,
    segment_no: u32,
    claim: Uuid,
) -> Result<Segment> {
    let row: Option<SegmentRow> = sqlx::query_as(
        "UPDATE sync_multiplexer.segment
         SET claim = $6
         FROM sync_multiplexer.plan
         WHERE segment.plan_id = $1 AND segment.segment_no = $2
           AND plan.plan_id = segment.plan_id AND plan.organization_id = segment.organization_id
           AND plan.slot_id = $3 AND plan.sync_id = $4 AND plan.organization_id = $5
         RETURNING segment.entries, segment.entry_count, segment.next_index, segment.claim, segment.entities,
                   segment.points, segment.textless, segment.dead_letters, segment.vanished, segment.deleted,
                   segment.chunks_embedded, segment.chunks_reused, segment.in_hand",
    )
    .bind(plan_id)
    .bind(i64::from(segment_no))
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(claim)
    .fetch_optional(database.pool())
    .await
    .during("claiming the segment")?;
    match row {
        Some(row) => row.decode(),
        None => Err(missing(database, scope, plan_id, Some(segment_no)).await),
    }
}

/// Reads a segment with its cursor.
///
/// # Errors
/// `NotFound` when the plan has no such segment; `Conflict` when the plan is not the slot's any more.
pub async fn read(database: &Database, scope: &SlotScope, plan_id: Uuid, segment_no: u32) -> Result<Segment> {
    let row: Option<SegmentRow> = sqlx::query_as(
        "SELECT segment.entries, segment.entry_count, segment.next_index, segment.claim, segment.entities,
                segment.points, segment.textless, segment.dead_letters, segment.vanished, segment.deleted,
                segment.chunks_embedded, segment.in_hand,
                segment.chunks_reused
         FROM sync_multiplexer.segment
         JOIN sync_multiplexer.plan USING (plan_id, organization_id)
         WHERE plan_id = $1 AND segment.segment_no = $2
           AND plan.slot_id = $3 AND plan.sync_id = $4 AND organization_id = $5",
    )
    .bind(plan_id)
    .bind(i64::from(segment_no))
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(database.pool())
    .await
    .during("reading the segment")?;
    match row {
        Some(row) => row.decode(),
        None => Err(missing(database, scope, plan_id, Some(segment_no)).await),
    }
}

/// Notes the entities whose points are about to be written or removed, until the batch is recorded: an attempt that dies in
/// between leaves their ids to the next one.
///
/// # Errors
/// `Conflict` when the plan is not the slot's any more; `Unavailable` when another attempt has claimed the segment since.
pub async fn announce(database: &Database, attempt: &Attempt, entity_ids: &[&str]) -> Result<()> {
    let Attempt { scope, plan_id, segment_no, claim } = *attempt;
    let noted = sqlx::query(
        "UPDATE sync_multiplexer.segment
         SET in_hand = ARRAY(SELECT DISTINCT unnest(segment.in_hand || $7::bytea[]))
         FROM sync_multiplexer.plan
         WHERE segment.plan_id = $1 AND segment.segment_no = $2 AND segment.claim = $6
           AND plan.plan_id = segment.plan_id AND plan.organization_id = segment.organization_id
           AND plan.slot_id = $3 AND plan.sync_id = $4 AND plan.organization_id = $5",
    )
    .bind(plan_id)
    .bind(i64::from(segment_no))
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(claim)
    .bind(entity_ids.iter().map(|id| id.as_bytes()).collect::<Vec<_>>())
    .execute(database.pool())
    .await
    .during("announcing a batch")?
    .rows_affected();
    if noted > 0 {
        return Ok(());
    }
    let mut connection = database.pool().acquire().await.during("announcing a batch")?;
    require_claim(&mut connection, attempt).await?;
    // Nobody gives a claim back.
    Err(taken_over(plan_id, segment_no))
}

/// Makes sure that the attempt may still write: its plan is the slot's, and nobody claimed the segment since.
pub(super) async fn require_claim(connection: &mut PgConnection, attempt: &Attempt) -> Result<()> {
    let Attempt { scope, plan_id, segment_no, claim } = *attempt;
    let held: Option<Option<Uuid>> = sqlx::query_scalar(
        "SELECT segment.claim
         FROM sync_multiplexer.segment
         JOIN sync_multiplexer.plan USING (plan_id, organization_id)
         WHERE plan_id = $1 AND segment.segment_no = $2
           AND plan.slot_id = $3 AND plan.sync_id = $4 AND organization_id = $5",
    )
    .bind(plan_id)
    .bind(i64::from(segment_no))
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during("looking at the segment")?;
    match held {
        None => Err(explain_missing(connection, &scope, plan_id, Some(segment_no)).await),
        Some(held) if held == Some(claim) => Ok(()),
        Some(_) => Err(taken_over(plan_id, segment_no)),
    }
}

fn taken_over(plan_id: Uuid, segment_no: u32) -> Error {
    Error::new(ErrorKind::Unavailable, format!("another attempt took over segment {segment_no} of plan {plan_id}"))
}

/// Records a batch that the destination acknowledged and moves the cursor over it, for the rest of the transaction.
///
/// `claim` is what the caller [claimed](claim) the segment with; `None` for a segment that nobody claimed.
///
/// # Errors
/// `Conflict` when the plan is not the slot's any more; `Unavailable` when another attempt has claimed the segment since: this
/// one ends, and should it be the one that counts, its retry claims the segment again; `Conflict` when the cursor is not at
/// `from_index`; `Internal` when the record does not account for every entry. After any of them nothing was recorded.
pub(super) async fn write_down(
    transaction: &mut PgConnection,
    scope: &SlotScope,
    plan_id: Uuid,
    segment_no: u32,
    claim: Option<Uuid>,
    from_index: u32,
    batch: &BatchRecord,
) -> Result<()> {
    let cursor = lock(transaction, scope, plan_id, segment_no).await?;
    if cursor.claim != claim {
        return Err(taken_over(plan_id, segment_no));
    }
    if cursor.next_index != from_index {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "another attempt moved segment {segment_no} of plan {plan_id}: its cursor is at {}, not {from_index}",
                cursor.next_index
            ),
        ));
    }
    account(&cursor, batch)?;
    ledger::apply(transaction, scope, changes(batch)).await?;
    dead_letters::forget(transaction, scope, batch).await?;
    dead_letters::upsert(transaction, scope, &batch.dead_letters).await?;
    if !batch.in_doubt.is_empty() {
        let ids: Vec<_> = batch.in_doubt.iter().map(String::as_str).collect();
        doubts::note(transaction, scope, &ids).await?;
    }
    advance(transaction, plan_id, segment_no, batch).await
}

/// Records a batch that was never written anywhere.
///
/// # Errors
/// Those of [`write_down`].
#[cfg(test)]
pub(crate) async fn checkpoint(
    database: &Database,
    scope: &SlotScope,
    plan_id: Uuid,
    segment_no: u32,
    claim: Option<Uuid>,
    from_index: u32,
    batch: &BatchRecord,
) -> Result<()> {
    let mut transaction = database.pool().begin().await.during("recording the batch")?;
    write_down(&mut transaction, scope, plan_id, segment_no, claim, from_index, batch).await?;
    transaction.commit().await.during("recording the batch")
}

/// How far the plan is. Cheap: reads the plan's segments, some hundreds of small rows.
///
/// # Errors
/// `Conflict` when it is not the slot's current plan.
pub async fn totals(database: &Database, scope: &SlotScope, plan_id: Uuid) -> Result<Totals> {
    #[derive(sqlx::FromRow)]
    struct Row {
        #[sqlx(try_from = "i32")]
        segments: u32,
        #[sqlx(try_from = "i32")]
        segments_done: u32,
        #[sqlx(try_from = "i64")]
        listed: u64,
        #[sqlx(try_from = "i64")]
        entities_total: u64,
        #[sqlx(try_from = "i64")]
        entities_done: u64,
        #[sqlx(flatten)]
        counters: Counters,
        gaps: Json<BTreeMap<String, u64>>,
    }
    let row: Option<Row> = sqlx::query_as(
        "SELECT plan.segments, plan.listed, plan.entities + plan.deletes AS entities_total, done.*,
                (SELECT coalesce(jsonb_object_agg(what, times), '{}')
                 FROM (SELECT gap.key AS what, sum(gap.value::bigint) AS times
                       FROM sync_multiplexer.segment, jsonb_each_text(segment.gaps) AS gap
                       WHERE segment.plan_id = plan.plan_id
                       GROUP BY gap.key) AS merged) AS gaps
         FROM sync_multiplexer.plan
         CROSS JOIN LATERAL (
             SELECT (count(*) FILTER (WHERE state = 'done'))::integer AS segments_done,
                    coalesce(sum(next_index), 0)::bigint AS entities_done,
                    coalesce(sum(segment.entities), 0)::bigint AS entities,
                    coalesce(sum(points), 0)::bigint AS points,
                    coalesce(sum(textless), 0)::bigint AS textless,
                    coalesce(sum(dead_letters), 0)::bigint AS dead_letters,
                    coalesce(sum(segment.vanished), 0)::bigint AS vanished,
                    coalesce(sum(deleted), 0)::bigint AS deleted,
                    coalesce(sum(chunks_embedded), 0)::bigint AS chunks_embedded,
                    coalesce(sum(chunks_reused), 0)::bigint AS chunks_reused
             FROM sync_multiplexer.segment
             WHERE segment.plan_id = plan.plan_id
         ) AS done
         WHERE plan.plan_id = $1 AND plan.slot_id = $2 AND plan.sync_id = $3 AND plan.organization_id = $4",
    )
    .bind(plan_id)
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(database.pool())
    .await
    .during("adding up the segments")?;
    let Some(row) = row else { return Err(missing(database, scope, plan_id, None).await) };
    Ok(Totals {
        segments: row.segments,
        segments_done: row.segments_done,
        listed: row.listed,
        entities_total: row.entities_total,
        entities_done: row.entities_done,
        counters: row.counters,
        gaps: row.gaps.0,
    })
}

/// Locks the segment against other attempts, until the end of the transaction.
async fn lock(connection: &mut PgConnection, scope: &SlotScope, plan_id: Uuid, segment_no: u32) -> Result<Cursor> {
    let cursor: Option<Cursor> = sqlx::query_as(
        "SELECT segment.entry_count, segment.next_index, segment.claim
         FROM sync_multiplexer.segment
         JOIN sync_multiplexer.plan USING (plan_id, organization_id)
         WHERE plan_id = $1 AND segment.segment_no = $2
           AND plan.slot_id = $3 AND plan.sync_id = $4 AND organization_id = $5
         FOR UPDATE OF segment",
    )
    .bind(plan_id)
    .bind(i64::from(segment_no))
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during("locking the segment")?;
    match cursor {
        Some(cursor) => Ok(cursor),
        None => Err(explain_missing(connection, scope, plan_id, Some(segment_no)).await),
    }
}

/// What a batch changes in the ledger. What was written counts even if something else made it forgotten.
fn changes(batch: &BatchRecord) -> LedgerChanges {
    let mut changes = LedgerChanges::default();
    for key in batch.deleted.iter().chain(&batch.forgotten) {
        changes.remove(key.clone());
    }
    for entry in &batch.accepted {
        changes.put(entry.clone());
    }
    changes
}

/// Never a lost entity: every entry the cursor passes is accepted, a dead letter, vanished or deleted.
fn account(cursor: &Cursor, batch: &BatchRecord) -> Result<()> {
    let counts = [batch.accepted.len(), batch.dead_letters.len(), batch.deleted.len()];
    let told = counts.into_iter().map(|count| count as u64).sum::<u64>() + u64::from(batch.vanished);
    let passed = u64::from(batch.next_index.saturating_sub(cursor.next_index));
    if batch.next_index <= cursor.next_index || batch.next_index > cursor.entry_count || told != passed {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "a batch from {} to {} of {} entries accounts for {told} of them",
                cursor.next_index, batch.next_index, cursor.entry_count
            ),
        ));
    }
    Ok(())
}

/// Moves the cursor and adds to the counters. The caller locked and checked.
async fn advance(connection: &mut PgConnection, plan_id: Uuid, segment_no: u32, batch: &BatchRecord) -> Result<()> {
    let points: i64 = batch.accepted.iter().map(|row| i64::from(row.points)).sum();
    let textless = batch.accepted.iter().filter(|row| row.points == 0).count();
    let bigint = |count: usize| i64::try_from(count).expect("a batch fits in memory");
    let chunks = |count: u64| i64::try_from(count).expect("the chunks of a batch fit in memory");
    sqlx::query(
        "UPDATE sync_multiplexer.segment
         SET next_index = $3,
             state = CASE WHEN $3 = entry_count THEN 'done' ELSE 'running' END,
             entities = entities + $4, points = points + $5, textless = textless + $6,
             dead_letters = dead_letters + $7, vanished = vanished + $8,
             chunks_embedded = chunks_embedded + $10, chunks_reused = chunks_reused + $11, deleted = deleted + $12,
             in_hand = '{}',
             gaps = (SELECT coalesce(jsonb_object_agg(what, times), '{}')
                     FROM (SELECT key AS what, sum(value::bigint) AS times
                           FROM (SELECT * FROM jsonb_each_text(segment.gaps)
                                 UNION ALL SELECT * FROM jsonb_each_text($9)) AS gap
                           GROUP BY key) AS merged),
             updated_at = now()
         WHERE plan_id = $1 AND segment_no = $2",
    )
    .bind(plan_id)
    .bind(i64::from(segment_no))
    .bind(i64::from(batch.next_index))
    .bind(bigint(batch.accepted.len()))
    .bind(points)
    .bind(bigint(textless))
    .bind(bigint(batch.dead_letters.len()))
    .bind(i64::from(batch.vanished))
    .bind(Json(storable_gaps(&batch.gaps)))
    .bind(chunks(batch.chunks_embedded))
    .bind(chunks(batch.chunks_reused))
    .bind(bigint(batch.deleted.len()))
    .execute(connection)
    .await
    .during("moving the cursor")?;
    Ok(())
}

/// Gaps with names that JSON in Postgres can hold: it has no NUL character.
fn storable_gaps(gaps: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut storable = BTreeMap::new();
    for (what, times) in gaps {
        *storable.entry(what.replace('\0', "\u{fffd}")).or_default() += times;
    }
    storable
}

async fn missing(database: &Database, scope: &SlotScope, plan_id: Uuid, segment_no: Option<u32>) -> Error {
    match database.pool().acquire().await.during("looking for the plan") {
        Ok(mut connection) => explain_missing(&mut connection, scope, plan_id, segment_no).await,
        Err(error) => error,
    }
}

/// Why a plan, or a segment of it, was not found: the slot is not the caller's, the plan was replaced, or it has no such
/// segment.
async fn explain_missing(
    connection: &mut PgConnection,
    scope: &SlotScope,
    plan_id: Uuid,
    segment_no: Option<u32>,
) -> Error {
    if let Err(error) = scope.require(&mut *connection).await {
        return error;
    }
    match plans::current(connection, scope).await {
        Err(error) => error,
        Ok(Some(current)) if current == plan_id => Error::new(
            ErrorKind::NotFound,
            format!("segment {} of plan {plan_id} does not exist", segment_no.unwrap_or_default()),
        ),
        Ok(_) => Error::new(
            ErrorKind::Conflict,
            format!(
                "plan {plan_id} is not the current plan of slot {}: it was replaced by a newer one, or removed. Whoever made \
                 the newer one carries on",
                scope.slot_id
            ),
        ),
    }
}
