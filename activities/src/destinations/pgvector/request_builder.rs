//! Statements of one slot, and documents turned into the arrays they take.
//!
//! Rows travel as one array per column; vectors travel flattened and are cut into rows by the server, which keeps
//! every value exact and the text of the statement independent of the batch.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};
use uuid::Uuid;

use super::config::PgvectorSettings;
use super::schema::{Table, indexed_id};
use crate::destinations::{EntityDocument, Scope, validate};

/// Rows of one statement; a longer batch is several statements of one transaction.
pub(super) const MAX_ROWS_PER_STATEMENT: usize = 256;

/// A statement with a fixed text.
pub(super) type Statement = AssertSqlSafe<Arc<str>>;

/// Everything that is said to a slot's table. Parameters `$1` and `$2` are always organisation and sync.
#[derive(Debug, Clone)]
pub(super) struct Statements {
    upsert: Arc<str>,
    delete_surplus: Arc<str>,
    delete: Arc<str>,
    read: Arc<str>,
    scan_page: Arc<str>,
    count: Arc<str>,
    delete_all: Arc<str>,
}

impl Statements {
    pub(super) fn new(table: &Table, settings: &PgvectorSettings) -> Self {
        let name = table.qualified();
        let columns: Vec<String> = table.columns().into_iter().map(|column| column.name).collect();
        let updates: Vec<String> = columns.iter().skip(1).map(|name| format!("{name} = excluded.{name}")).collect();
        let (indexed, wanted) = (indexed_id("t.entity_id"), indexed_id("e.id"));
        // The rows of each entity `e`. OFFSET 0 keeps this a loop over entities, each an index lookup: without
        // statistics, which a table has only after its first ANALYZE, the planner would rather read the whole table.
        let rows_of_e = |columns: &str, filter: &str| {
            format!(
                "(SELECT {columns} FROM {name} t WHERE {indexed} = {wanted} AND t.entity_id = e.id {filter} \
                 AND t.organization_id = $1 AND t.sync_id = $2 OFFSET 0) AS found"
            )
        };
        // Rows are locked in the order in which they are upserted, so that two writers wait and do not deadlock.
        let delete = |entities: &str, filter: &str| {
            format!(
                "DELETE FROM {name} AS doomed WHERE doomed.organization_id = $1 AND doomed.sync_id = $2 \
                 AND doomed.point_id = ANY (ARRAY(SELECT locked.point_id FROM {name} AS locked \
                 WHERE locked.organization_id = $1 AND locked.sync_id = $2 AND locked.point_id = ANY (ARRAY(\
                 SELECT found.point_id FROM {entities} CROSS JOIN LATERAL {})) \
                 ORDER BY locked.entity_id, locked.chunk_index FOR UPDATE))",
                rows_of_e("t.point_id", filter)
            )
        };
        let (dimensions, dense) = (settings.dimensions, settings.dense_type());
        Self {
            upsert: format!(
                "INSERT INTO {name} AS stored ({}) \
                 SELECT r.point_id, $1, $3, $2, r.entity_id, r.chunk_index, r.class, r.content_hash, r.text, \
                 r.payload::json, \
                 ($11::real[])[(r.row_number - 1) * {dimensions} + 1 : r.row_number * {dimensions}]::{dense}, \
                 ($12::bigint[])[r.sparse_start + 1 : r.sparse_end], \
                 ($13::real[])[r.sparse_start + 1 : r.sparse_end] \
                 FROM (SELECT u.*, u.ordinality::integer AS row_number FROM unnest($4::uuid[], $5::text[], \
                 $6::integer[], $7::text[], $8::text[], $9::text[], $10::text[], $14::integer[], $15::integer[]) \
                 WITH ORDINALITY AS u (point_id, entity_id, chunk_index, class, content_hash, text, payload, \
                 sparse_start, sparse_end, ordinality)) AS r \
                 ON CONFLICT (point_id) DO UPDATE SET {} \
                 WHERE stored.organization_id = $1 AND stored.sync_id = $2",
                columns.join(", "),
                updates.join(", "),
            )
            .into(),
            delete_surplus: delete("unnest($3::text[], $4::integer[]) AS e (id, keep)", "AND t.chunk_index >= e.keep")
                .into(),
            delete: delete("unnest($3::text[]) AS e (id)", "").into(),
            read: format!(
                "SELECT found.* FROM (SELECT DISTINCT id FROM unnest($3::text[]) AS given (id)) AS e \
                 CROSS JOIN LATERAL {} ORDER BY found.entity_id, found.chunk_index",
                rows_of_e("t.entity_id, t.content_hash, t.chunk_index, t.text, t.dense::real[] AS dense", "")
            )
            .into(),
            scan_page: format!(
                "SELECT t.entity_id, count(*) FROM {name} t WHERE t.organization_id = $1 AND t.sync_id = $2 \
                 AND {indexed} >= {} AND t.entity_id > $3 \
                 GROUP BY {indexed}, t.entity_id ORDER BY {indexed}, t.entity_id LIMIT $4",
                indexed_id("$3"),
            )
            .into(),
            count: format!("SELECT count(*) FROM {name} WHERE organization_id = $1 AND sync_id = $2").into(),
            delete_all: format!("DELETE FROM {name} WHERE organization_id = $1 AND sync_id = $2").into(),
        }
    }

