//! Reading a ledger, a page at a time.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use sqlx::PgConnection;

use super::apply::{covering, fetch, open};
use super::{LedgerEntry, LedgerTotals};
use crate::database::classify::{During, classify};
use crate::database::{Database, SlotScope};
use crate::destinations::EntitySort;
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::entity_file_name;

const DOING: &str = "reading the ledger";

/// What sorting by entity may hold in memory, in bytes.
const SORT_BYTES: usize = 32 << 20;

/// Every entry, in byte order of the object key, as of one moment. Holds a connection of the pool until the stream is
/// dropped.
///
/// # Errors
/// `NotFound` for a slot this product did not build; errors of reading come through the stream.
pub async fn stream<'a>(database: &'a Database, scope: &SlotScope) -> Result<BoxStream<'a, Result<LedgerEntry>>> {
    require(database, scope).await?;
    Ok(sqlx::query_as::<_, (String, i32, Vec<u8>)>(
        "SELECT first_key, entry_count, entries FROM sync_multiplexer.ledger_page
         WHERE slot_id = $1 AND organization_id = $2
         ORDER BY first_key",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .fetch(database.pool())
    .map_err(|error| classify(DOING, error))
    .and_then(async |(first_key, count, entries)| open(first_key, count, &entries))
    .map_ok(|page| stream::iter(page.entries.into_iter().map(Ok)))
    .try_flatten()
    .boxed())
}

/// Every entity with points and how many, in byte order of the entity id. An id that several objects carry comes once,
/// with the points of all. Reads the whole ledger before the first answer; what does not fit memory is in temporary files.
///
/// # Errors
/// `NotFound` for a slot this product did not build; `OutOfSpace` when a temporary file cannot be written.
pub async fn stream_by_entity(
    database: &Database,
    scope: &SlotScope,
) -> Result<BoxStream<'static, Result<(String, u64)>>> {
    let mut entries = stream(database, scope).await?;
    let mut sort = EntitySort::new(SORT_BYTES);
    while let Some(entry) = entries.try_next().await? {
        if entry.points > 0 {
            sort.push(&entry.entity_id, entry.points)?;
        }
    }
    Ok(stream::iter(sort.finish()?).map_ok(|(entity, points)| (entity.0, u64::from(points))).boxed())
}

/// At most `n` entities with points, chosen evenly by `seed`, in byte order of their keys: the same seed over the same
/// ledger gives the same sample.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn sample(database: &Database, scope: &SlotScope, n: u32, seed: u64) -> Result<Vec<LedgerEntry>> {
    const DOING: &str = "sampling the ledger";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    // Counting and picking see the same pages.
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *transaction)
        .await
        .during(DOING)?;
    scope.require(&mut transaction).await?;
    let totals = sum(&mut transaction, scope).await?;
    let mut chosen = choose(totals.entities - totals.textless, u64::from(n), seed).into_iter().peekable();

    // What was chosen, by page: positions among its entries with points.
    let mut positions: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut headers = sqlx::query_as::<_, (String, i32)>(
        "SELECT first_key, entry_count - textless FROM sync_multiplexer.ledger_page
         WHERE slot_id = $1 AND organization_id = $2
         ORDER BY first_key",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .fetch(&mut *transaction);
    let mut counted = 0;
    while let Some((first_key, with_points)) = headers.try_next().await.during(DOING)? {
        let end = counted + u64::from(with_points.unsigned_abs());
        while let Some(number) = chosen.next_if(|number| *number < end) {
            let position = usize::try_from(number - counted)
                .map_err(|_| Error::new(ErrorKind::Internal, "a page of the ledger is longer than pages are made"))?;
            positions.entry(first_key.clone()).or_default().push(position);
        }
        counted = end;
    }
    drop(headers);

    let mut sample = Vec::new();
    for (first_key, positions) in positions {
        for page in fetch(&mut transaction, scope, &[&first_key]).await? {
            let with_points: Vec<_> = page.entries.into_iter().filter(|entry| entry.points > 0).collect();
            sample.extend(positions.iter().filter_map(|position| with_points.get(*position).cloned()));
        }
    }
    Ok(sample)
}

/// `n` different numbers below `count`, in order (Floyd's algorithm).
fn choose(count: u64, n: u64, seed: u64) -> BTreeSet<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut chosen = BTreeSet::new();
    for last in count.saturating_sub(n)..count {
        let number = random.u64(0..=last);
        chosen.insert(if chosen.contains(&number) { last } else { number });
    }
    chosen
}

