//! One line of a listing of the raw store.

/// An entity object as a listing shows it, without having read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// File name below `raw/{sync_id}/entities/`, such as `a_b_a7e86136543b.json`.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Changes whenever the object changes: the ETag, or size, modification time in nanoseconds and inode.
    pub token: String,
    /// When it was last modified, in milliseconds since the Unix epoch, as the store says; for people, never for comparison.
    pub modified_ms: i64,
}