    /// Writes `rows`; affects as many rows as there are.
    pub(super) fn upsert<'q>(&self, scope: &Scope, rows: PointRows) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(AssertSqlSafe(self.upsert.clone()))
            .bind(scope.organization_id)
            .bind(scope.sync_id)
            .bind(scope.collection_id)
            .bind(rows.point_ids)
            .bind(rows.entity_ids)
            .bind(rows.chunk_indices)
            .bind(rows.classes)
            .bind(rows.content_hashes)
            .bind(rows.texts)
            .bind(rows.payloads)
            .bind(rows.dense)
            .bind(rows.sparse_indices)
            .bind(rows.sparse_values)
            .bind(rows.sparse_starts)
            .bind(rows.sparse_ends)
    }

    /// Removes the chunks of each entity from its `keep` on. `$3` ids, `$4` keeps.
    pub(super) fn delete_surplus(&self) -> Statement {
        AssertSqlSafe(self.delete_surplus.clone())
    }

    /// Removes entities. `$3` ids.
    pub(super) fn delete(&self) -> Statement {
        AssertSqlSafe(self.delete.clone())
    }

    /// Entity id, content hash, chunk index, text and dense values, by entity and chunk. `$3` ids.
    pub(super) fn read(&self) -> Statement {
        AssertSqlSafe(self.read.clone())
    }

    /// The next entities with their number of points. `$3` the last id seen, `$4` how many.
    pub(super) fn scan_page(&self) -> Statement {
        AssertSqlSafe(self.scan_page.clone())
    }

    /// Points in the scope.
    pub(super) fn count(&self) -> Statement {
        AssertSqlSafe(self.count.clone())
    }

    /// Removes every point of the scope.
    pub(super) fn delete_all(&self) -> Statement {
        AssertSqlSafe(self.delete_all.clone())
    }
}

/// The text of a chunk as this destination stores it: Postgres has no U+0000 in `text`, so U+FFFD stands for it.
///
/// The payload is JSON and keeps the original as `\u0000`.
pub(super) fn stored_text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Says why Postgres can never take a document.
pub(super) fn refuse(document: &EntityDocument, settings: &PgvectorSettings) -> Result<(), String> {
    validate(document, settings.dimensions)?;
    for (name, value) in
        [("entity id", &document.entity.0), ("class", &document.class), ("content hash", &document.content_hash)]
    {
        if value.contains('\0') {
            return Err(format!("the {name} contains U+0000, which Postgres cannot store"));
        }
    }
    for chunk in &document.chunks {
        if i32::try_from(chunk.index).is_err() {
            return Err("the entity has more chunks than an integer counts".into());
        }
        if let Some(at) = chunk.dense.iter().position(|value| !settings.holds(*value)) {
            let name = settings.vector_type.sql();
            return Err(format!("chunk {}: value {at} of the dense vector overflows {name}", chunk.index));
        }
    }
    Ok(())
}

/// The last version of each entity in a batch, in byte order of the id: the order in which every writer locks rows.
pub(super) fn latest(documents: &[EntityDocument]) -> Vec<&EntityDocument> {
    let by_id: BTreeMap<&str, &EntityDocument> =
        documents.iter().map(|document| (document.entity.0.as_str(), document)).collect();
    by_id.into_values().collect()
}

