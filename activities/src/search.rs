//! Searches a slot the way a reader would: the question is embedded as the slot's texts were.

use crate::context::Context;
use crate::database::SlotScope;
use crate::destinations::{Hit, Query, SearchMode};
use crate::embedding::Embedder;
use crate::error::{Error, ErrorKind, Result};
use crate::replay::{Feed, OpenSlot};
use crate::sparse;

/// The best chunks of a slot for a question: by dense and keyword search fused, or by keywords alone where the destination
/// embeds texts itself, so that no vector of ours can be compared with them.
pub(crate) async fn search(context: &Context, scope: SlotScope, question: &str, limit: u32) -> Result<Vec<Hit>> {
    let slot = OpenSlot::open_scope(context, scope).await?;
    let (mode, dense) = match &slot.feed {
        Feed::Chunks { embedder, .. } => (SearchMode::Hybrid, embedded(embedder.as_ref(), question).await?),
        Feed::WholeEntities => (SearchMode::Sparse, Vec::new()),
    };
    let query = Query { text: question.to_owned(), dense, sparse: sparse::query_vector(question), mode, limit };
    slot.destination.search(&query).await
}

async fn embedded(embedder: &dyn Embedder, question: &str) -> Result<Vec<f32>> {
    match embedder.embed(&[question.to_owned()]).await?.into_iter().next() {
        Some(Ok(dense)) => Ok(dense),
        Some(Err(failure)) => Err(Error::new(ErrorKind::InvalidInput, format!("the question: {failure}"))),
        None => Err(Error::new(ErrorKind::Internal, "the embedder answered no vector for the question")),
    }
}
