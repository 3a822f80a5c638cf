//! Searches a slot the way a reader would: the question is embedded as the slot's texts were.

use crate::context::Context;
use crate::database::SlotScope;
use crate::destinations::{Hit, Query, SearchMode};
use crate::error::{Error, ErrorKind, Result};
use crate::replay::OpenSlot;
use crate::sparse;

/// The best chunks of a slot for a question, by dense and keyword search fused.
pub(crate) async fn search(context: &Context, scope: SlotScope, question: &str, limit: u32) -> Result<Vec<Hit>> {
    let slot = OpenSlot::open_scope(context, scope).await?;
    let vectors = slot.embedder.embed(&[question.to_owned()]).await?;
    let dense = match vectors.into_iter().next() {
        Some(Ok(dense)) => dense,
        Some(Err(failure)) => return Err(Error::new(ErrorKind::InvalidInput, format!("the question: {failure}"))),
        None => return Err(Error::new(ErrorKind::Internal, "the embedder answered no vector for the question")),
    };
    let query = Query {
        text: question.to_owned(),
        dense,
        sparse: sparse::query_vector(question),
        mode: SearchMode::Hybrid,
        limit,
    };
    slot.destination.search(&query).await
}
