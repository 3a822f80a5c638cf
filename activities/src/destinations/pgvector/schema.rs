//! The table of a slot: its name, its columns, its indexes, and the comment that says for whom and how it was built.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::config::PgvectorSettings;
use crate::destinations::Scope;

/// The Postgres schema all slots share.
pub(super) const SCHEMA: &str = "sync_multiplexer_vectors";

/// Characters of an entity id that are indexed. An index row holds at most 2,704 bytes and a character is at most
/// four, while ids have no limit; longer ids that agree in these characters are told apart by comparing them whole.
const INDEXED_ID_CHARS: u32 = 500;

/// Version of what is written here; raise it when [`Table::columns`] or the meaning of one changes.
const LAYOUT_VERSION: u32 = 1;

/// Names and statements of one slot's table. Built from a UUID, so no name needs quoting.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Name without the schema.
    name: String,
    settings: PgvectorSettings,
}

/// A column as `pg_attribute` tells it.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) sql_type: String,
    pub(super) not_null: bool,
    /// Name of the collation, when it is not the database's.
    pub(super) collation: Option<String>,
}

/// An index that only searches need; it is built when the bulk load is over.
#[derive(Debug)]
pub(super) struct SearchIndex {
    /// Name with the schema.
    pub(super) name: String,
    /// The statement that builds it.
    pub(super) create: String,
}

/// Whose table it is and how it was built, kept as the comment of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    layout_version: u32,
    organization_id: Uuid,
    collection_id: Uuid,
    sync_id: Uuid,
    slot_id: Uuid,
    #[serde(flatten)]
    settings: PgvectorSettings,
}

impl Marker {
    pub(super) fn new(scope: &Scope, settings: &PgvectorSettings) -> Self {
        Self {
            layout_version: LAYOUT_VERSION,
            organization_id: scope.organization_id,
            collection_id: scope.collection_id,
            sync_id: scope.sync_id,
            slot_id: scope.slot_id,
            settings: *settings,
        }
    }

    /// Whether the table was made for `scope`, however it was built.
    pub(super) fn belongs_to(&self, scope: &Scope) -> bool {
        *self == Self { layout_version: self.layout_version, ..Self::new(scope, &self.settings) }
    }

    /// What differs from `wanted`, in words; nothing when they are equal.
    pub(super) fn difference(&self, wanted: &Self) -> Option<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, here: String, wanted: String| {
            if here != wanted {
                found.push(format!("{what} is {here}, wanted {wanted}"));
            }
        };
        compare("layout version", self.layout_version.to_string(), wanted.layout_version.to_string());
        compare("organisation", self.organization_id.to_string(), wanted.organization_id.to_string());
        compare("collection", self.collection_id.to_string(), wanted.collection_id.to_string());
        compare("sync", self.sync_id.to_string(), wanted.sync_id.to_string());
        compare("slot", self.slot_id.to_string(), wanted.slot_id.to_string());
        compare("vector type", self.settings.dense_type(), wanted.settings.dense_type());
        compare("distance", format!("{:?}", self.settings.distance), format!("{:?}", wanted.settings.distance));
        let hnsw = |settings: &PgvectorSettings| match settings.hnsw {
            Some(hnsw) => format!("m={} ef_construction={}", hnsw.m, hnsw.ef_construction),
            None => "none".to_owned(),
        };
        compare("HNSW index", hnsw(&self.settings), hnsw(&wanted.settings));
        (!found.is_empty()).then(|| found.join("; "))
    }
}

impl Table {
    pub(super) fn new(slot_id: Uuid, settings: &PgvectorSettings) -> Self {
        Self { name: format!("slot_{}", slot_id.simple()), settings: *settings }
    }

    /// Name with the schema.
    pub(super) fn qualified(&self) -> String {
        format!("{SCHEMA}.{}", self.name)
    }

    /// Every column in order.
    ///
    /// `entity_id` sorts by bytes, whatever the database's collation. `payload` is `json` and not `jsonb`, which keeps
    /// key order and takes `\u0000`. Token ids reach 2^31, one more than `integer` holds.
    pub(super) fn columns(&self) -> Vec<Column> {
        let column = |name: &str, sql_type: &str| Column {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
            not_null: true,
            collation: (name == "entity_id").then(|| "C".to_owned()),
        };
        vec![
            column("point_id", "uuid"),
            column("organization_id", "uuid"),
            column("collection_id", "uuid"),
            column("sync_id", "uuid"),
            column("entity_id", "text"),
            column("chunk_index", "integer"),
            column("class", "text"),
            column("content_hash", "text"),
            column("text", "text"),
            column("payload", "json"),
            column("dense", &self.settings.dense_type()),
            column("sparse_indices", "bigint[]"),
            column("sparse_values", "real[]"),
        ]
    }

    /// The statements that make the table and mark it, to be run in one transaction.
    ///
    /// One row per chunk: `point_id` is derived from entity and chunk index, so it stands for the pair.
    pub(super) fn create(&self, marker: &Marker) -> String {
        let table = self.qualified();
        let columns: Vec<String> = self
            .columns()
            .iter()
            .map(|column| {
                let collation =
                    column.collation.as_ref().map(|name| format!(" COLLATE \"{name}\"")).unwrap_or_default();
                format!("{} {}{collation} NOT NULL", column.name, column.sql_type)
            })
            .collect();
        let comment = serde_json::json!(marker).to_string().replace('\'', "''");
        format!(
            "CREATE TABLE {table} ({}, PRIMARY KEY (point_id), CHECK (chunk_index >= 0), \
                 CHECK (cardinality(sparse_indices) = cardinality(sparse_values)));
             CREATE INDEX {}_entity ON {table} ({}, chunk_index);
             COMMENT ON TABLE {table} IS '{comment}';",
            columns.join(", "),
            self.name,
            indexed_id("entity_id"),
        )
    }

    /// The indexes that searches use: tokens of the sparse vectors, and neighbours of the dense ones.
    pub(super) fn search_indexes(&self) -> Vec<SearchIndex> {
        let table = self.qualified();
        let index = |suffix: &str, method: String| SearchIndex {
            name: format!("{table}_{suffix}"),
            create: format!("CREATE INDEX {}_{suffix} ON {table} USING {method}", self.name),
        };
        let sparse = index("sparse", "gin (sparse_indices)".to_owned());
        let dense = self.settings.hnsw.map(|hnsw| {
            let class = self.settings.distance.operator_class(self.settings.vector_type);
            let (m, ef_construction) = (hnsw.m, hnsw.ef_construction);
            index("dense", format!("hnsw (dense {class}) WITH (m = {m}, ef_construction = {ef_construction})"))
        });
        std::iter::once(sparse).chain(dense).collect()
    }
}

/// The indexed part of an entity id.
pub(super) fn indexed_id(expression: &str) -> String {
    format!("left({expression}, {INDEXED_ID_CHARS})")
}
