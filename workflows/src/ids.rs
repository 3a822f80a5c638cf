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

/// Id of the workflow that removes one slot.
#[must_use]
pub fn retire_workflow_id(slot_id: &str) -> String {
    format!("retire/{slot_id}")
}