/// Rows of the table, column by column.
#[derive(Debug, Default)]
pub(super) struct PointRows {
    point_ids: Vec<Uuid>,
    entity_ids: Vec<String>,
    chunk_indices: Vec<i32>,
    classes: Vec<String>,
    content_hashes: Vec<String>,
    texts: Vec<String>,
    payloads: Vec<String>,
    /// The values of all rows, one row after the other.
    dense: Vec<f32>,
    sparse_indices: Vec<i64>,
    sparse_values: Vec<f32>,
    /// Where the sparse vector of each row begins and ends in the two columns above.
    sparse_starts: Vec<i32>,
    sparse_ends: Vec<i32>,
}

impl PointRows {
    /// All chunks of `documents`, in order, in portions of [`MAX_ROWS_PER_STATEMENT`]. The documents were accepted by
    /// [`refuse`].
    pub(super) fn portions<'a>(
        documents: &'a [&'a EntityDocument],
        sync_id: Uuid,
    ) -> impl Iterator<Item = Self> + Send + 'a {
        let mut chunks = documents
            .iter()
            .flat_map(|document| document.chunks.iter().map(move |chunk| (*document, chunk)))
            .peekable();
        std::iter::from_fn(move || {
            chunks.peek()?;
            let mut rows = Self::default();
            for (document, chunk) in chunks.by_ref().take(MAX_ROWS_PER_STATEMENT) {
                rows.point_ids.push(document.entity.point_id(sync_id, chunk.index));
                rows.entity_ids.push(document.entity.0.clone());
                rows.chunk_indices.push(saturate(chunk.index));
                rows.classes.push(document.class.clone());
                rows.content_hashes.push(document.content_hash.clone());
                rows.texts.push(stored_text(&chunk.text).into_owned());
                rows.payloads.push(chunk.payload.clone());
                rows.dense.extend_from_slice(&chunk.dense);
                rows.sparse_starts.push(saturate(rows.sparse_indices.len()));
                rows.sparse_indices.extend(chunk.sparse.indices.iter().copied().map(i64::from));
                rows.sparse_values.extend_from_slice(&chunk.sparse.values);
                rows.sparse_ends.push(saturate(rows.sparse_indices.len()));
            }
            Some(rows)
        })
    }

    /// How many rows.
    pub(super) fn len(&self) -> usize {
        self.point_ids.len()
    }
}

/// A count as Postgres takes it. Nothing stored has more chunks than `i32::MAX`, so "from there on" means none.
pub(super) fn saturate(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::{Chunk, EntityRef, SparseVector};

    fn document(id: &str, hash: &str, chunks: u32) -> EntityDocument {
        let chunks = (0..chunks)
            .map(|index| Chunk {
                index,
                text: "a\0b".into(),
                payload: "{}".into(),
                dense: vec![index as f32, 0.5],
                sparse: SparseVector { indices: vec![index, 1 << 31], values: vec![0.1, 0.2] },
            })
            .collect();
        EntityDocument { entity: EntityRef(id.into()), class: "C".into(), content_hash: hash.into(), chunks }
    }

    #[test]
    fn the_last_version_wins_and_ids_are_in_byte_order() {
        let batch = [document("b", "1", 1), document("é", "1", 1), document("B", "1", 1), document("b", "2", 1)];
        let latest: Vec<_> =
            latest(&batch).into_iter().map(|d| (d.entity.0.as_str(), d.content_hash.as_str())).collect();
        assert_eq!(latest, [("B", "1"), ("b", "2"), ("é", "1")]);
    }

    #[test]
    fn portions_hold_every_chunk_once() {
        let most = u32::try_from(MAX_ROWS_PER_STATEMENT).expect("small");
        let (long, short) = (document("long", "1", most + 3), document("short", "1", 2));
        let documents = [&long, &short];
        let portions: Vec<PointRows> = PointRows::portions(&documents, Uuid::nil()).collect();
        assert_eq!(portions.iter().map(PointRows::len).collect::<Vec<_>>(), [MAX_ROWS_PER_STATEMENT, 5]);
        let last = &portions[1];
        assert_eq!(last.chunk_indices, [saturate(most), saturate(most + 1), saturate(most + 2), 0, 1]);
        assert_eq!((last.dense.len(), last.sparse_indices.len()), (10, 10));
        assert_eq!((last.sparse_starts[4], last.sparse_ends[4]), (8, 10));
        assert_eq!(last.sparse_indices[9], 1 << 31);
        assert_eq!(last.texts[0], "a\u{fffd}b");
    }

    #[test]
    fn no_documents_make_no_statement() {
        assert_eq!(PointRows::portions(&[], Uuid::nil()).count(), 0);
    }
}
