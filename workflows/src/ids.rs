//! Workflow ids. One id per thing that must not run twice at a time; Temporal then is the lock.

/// Id of the workflow that fills one destination of one sync.
#[must_use]
pub fn fork_workflow_id(sync_id: &str, destination_connection_id: &str) -> String {
    format!("fork/{sync_id}/{destination_connection_id}")
}

/// Id of the workflow that fills one destination of every sync of a collection.
#[must_use]
pub fn fork_collection_workflow_id(collection_id: &str, destination_connection_id: &str) -> String {
    format!("fork/collection/{collection_id}/{destination_connection_id}")
}

/// Id of the workflow that changes the roles of one sync.
#[must_use]
pub fn switch_workflow_id(sync_id: &str) -> String {
    format!("switch/{sync_id}")
}

/// Id of the workflow that keeps the slots of one sync caught up.
#[must_use]
pub fn follow_workflow_id(sync_id: &str) -> String {
    format!("follow/{sync_id}")
}

/// Id of the workflow that changes the roles of all syncs of a collection. One of a single sync meets it at the fence.
#[must_use]
pub fn collection_switch_workflow_id(collection_id: &str) -> String {
    format!("switch/collection/{collection_id}")
}

/// Id of the workflow that removes one slot.
#[must_use]
pub fn retire_workflow_id(slot_id: &str) -> String {
    format!("retire/{slot_id}")
}

/// Id of the workflow that makes the platform pull everything of one sync again.
#[must_use]
pub fn resync_workflow_id(sync_id: &str) -> String {
    format!("resync/{sync_id}")
}
