//! What the content cluster holds: documents and tombstones, in buckets, and a dictionary of string attributes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::document_id::DocumentId;
use super::value::FieldValue;

/// Values of a document by field.
pub type Fields = BTreeMap<String, FieldValue>;

/// A document, or what is left of one.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id.
    pub id: DocumentId,
    /// When it was written last: microseconds since 1970, unique in the store.
    pub timestamp_us: u64,
    /// Its fields; none when it was removed.
    pub fields: Option<Arc<Fields>>,
}

/// All documents of a cluster.
#[derive(Debug)]
pub struct Store {
    buckets: Vec<BTreeMap<String, Entry>>,
    last_timestamp_us: u64,
    /// Ids by value, in lower case, for each field that has a dictionary.
    dictionaries: BTreeMap<String, HashMap<String, BTreeSet<String>>>,
    /// Documents by type.
    counts: BTreeMap<String, usize>,
}

impl Store {
    /// An empty store with a dictionary for each of these fields.
    #[must_use]
    pub fn new(buckets: usize, fields: impl Iterator<Item = String>) -> Self {
        Self {
            buckets: vec![BTreeMap::new(); buckets.max(1)],
            last_timestamp_us: 0,
            dictionaries: fields.map(|field| (field, HashMap::new())).collect(),
            counts: BTreeMap::new(),
        }
    }

    /// The fields of a document; none when it is absent or removed.
    #[must_use]
    pub fn fields(&self, id: &DocumentId) -> Option<&Arc<Fields>> {
        let key = id.to_string();
        self.buckets[self.bucket_of(&key)].get(&key)?.fields.as_ref()
    }

    /// Writes a document over whatever was there.
    pub fn put(&mut self, id: DocumentId, fields: Fields) {
        self.set(id, Some(Arc::new(fields)));
    }

    /// Leaves a tombstone; whether there was a document.
    pub fn remove(&mut self, id: DocumentId) -> bool {
        let was_there = self.fields(&id).is_some();
        if was_there {
            self.set(id, None);
        }
        was_there
    }

    /// How many buckets there are.
    #[must_use]
    pub fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// Documents and tombstones of one bucket.
    pub fn bucket(&self, at: usize) -> impl Iterator<Item = &Entry> {
        self.buckets[at].values()
    }

    /// Every document with its fields.
    pub fn documents(&self) -> impl Iterator<Item = (&DocumentId, &Arc<Fields>)> {
        self.buckets.iter().flat_map(BTreeMap::values).filter_map(|entry| Some((&entry.id, entry.fields.as_ref()?)))
    }

    /// How many documents there are of a type.
    #[must_use]
    pub fn count(&self, document_type: &str) -> usize {
        self.counts.get(document_type).copied().unwrap_or_default()
    }

    /// The documents that have one of these values in a field; none when the field has no dictionary.
    #[must_use]
    pub fn look_up(&self, field: &str, values: &[String]) -> Option<Vec<(&DocumentId, &Arc<Fields>)>> {
        let dictionary = self.dictionaries.get(field)?;
        let postings = values.iter().filter_map(|value| dictionary.get(&value.to_lowercase()));
        let keys: BTreeSet<&String> = postings.flatten().collect();
        let entries = keys.into_iter().filter_map(|key| self.buckets[self.bucket_of(key)].get(key));
        Some(entries.filter_map(|entry| Some((&entry.id, entry.fields.as_ref()?))).collect())
    }

    /// How many documents [`Self::look_up`] finds at most.
    #[must_use]
    pub fn frequency(&self, field: &str, values: &[String]) -> Option<usize> {
        let dictionary = self.dictionaries.get(field)?;
        Some(values.iter().filter_map(|value| dictionary.get(&value.to_lowercase())).map(BTreeSet::len).sum())
    }

    fn set(&mut self, id: DocumentId, fields: Option<Arc<Fields>>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let timestamp_us = u64::try_from(now).unwrap_or(u64::MAX).max(self.last_timestamp_us + 1);
        self.last_timestamp_us = timestamp_us;
        let key = id.to_string();
        let bucket = self.bucket_of(&key);
        let count = self.counts.entry(id.document_type.clone()).or_default();
        *count += usize::from(fields.is_some());
        let entry = Entry { id, timestamp_us, fields: fields.clone() };
        let before = self.buckets[bucket].insert(key.clone(), entry).and_then(|before| before.fields);
        *count -= usize::from(before.is_some());
        for (field, dictionary) in &mut self.dictionaries {
            for value in strings(before.as_deref(), field) {
                if let Some(ids) = dictionary.get_mut(&value) {
                    ids.remove(&key);
                }
            }
            for value in strings(fields.as_deref(), field) {
                dictionary.entry(value).or_default().insert(key.clone());
            }
        }
    }

    fn bucket_of(&self, key: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let buckets = u64::try_from(self.buckets.len()).expect("few buckets");
        usize::try_from(hasher.finish() % buckets).expect("below the number of buckets")
    }
}

/// The strings in a field, in lower case.
fn strings(fields: Option<&Fields>, field: &str) -> Vec<String> {
    let lower =
        |value: &FieldValue| if let FieldValue::String(text) = value { Some(text.to_lowercase()) } else { None };
    match fields.and_then(|fields| fields.get(field)) {
        Some(FieldValue::Array(values)) => values.iter().filter_map(lower).collect(),
        Some(value) => lower(value).into_iter().collect(),
        None => Vec::new(),
    }
}
