//! What a workflow carries for people who find it in Temporal: where else its operation can be looked at and steered.

use temporalio_common::MemoValue;
use temporalio_workflow::WorkflowContext;

/// The operators' guide, in the repository.
const GUIDE: &str = "deploy/OPERATORS.md";

/// Notes the operation: its id, the command that shows it, its path in the API, and the guide.
pub(crate) fn link<W: 'static>(ctx: &WorkflowContext<W>, operation_id: &str) {
    note(
        ctx,
        [
            ("operation", operation_id.to_owned()),
            ("terminal", format!("syncmux operations show {operation_id}")),
            ("api", format!("/operations/{operation_id}")),
            ("guide", GUIDE.to_owned()),
        ],
    );
}

/// The same for a switch of a collection, which is an operation of each of its syncs.
pub(crate) fn link_collection<W: 'static>(ctx: &WorkflowContext<W>, collection_id: &str) {
    note(
        ctx,
        [
            ("collection", collection_id.to_owned()),
            ("terminal", format!("syncmux operations list --collection {collection_id}")),
            ("api", format!("/operations?collection_id={collection_id}")),
            ("guide", GUIDE.to_owned()),
        ],
    );
}

fn note<W: 'static>(ctx: &WorkflowContext<W>, notes: [(&'static str, String); 4]) {
    let notes = notes.map(|(name, words)| (name, Some(MemoValue::new(words))));
    // Texts always encode.
    if let Err(error) = ctx.upsert_memo(notes)
        && !ctx.is_replaying()
    {
        tracing::warn!(%error, "the memo was not written");
    }
}
