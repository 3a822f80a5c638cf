//! The dense vectors of a batch: copied where a donor holds the text, embedded where none does.

use super::donors::Donors;
use crate::destinations::EntityRef;
use crate::embedding::{EmbedOutcome, Embedder};
use crate::error::{Error, ErrorKind, Result};

#[cfg(test)]
mod tests;

/// A chunk that lacks its vector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) entity: &'a EntityRef,
    /// Content hash of the entity.
    pub(super) content_hash: &'a str,
    pub(super) text: &'a str,
}

/// Where the vectors of a batch came from.
pub(super) struct Vectors {
    /// One per chunk, in order.
    pub(super) outcomes: Vec<EmbedOutcome>,
    /// How many the embedder made.
    pub(super) embedded: u64,
    /// How many a donor had.
    pub(super) reused: u64,
}

/// A vector, or the reason why there is none, for each chunk of the batch.
///
/// # Errors
///
/// A failure of the embedder as a whole. Donors never fail a batch.
pub(super) async fn fill(embedder: &dyn Embedder, donors: &mut Donors, wanted: &[Wanted<'_>]) -> Result<Vectors> {
    let copied = donors.copy(wanted, embedder.dimensions()).await;
    let missing: Vec<String> = wanted
        .iter()
        .zip(&copied)
        .filter(|(_, vector)| vector.is_none())
        .map(|(wanted, _)| wanted.text.to_owned())
        .collect();
    let made = if missing.is_empty() { Vec::new() } else { embedder.embed(&missing).await? };
    if made.len() != missing.len() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("the embedder answered {} vectors for {} texts", made.len(), missing.len()),
        ));
    }
    let embedded = made.iter().filter(|outcome| outcome.is_ok()).count() as u64;
    let reused = (wanted.len() - missing.len()) as u64;
    let mut made = made.into_iter();
    let outcomes = copied.into_iter().filter_map(|vector| vector.map(Ok).or_else(|| made.next())).collect();
    Ok(Vectors { outcomes, embedded, reused })
}
