//! `manifest.json`: whose raw store this is.

use chrono::{DateTime, NaiveDateTime, Utc};
use uuid::Uuid;

use super::entity::decode_object;
use super::read_error::ReadError;
use super::store_path::StorePath;
use super::sync_store::SyncStore;
use crate::error::{Error, ErrorKind, Result};
use crate::json::Value;

/// What the manifest says. It proves that there is a store, and nothing more: counts are unreliable and times are
/// not touched by jobs that only delete or keep.
///
/// Fields came and went over the platform's releases, so all but the id may be absent. A malformed field is absent
/// too, and named in `problems`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The sync; equals that of the store.
    pub sync_id: Uuid,
    /// Short name of the source, such as `slack`.
    pub source_short_name: Option<String>,
    /// The collection that the sync feeds.
    pub collection_id: Option<Uuid>,
    /// Its readable id.
    pub collection_readable_id: Option<String>,
    /// The tenant.
    pub organization_id: Option<Uuid>,
    /// When the store was begun.
    pub created_at: Option<DateTime<Utc>>,
    /// When a job last wrote to it.
    pub updated_at: Option<DateTime<Utc>>,
    /// How many entities the platform believes there are; until January 2026. May be wrong, even negative.
    pub entity_count: Option<i64>,
    /// How many blobs the platform believes there are; until January 2026. May be wrong, even negative.
    pub file_count: Option<i64>,
    /// Jobs that wrote to the store, oldest first.
    pub sync_jobs: Vec<Uuid>,
    /// Dimension of the collection's vectors; until March 2026.
    pub vector_size: Option<i64>,
    /// The collection's embedding model; until March 2026.
    pub embedding_model_name: Option<String>,
    /// What is malformed or missing, one sentence each. Not fatal, worth showing.
    pub problems: Vec<String>,
}

impl SyncStore {
    /// Reads the manifest.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is neither manifest nor entity; `RawStoreInvalid` when there are entities without a
    /// manifest, when it is no JSON object, or when it does not name this sync; whatever the store answered.
    pub async fn manifest(&self) -> Result<Manifest> {
        let path = StorePath::manifest(self.sync_id);
        let fields = match self.read_object("manifest.json", &path, self.options.max_entity_bytes, decode_object).await
        {
            Ok(settled) => settled.value,
            // Back since we looked for it: somebody is writing the store right now.
            Err(ReadError::Vanished { .. }) => {
                let text = format!("the manifest of {} is being replaced", self.location());
                return Err(Error::new(ErrorKind::Unavailable, text));
            }
            Err(ReadError::Failed(error)) => return Err(error),
            Err(error) => {
                let text = format!("the raw store at {} is not usable: {error}; run a resync", self.location());
                return Err(Error::new(ErrorKind::RawStoreInvalid, text));
            }
        };
        let named = fields.get("sync_id").and_then(Value::as_str).and_then(|text| Uuid::try_parse(text).ok());
        if named != Some(self.sync_id) {
            let named = named.map_or_else(|| "no sync".to_owned(), |id| format!("sync {id}"));
            let text = format!("the manifest of {} names {named}; was the store copied or moved?", self.location());
            return Err(Error::new(ErrorKind::RawStoreInvalid, text));
        }
        Ok(Reader::new(&fields).manifest(self.sync_id))
    }
}

/// Takes fields one by one and notes what is wrong with them.
struct Reader<'a> {
    fields: &'a Value,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(fields: &'a Value) -> Self {
        Self { fields, problems: Vec::new() }
    }

    fn manifest(mut self, sync_id: Uuid) -> Manifest {
        let source_short_name = self.text("source_short_name");
        if self.field("source_short_name").is_none() {
            self.problems.push("source_short_name is missing".to_owned());
        }
        Manifest {
            sync_id,
            source_short_name,
            collection_id: self.take("collection_id", "a UUID", uuid),
            collection_readable_id: self.text("collection_readable_id"),
            organization_id: self.take("organization_id", "a UUID", uuid),
            created_at: self.take("created_at", "a time", time),
            updated_at: self.take("updated_at", "a time", time),
            entity_count: self.take("entity_count", "an integer", Value::as_i64),
            file_count: self.take("file_count", "an integer", Value::as_i64),
            sync_jobs: self.sync_jobs(),
            vector_size: self.take("vector_size", "an integer", Value::as_i64),
            embedding_model_name: self.text("embedding_model_name"),
            problems: self.problems,
        }
    }

    fn field(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn take<T>(&mut self, name: &str, what: &str, read: fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.field(name)?;
        let read = read(value);
        if read.is_none() {
            self.problems.push(format!("{name} is not {what}"));
        }
        read
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.take(name, "a text", |value| value.as_str().map(str::to_owned))
    }

    fn sync_jobs(&mut self) -> Vec<Uuid> {
        let Some(value) = self.field("sync_jobs") else { return Vec::new() };
        let Some(items) = value.as_array() else {
            self.problems.push("sync_jobs is not a list".to_owned());
            return Vec::new();
        };
        let jobs: Vec<Uuid> = items.iter().filter_map(uuid).collect();
        if jobs.len() < items.len() {
            self.problems.push(format!("{} of sync_jobs are no UUIDs", items.len() - jobs.len()));
        }
        jobs
    }
}

