//! Changing a ledger.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::pages::{FEWEST_ENTRIES, Page, may_join};
use super::{LedgerChanges, LedgerEntry, page};
use crate::database::SlotScope;
use crate::database::classify::During;
use crate::error::{Error, ErrorKind, Result};

const DOING: &str = "writing the ledger";

/// Pages held in memory at a time, some hundred kilobytes each.
const PAGES_AT_A_TIME: usize = 32;

/// Makes changes, for the rest of the transaction. Repeating them changes nothing.
///
/// One transaction at a time changes a slot's ledger: it takes an advisory lock on the slot, which it holds until it ends.
/// Locks on rows would not do, because a change may belong to a page that another transaction is just adding. Lanes write to
/// the destination outside of this lock, and each takes it after the lock on its own segment and before nothing that another
/// waits for with it, so they wait for each other but never in a circle.
pub(in crate::database) async fn apply(
    connection: &mut PgConnection,
    scope: &SlotScope,
    changes: LedgerChanges,
) -> Result<()> {
    if changes.by_key.is_empty() {
        return Ok(());
    }
    lock(connection, scope).await?;
    let mut shrunk = Vec::new();
    let mut by_page = group(connection, scope, changes.by_key).await?;
    while !by_page.is_empty() {
        let rest = by_page.split_off(by_page.len().min(PAGES_AT_A_TIME));
        rewrite(connection, scope, by_page, &mut shrunk).await?;
        by_page = rest;
    }
    for first_key in shrunk {
        join_with_a_neighbour(connection, scope, &first_key).await?;
    }
    Ok(())
}

/// Forgets everything the slot was given, for the rest of the transaction.
pub(in crate::database) async fn forget(connection: &mut PgConnection, scope: &SlotScope) -> Result<()> {
    lock(connection, scope).await?;
    sqlx::query("DELETE FROM sync_multiplexer.ledger_page WHERE slot_id = $1 AND organization_id = $2")
        .bind(scope.slot_id)
        .bind(scope.organization_id)
        .execute(connection)
        .await
        .during(DOING)?;
    Ok(())
}

async fn lock(connection: &mut PgConnection, scope: &SlotScope) -> Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('sync_multiplexer.ledger ' || $1::uuid, 0))")
        .bind(scope.slot_id)
        .execute(connection)
        .await
        .during("locking the ledger")?;
    Ok(())
}

type Changes = BTreeMap<String, Option<LedgerEntry>>;

/// The changes by the page they belong to. Keys below every page belong to one that begins at the empty key.
async fn group(
    connection: &mut PgConnection,
    scope: &SlotScope,
    mut changes: Changes,
) -> Result<Vec<(String, Changes)>> {
    let keys: Vec<&str> = changes.keys().map(String::as_str).collect();
    let mut pages = covering(connection, scope, &keys).await?;
    if keys.first().zip(pages.first()).is_none_or(|(key, page)| key.as_bytes() < page.as_bytes()) {
        pages.insert(0, String::new());
    }
    let mut by_page = Vec::with_capacity(pages.len());
    for first_key in pages.into_iter().rev() {
        let own = changes.split_off(&first_key);
        by_page.push((first_key, own));
    }
    by_page.reverse();
    Ok(by_page)
}

/// `first_key` of the pages that these keys belong to, in order, each once.
pub(super) async fn covering(connection: &mut PgConnection, scope: &SlotScope, keys: &[&str]) -> Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT covering.first_key
         FROM unnest($3::text[]) AS wanted (object_key)
         CROSS JOIN LATERAL (
             SELECT page.first_key FROM sync_multiplexer.ledger_page AS page
             WHERE page.slot_id = $1 AND page.organization_id = $2
               AND page.first_key <= wanted.object_key COLLATE \"C\"
             ORDER BY page.first_key DESC
             LIMIT 1
         ) AS covering
         ORDER BY covering.first_key",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(keys)
    .fetch_all(connection)
    .await
    .during("looking for pages of the ledger")
}

