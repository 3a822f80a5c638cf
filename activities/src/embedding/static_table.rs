//! A static embedding table: one vector per token, averaged over the text and scaled to length 1.
//!
//! The model is `l2_supercat_256` of the Python package `wordllama` (MIT): a safetensors file with one tensor,
//! `embedding.weight`, 32000 rows of 256 half-precision values, and a tokenizer in the JSON of the `tokenizers`
//! library. A vector takes microseconds and no network, and equal texts give equal vectors everywhere.
//!
//! As in wordllama, texts are neither padded nor cut, no special tokens are added, and sums are in single precision.

mod files;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokenizers::Tokenizer;

use super::outcome::checked;
use super::{EmbedFailure, EmbedOutcome, Embedder};
use crate::error::{Error, ErrorKind, Result};

/// The name a profile knows the model by.
pub const MODEL: &str = "wordllama-l2-supercat-256";

/// Length of its vectors.
pub const DIMENSIONS: usize = 256;

/// Fewer texts than this are not worth another thread.
const TEXTS_PER_THREAD: usize = 16;

/// The table in memory, about 32 MB. Clones share it.
#[derive(Clone)]
pub struct StaticTable {
    table: Arc<Table>,
    model: String,
}

struct Table {
    tokenizer: Tokenizer,
    /// The token that stands for what the tokenizer does not know.
    unknown: Option<u32>,
    /// Row after row, [`Self::dimensions`] values each; a row for every id of the tokenizer.
    values: Vec<f32>,
    dimensions: usize,
}

impl StaticTable {
    /// Reads `l2_supercat_256.safetensors` and `l2_supercat_tokenizer_config.json` from `folder`, or from `weights/`
    /// and `tokenizers/` in it. Blocks on files.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, with what to do, when a file is missing, too large or not what it should be.
    pub fn load(folder: &Path) -> Result<Self> {
        let files = files::read(folder)?;
        let table = files.parse(DIMENSIONS)?;
        Ok(Self { table: Arc::new(table), model: format!("{MODEL}@{}", files.digest()) })
    }
}

impl std::fmt::Debug for StaticTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticTable").field("model", &self.model).finish_non_exhaustive()
    }
}

#[async_trait]
impl Embedder for StaticTable {
    fn dimensions(&self) -> usize {
        self.table.dimensions
    }

    /// Name and digest of the files: a changed file is another model.
    fn model(&self) -> &str {
        &self.model
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<EmbedOutcome>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = texts.len().div_ceil(threads).max(TEXTS_PER_THREAD);
        let parts: Vec<_> = texts
            .chunks(share)
            .map(|part| {
                let (table, part) = (Arc::clone(&self.table), part.to_vec());
                tokio::task::spawn_blocking(move || part.iter().map(|text| table.embed(text)).collect::<Vec<_>>())
            })
            .collect();
        let mut outcomes = Vec::with_capacity(texts.len());
        for part in parts {
            outcomes.extend(part.await.map_err(|error| {
                Error::new(ErrorKind::Internal, "embedding with the local table broke off").with_source(error)
            })?);
        }
        Ok(outcomes)
    }
}

impl Table {
    fn embed(&self, text: &str) -> EmbedOutcome {
        if text.trim().is_empty() {
            return Err(EmbedFailure::Blank);
        }
        // The cause would hold the text.
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|_| EmbedFailure::NotTokenised)?;
        let ids = encoding.get_ids();
        if ids.iter().all(|id| Some(*id) == self.unknown) {
            return Err(EmbedFailure::NoKnownToken);
        }
        let mut sum = vec![0.0_f32; self.dimensions];
        for id in ids {
            for (total, value) in sum.iter_mut().zip(self.row(*id)) {
                *total += value;
            }
        }
        // Dividing by the number of tokens first, as an average does, changes only the last bits.
        let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        if norm == 0.0 {
            return Err(EmbedFailure::ZeroVector);
        }
        checked(sum.into_iter().map(|value| value / norm).collect())
    }

    /// The vector of a token; loading made sure that there is one.
    fn row(&self, id: u32) -> &[f32] {
        let start = id as usize * self.dimensions;
        &self.values[start..start + self.dimensions]
    }
}

#[cfg(test)]
mod tests;
