//! What the content cluster holds: documents and tombstones, in buckets.

use std::collections::BTreeMap;
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
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(buckets: usize) -> Self {
        Self { buckets: vec![BTreeMap::new(); buckets.max(1)], last_timestamp_us: 0 }
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

    fn set(&mut self, id: DocumentId, fields: Option<Arc<Fields>>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let timestamp_us = u64::try_from(now).unwrap_or(u64::MAX).max(self.last_timestamp_us + 1);
        self.last_timestamp_us = timestamp_us;
        let key = id.to_string();
        let bucket = self.bucket_of(&key);
        self.buckets[bucket].insert(key, Entry { id, timestamp_us, fields });
    }

    fn bucket_of(&self, key: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let buckets = u64::try_from(self.buckets.len()).expect("few buckets");
        usize::try_from(hasher.finish() % buckets).expect("below the number of buckets")
    }
}