/// Reads pages; one that is not there is left out.
pub(super) async fn fetch(connection: &mut PgConnection, scope: &SlotScope, first_keys: &[&str]) -> Result<Vec<Page>> {
    let rows: Vec<(String, i32, Vec<u8>)> = sqlx::query_as(
        "SELECT first_key, entry_count, entries FROM sync_multiplexer.ledger_page
         WHERE slot_id = $1 AND organization_id = $2 AND first_key = ANY ($3::text[])
         ORDER BY first_key",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(first_keys)
    .fetch_all(connection)
    .await
    .during("reading the ledger")?;
    rows.into_iter().map(|(first_key, count, entries)| open(first_key, count, &entries)).collect()
}

/// A page from its row.
pub(super) fn open(first_key: String, entry_count: i32, entries: &[u8]) -> Result<Page> {
    let count = usize::try_from(entry_count)
        .map_err(|_| Error::new(ErrorKind::Internal, "a page of the ledger has a negative count"))?;
    Ok(Page { first_key, entries: page::decode(entries, count)? })
}

/// Merges changes into pages. Those that became short are named in `shrunk`.
async fn rewrite(
    connection: &mut PgConnection,
    scope: &SlotScope,
    by_page: Vec<(String, Changes)>,
    shrunk: &mut Vec<String>,
) -> Result<()> {
    let first_keys: Vec<&str> = by_page.iter().map(|(first_key, _)| first_key.as_str()).collect();
    let mut found = fetch(connection, scope, &first_keys).await?.into_iter().peekable();
    let (mut written, mut emptied) = (Vec::new(), Vec::new());
    for (first_key, changes) in by_page {
        let page = found.next_if(|page| page.first_key == first_key).unwrap_or_else(|| Page::empty(first_key.clone()));
        let before = page.clone();
        let pages = page.merge(changes);
        match pages.as_slice() {
            [] if before.entries.is_empty() => {}
            [] => emptied.push(first_key),
            [same] if *same == before => {}
            [short] if short.entries.len() < before.entries.len().min(FEWEST_ENTRIES) => {
                shrunk.push(first_key);
                written.extend(pages);
            }
            _ => written.extend(pages),
        }
    }
    store(connection, scope, &written).await?;
    remove(connection, scope, &emptied).await
}

/// Joins a page with the shorter of its neighbours, if the two make a page of good size.
async fn join_with_a_neighbour(connection: &mut PgConnection, scope: &SlotScope, first_key: &str) -> Result<()> {
    let neighbour: Option<(String, i32, i32)> = sqlx::query_as(
        "SELECT neighbour.first_key, neighbour.entry_count, own.entry_count
         FROM sync_multiplexer.ledger_page AS own
         CROSS JOIN LATERAL (
             (SELECT first_key, entry_count FROM sync_multiplexer.ledger_page
              WHERE slot_id = $1 AND organization_id = $2 AND first_key < own.first_key
              ORDER BY first_key DESC LIMIT 1)
             UNION ALL
             (SELECT first_key, entry_count FROM sync_multiplexer.ledger_page
              WHERE slot_id = $1 AND organization_id = $2 AND first_key > own.first_key
              ORDER BY first_key LIMIT 1)
         ) AS neighbour
         WHERE own.slot_id = $1 AND own.organization_id = $2 AND own.first_key = $3
         ORDER BY neighbour.entry_count
         LIMIT 1",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(first_key)
    .fetch_optional(&mut *connection)
    .await
    .during(DOING)?;
    // Without a neighbour, or joined already on behalf of another page.
    let Some((other_key, others, own)) = neighbour else { return Ok(()) };
    let sizes = usize::try_from(own).ok().zip(usize::try_from(others).ok());
    if !sizes.is_some_and(|(own, others)| may_join(own, others)) {
        return Ok(());
    }
    let mut pages = fetch(connection, scope, &[first_key, &other_key]).await?.into_iter();
    if let (Some(lower), Some(upper)) = (pages.next(), pages.next()) {
        let gone = upper.first_key.clone();
        store(connection, scope, &[lower.join(upper)]).await?;
        remove(connection, scope, &[gone]).await?;
    }
    Ok(())
}

async fn store(connection: &mut PgConnection, scope: &SlotScope, pages: &[Page]) -> Result<()> {
    if pages.is_empty() {
        return Ok(());
    }
    let count = |page: &Page, counts: fn(&LedgerEntry) -> bool| {
        i32::try_from(page.entries.iter().filter(|entry| counts(entry)).count())
            .expect("a page has at most a thousand entries")
    };
    let entries = pages.iter().map(|page| page::encode(&page.entries)).collect::<Result<Vec<_>>>()?;
    let points = |page: &Page| page.entries.iter().map(|entry| i64::from(entry.points)).sum::<i64>();
    sqlx::query(
        "INSERT INTO sync_multiplexer.ledger_page
             (slot_id, sync_id, organization_id, first_key, entry_count, textless, odd_names, points, entries)
         SELECT $1, $2, $3, first_key, entry_count, textless, odd_names, points, entries
         FROM unnest($4::text[], $5::integer[], $6::integer[], $7::integer[], $8::bigint[], $9::bytea[])
              AS page (first_key, entry_count, textless, odd_names, points, entries)
         ON CONFLICT (slot_id, first_key) DO UPDATE
         SET entry_count = excluded.entry_count, textless = excluded.textless, odd_names = excluded.odd_names,
             points = excluded.points, entries = excluded.entries, written_at = now()",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(pages.iter().map(|page| page.first_key.as_str()).collect::<Vec<_>>())
    .bind(pages.iter().map(|page| count(page, |_| true)).collect::<Vec<_>>())
    .bind(pages.iter().map(|page| count(page, |entry| entry.points == 0)).collect::<Vec<_>>())
    .bind(pages.iter().map(|page| count(page, page::is_odd)).collect::<Vec<_>>())
    .bind(pages.iter().map(points).collect::<Vec<_>>())
    .bind(entries)
    .execute(connection)
    .await
    .during(DOING)?;
    Ok(())
}

async fn remove(connection: &mut PgConnection, scope: &SlotScope, first_keys: &[String]) -> Result<()> {
    if first_keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM sync_multiplexer.ledger_page
         WHERE slot_id = $1 AND organization_id = $2 AND first_key = ANY ($3::text[])",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(first_keys)
    .execute(connection)
    .await
    .during(DOING)?;
    Ok(())
}
