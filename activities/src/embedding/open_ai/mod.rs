//! Asks a server that speaks the shape of OpenAI's `POST /embeddings`.
//!
//! Texts are grouped into requests by number and tokens, a few requests are in flight at once, and short troubles are
//! waited out here; longer ones are for the caller. A request that the server refuses is halved until the text at
//! fault is alone, after a harmless text has shown that the texts and not the settings are at fault.
//!
//! Start at [`OpenAi`]. `batches` groups, `wire` speaks HTTP and checks answers, `classify` reads failures, `retry`
//! decides on waiting.

mod batches;
mod classify;
mod retry;
mod settings;
mod wire;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use secrecy::SecretString;
use tokio::sync::{OnceCell, Semaphore};

pub use settings::{OpenAiSettings, OpenAiTiming};

use super::{EmbedFailure, EmbedOutcome, Embedder};
use crate::error::{Error, ErrorKind, Result};
use wire::{Answer, Wire};

/// What any server that embeds anything embeds.
const HARMLESS_TEXT: &str = "text";

/// HTTP status of a request that is too large.
const PAYLOAD_TOO_LARGE: u16 = 413;

/// An embedding server. One per worker process and profile, so that its limits hold for all activities together.
#[derive(Debug)]
pub struct OpenAi {
    settings: OpenAiSettings,
    wire: Wire,
    in_flight: Semaphore,
    model: String,
}

/// Whether the server was seen to take a harmless text, during one call of [`Embedder::embed`].
type Proof = OnceCell<()>;

impl OpenAi {
    /// A client for the server. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the settings are out of range or the key cannot be part of an HTTP header.
    pub fn new(settings: OpenAiSettings, key: Option<SecretString>) -> Result<Self> {
        settings.validate()?;
        Ok(Self {
            wire: Wire::new(&settings, key.as_ref())?,
            in_flight: Semaphore::new(settings.concurrency),
            model: format!("{}#{}#{}", settings.endpoint(), settings.model, settings.dimensions),
            settings,
        })
    }

    /// Embeds the texts of one batch, given by their positions.
    async fn embed_batch(
        &self,
        texts: &[String],
        positions: Vec<usize>,
        proof: &Proof,
    ) -> Result<Vec<(usize, EmbedOutcome)>> {
        let mut outcomes = Vec::with_capacity(positions.len());
        let mut pending = vec![positions];
        while let Some(mut part) = pending.pop() {
            let input: Vec<&str> = part.iter().map(|position| texts[*position].as_str()).collect();
            match self.request(&input).await? {
                Answer::Vectors(vectors) => outcomes.extend(part.into_iter().zip(vectors)),
                Answer::Refused(status) => {
                    proof.get_or_try_init(|| self.prove_that_texts_are_taken()).await?;
                    if part.len() > 1 {
                        let second = part.split_off(part.len() / 2);
                        pending.extend([second, part]);
                    } else {
                        let failure = match status {
                            PAYLOAD_TOO_LARGE => EmbedFailure::TooLarge,
                            _ => EmbedFailure::Refused { status },
                        };
                        outcomes.extend(part.into_iter().map(|position| (position, Err(failure))));
                    }
                }
            }
        }
        Ok(outcomes)
    }

    /// Tells a bad text from bad settings, for which the server would refuse every text there is.
    async fn prove_that_texts_are_taken(&self) -> Result<()> {
        match self.request(&[HARMLESS_TEXT]).await? {
            Answer::Vectors(_) => Ok(()),
            Answer::Refused(status) => Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "the embedding server refuses even a harmless text with status {status}: check \
                     embedder.open_ai.model and embedder.open_ai.base_url"
                ),
            )),
        }
    }

    async fn request(&self, input: &[&str]) -> Result<Answer> {
        retry::within_budget(self.settings.timing, || async {
            let _permit = self.in_flight.acquire().await.map_err(|error| {
                Error::new(ErrorKind::Internal, "the limit of requests in flight is gone").with_source(error)
            })?;
            self.wire.embed(input).await
        })
        .await
    }
}

#[async_trait]
impl Embedder for OpenAi {
    fn dimensions(&self) -> usize {
        self.settings.dimensions
    }

    /// Address, model and length: a model of the same name elsewhere may be another one.
    fn model(&self) -> &str {
        &self.model
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<EmbedOutcome>> {
        let batches = batches::plan(texts, self.settings.max_batch_texts, self.settings.max_batch_tokens).await?;
        let proof = Proof::new();
        let mut requests = Vec::with_capacity(batches.len());
        for batch in batches {
            requests.push(self.embed_batch(texts, batch, &proof));
        }
        let answered: Vec<Vec<(usize, EmbedOutcome)>> =
            stream::iter(requests).buffer_unordered(self.settings.concurrency).try_collect().await?;
        // What no batch holds is blank; everything else is overwritten.
        let mut outcomes = vec![Err(EmbedFailure::Blank); texts.len()];
        for (position, outcome) in answered.into_iter().flatten() {
            outcomes[position] = outcome;
        }
        Ok(outcomes)
    }
}
