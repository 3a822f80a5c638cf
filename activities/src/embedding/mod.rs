//! Turns chunks into dense vectors.
//!
//! Start at [`Embedder`]; [`EmbedderSettings`] opens the one a profile asks for. [`static_table`] computes on this
//! machine, [`open_ai`] asks a server.
//!
//! Invariants kept here:
//! * an answer has one outcome per text, in the order of the texts;
//! * a vector has the promised length, only finite values, and is not all zeros: a failure never looks like a vector;
//! * a text that cannot be embedded fails alone, with a reason, and the others go on;
//! * texts and keys reach no log and no error message.

pub mod open_ai;
pub mod static_table;

mod outcome;
mod profile;

use async_trait::async_trait;

pub use open_ai::{OpenAi, OpenAiSettings};
pub(crate) use outcome::check;
pub use outcome::{EmbedFailure, EmbedOutcome};
pub use profile::{EmbedderResources, EmbedderSettings};
pub use static_table::StaticTable;

use crate::error::Result;

/// Something that turns texts into vectors. Equal texts give equal vectors, up to what a server makes of them.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// Length of every vector.
    fn dimensions(&self) -> usize;

    /// Identity of the model: vectors made under equal identities may stand for each other.
    fn model(&self) -> &str;

    /// Embeds each text: one outcome per text, in order.
    ///
    /// # Errors
    ///
    /// An error says that the request as a whole failed and that nothing is known about any single text.
    async fn embed(&self, texts: &[String]) -> Result<Vec<EmbedOutcome>>;
}
