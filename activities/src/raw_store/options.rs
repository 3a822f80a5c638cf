//! Limits of reading.

use std::time::Duration;

/// How much is read of one object, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Largest entity or manifest that is read, in bytes.
    pub max_entity_bytes: u64,
    /// Pauses between attempts to read an object that does not decode. The last one separates the two reads that
    /// have to agree before the object counts as broken, so it should outlast a slow writer.
    pub settle_pauses: [Duration; 3],
}

impl ReadOptions {
    /// Limit of an entity unless told otherwise: 64 MiB.
    pub const DEFAULT_MAX_ENTITY_BYTES: u64 = 64 << 20;
    /// Limit of a blob unless told otherwise: 200 MiB, which is also where the platform stops.
    pub const DEFAULT_MAX_BLOB_BYTES: u64 = 200 << 20;
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            max_entity_bytes: Self::DEFAULT_MAX_ENTITY_BYTES,
            settle_pauses: [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(750)],
        }
    }
}
