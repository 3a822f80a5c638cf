//! An embedder that waits for its lane before it works.

use std::sync::Arc;

use async_trait::async_trait;

use super::Lane;
use crate::embedding::{EmbedOutcome, Embedder};
use crate::error::Result;

/// An embedder in a lane.
pub(crate) struct Paced {
    inner: Arc<dyn Embedder>,
    lane: Arc<Lane>,
}

impl Paced {
    pub(crate) fn new(inner: Arc<dyn Embedder>, lane: Arc<Lane>) -> Self {
        Self { inner, lane }
    }
}

#[async_trait]
impl Embedder for Paced {
    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    fn model(&self) -> &str {
        self.inner.model()
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<EmbedOutcome>> {
        self.lane.embeds(texts.len()).await?;
        self.inner.embed(texts).await
    }
}