/// Adds the ledger up, from the headers of its pages.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn totals(database: &Database, scope: &SlotScope) -> Result<LedgerTotals> {
    let mut connection = database.pool().acquire().await.during(DOING)?;
    scope.require(&mut connection).await?;
    sum(&mut connection, scope).await
}

async fn sum(connection: &mut PgConnection, scope: &SlotScope) -> Result<LedgerTotals> {
    sqlx::query_as(
        "SELECT coalesce(sum(entry_count), 0)::bigint AS entities, coalesce(sum(textless), 0)::bigint AS textless,
                coalesce(sum(points), 0)::bigint AS points
         FROM sync_multiplexer.ledger_page
         WHERE slot_id = $1 AND organization_id = $2",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .fetch_one(connection)
    .await
    .during("adding up the ledger")
}

/// What the slot was given of these objects, in no order; of those it was given nothing of, nothing.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn of_objects(database: &Database, scope: &SlotScope, keys: &[&str]) -> Result<Vec<LedgerEntry>> {
    let mut connection = database.pool().acquire().await.during(DOING)?;
    scope.require(&mut connection).await?;
    let wanted: HashSet<&str> = keys.iter().copied().collect();
    let mut found = Vec::new();
    for first_key in covering(&mut connection, scope, keys).await? {
        for page in fetch(&mut connection, scope, &[&first_key]).await? {
            found.extend(page.entries.into_iter().filter(|entry| wanted.contains(entry.object_key.as_str())));
        }
    }
    Ok(found)
}

/// Entries that carry one of these entities, those of the objects `except` left out.
///
/// Two objects carry the same entity only if one of them is not named after it, so what is looked at are the pages with such
/// names, hardly ever any, and those of the right names, unless these are left out.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn with_entities(
    database: &Database,
    scope: &SlotScope,
    entity_ids: &HashSet<&str>,
    except: &HashSet<&str>,
) -> Result<Vec<LedgerEntry>> {
    let mut connection = database.pool().acquire().await.during(DOING)?;
    scope.require(&mut connection).await?;
    let mut pages: BTreeSet<String> = sqlx::query_scalar(
        "SELECT first_key FROM sync_multiplexer.ledger_page
         WHERE slot_id = $1 AND organization_id = $2 AND odd_names > 0",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .fetch_all(&mut *connection)
    .await
    .during(DOING)?
    .into_iter()
    .collect();
    let names: Vec<_> = entity_ids.iter().map(|id| entity_file_name(id)).collect();
    let names: Vec<_> = names.iter().map(String::as_str).filter(|name| !except.contains(name)).collect();
    if !names.is_empty() {
        pages.extend(covering(&mut connection, scope, &names).await?);
    }
    let mut found = Vec::new();
    for first_key in &pages {
        for page in fetch(&mut connection, scope, &[first_key]).await? {
            found.extend(page.entries.into_iter().filter(|entry| {
                entity_ids.contains(entry.entity_id.as_str()) && !except.contains(entry.object_key.as_str())
            }));
        }
    }
    Ok(found)
}

/// The entries in byte order of the object key inside a transaction that does other things meanwhile: a cursor.
pub(in crate::database) struct LedgerCursor {
    held: VecDeque<LedgerEntry>,
}

impl LedgerCursor {
    /// Pages fetched at a time.
    const FETCH: &str = "FETCH FORWARD 4 FROM ledger_in_order";

    /// Opens the cursor; what is recorded afterwards is not seen.
    pub(in crate::database) async fn open(connection: &mut PgConnection, scope: &SlotScope) -> Result<Self> {
        sqlx::query(
            "DECLARE ledger_in_order NO SCROLL CURSOR FOR
             SELECT first_key, entry_count, entries FROM sync_multiplexer.ledger_page
             WHERE slot_id = $1 AND organization_id = $2
             ORDER BY first_key",
        )
        .bind(scope.slot_id)
        .bind(scope.organization_id)
        .persistent(false)
        .execute(connection)
        .await
        .during(DOING)?;
        Ok(Self { held: VecDeque::new() })
    }

    /// The next entry, if there is one.
    pub(in crate::database) async fn next(&mut self, connection: &mut PgConnection) -> Result<Option<LedgerEntry>> {
        if self.held.is_empty() {
            let pages: Vec<(String, i32, Vec<u8>)> =
                sqlx::query_as(Self::FETCH).persistent(false).fetch_all(connection).await.during(DOING)?;
            for (first_key, count, entries) in pages {
                self.held.extend(open(first_key, count, &entries)?.entries);
            }
        }
        Ok(self.held.pop_front())
    }
}

async fn require(database: &Database, scope: &SlotScope) -> Result<()> {
    let mut connection = database.pool().acquire().await.during(DOING)?;
    scope.require(&mut connection).await
}