fn uuid(value: &Value) -> Option<Uuid> {
    Uuid::try_parse(value.as_str()?).ok()
}

/// ISO 8601 as Python writes it; without an offset it is UTC.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    let text = value.as_str()?;
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| text.parse::<NaiveDateTime>().map(|time| time.and_utc()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use rstest::rstest;

    const ID: &str = "f22456a1-6b4e-53cf-bc8d-48619c1615b8";

    fn read(text: &str) -> Manifest {
        Reader::new(&decode_object(Bytes::from(text.to_owned())).unwrap()).manifest(ID.parse().unwrap())
    }

    /// With counts and vectors, without counts, without both.
    #[rstest]
    #[case(
        r#""entity_count": 12, "file_count": -3, "vector_size": 1536, "embedding_model_name": "m","#,
        Some(12),
        Some(1536)
    )]
    #[case(r#""vector_size": 1536, "embedding_model_name": "m","#, None, Some(1536))]
    #[case("", None, None)]
    fn every_age(#[case] extra: &str, #[case] count: Option<i64>, #[case] size: Option<i64>) {
        let manifest = read(&format!(
            r#"{{"sync_id": "{ID}", "source_short_name": "slack", "collection_id": "8d5b3431-4d87-5164-87e5-067361da8787",
            "collection_readable_id": "acme", "organization_id": "33188920-37e8-57a7-8b77-7ac2ac544f40", {extra}
            "created_at": "2026-01-05T09:00:00+00:00", "updated_at": "2026-01-07T09:00:00.000250",
            "sync_jobs": ["144b91f8-8b68-5d8c-b678-56211a0f19e2"], "new_one_day": {{}}}}"#
        ));
        assert_eq!(manifest.problems, Vec::<String>::new());
        assert_eq!((manifest.entity_count, manifest.vector_size), (count, size));
        assert_eq!(manifest.source_short_name.as_deref(), Some("slack"));
        assert_eq!(manifest.created_at.unwrap().to_rfc3339(), "2026-01-05T09:00:00+00:00");
        assert_eq!(manifest.updated_at.unwrap().timestamp_subsec_micros(), 250);
        assert_eq!(manifest.sync_jobs.len(), 1);
    }

    #[rstest]
    #[case(r#"{"source_short_name": 7}"#, &["source_short_name is not a text"])]
    #[case("{}", &["source_short_name is missing"])]
    #[case(r#"{"source_short_name": null}"#, &["source_short_name is missing"])]
    #[case(r#"{"source_short_name": "s", "created_at": "2026-01-05T09:0"}"#, &["created_at is not a time"])]
    #[case(r#"{"source_short_name": "s", "entity_count": "12"}"#, &["entity_count is not an integer"])]
    #[case(r#"{"source_short_name": "s", "sync_jobs": {}}"#, &["sync_jobs is not a list"])]
    #[case(r#"{"source_short_name": "s", "sync_jobs": ["x", 1]}"#, &["2 of sync_jobs are no UUIDs"])]
    #[case(r#"{"source_short_name": "s", "collection_id": "x", "vector_size": 1.5}"#, &["collection_id is not a UUID", "vector_size is not an integer"])]
    fn a_malformed_field_is_a_problem_and_no_more(#[case] text: &str, #[case] problems: &[&str]) {
        assert_eq!(read(text).problems, problems);
    }
}
