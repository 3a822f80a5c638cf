//! Cuts text into chunks that fit an embedding model.
//!
//! Start at [`Chunker`]. Text is cut at the semantic borders of Markdown (which plain text is a case of), code at those
//! of its syntax tree.
//!
//! Invariants kept here:
//! * no chunk has more cl100k_base tokens than the settings allow, and so never more than [`ABSOLUTE_MAX_TOKENS`];
//! * no chunk is empty or only white space;
//! * every other character of the text is in a chunk, in order; without overlap, in exactly one;
//! * equal input gives equal chunks;
//! * time and memory grow with the length of the text, not with its square, whatever the text looks like.

mod grammar;
mod settings;
mod tokens;
mod window;

#[cfg(test)]
mod tests;

use std::ops::Range;

use text_splitter::{ChunkConfig, MarkdownSplitter};

pub use settings::{ABSOLUTE_MAX_TOKENS, ChunkerSettings};
pub use tokens::count_tokens;
use tokens::{Cl100k, MAX_BYTES_PER_TOKEN};

use crate::error::{Error, ErrorKind, Result};

/// Bytes that a splitter sees at once, at least.
const MIN_WINDOW_BYTES: usize = 32 * 1024;

/// A chunk is at most a quarter of a window, so that a window always holds several.
const CHUNKS_PER_WINDOW: usize = 4;

/// Cuts texts by one set of settings. Cheap to share: all methods take `&self`.
#[derive(Debug)]
pub struct Chunker {
    settings: ChunkerSettings,
    markdown: MarkdownSplitter<Cl100k>,
}

/// The chunks of one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunks {
    /// The pieces, in order; none for a text of only white space.
    pub texts: Vec<String>,
    /// A language was given that no grammar is known for; the text was cut as prose. Worth counting.
    pub grammar_missing: bool,
}

impl Chunker {
    /// A chunker for `settings`.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, naming the field, when the settings are out of range.
    pub fn new(settings: ChunkerSettings) -> Result<Self> {
        settings.validate()?;
        Ok(Self { settings, markdown: MarkdownSplitter::new(config(settings)?) })
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> ChunkerSettings {
        self.settings
    }

    /// Cuts `text`. `language` is the file extension of a code file, with or without its dot, and absent for prose.
    ///
    /// # Errors
    ///
    /// `Internal`, when a grammar does not load; that is a mistake of the build, not of the text.
    pub fn chunk(&self, text: &str, language: Option<&str>) -> Result<Chunks> {
        let (spans, grammar_missing) = self.spans(text, language)?;
        Ok(Chunks { texts: spans.into_iter().map(|span| text[span].to_owned()).collect(), grammar_missing })
    }

    /// The byte ranges of the chunks in `text`, and whether a grammar was wanted and missing.
    fn spans(&self, text: &str, language: Option<&str>) -> Result<(Vec<Range<usize>>, bool)> {
        let code = match language {
            Some(extension) => grammar::splitter(extension, config(self.settings)?)?,
            None => None,
        };
        let grammar_missing = language.is_some() && code.is_none();
        let whole = window::trimmed(text);
        if whole.is_empty() {
            return Ok((Vec::new(), grammar_missing));
        }
        if tokens::fits(&text[whole.clone()], self.settings.max_tokens) {
            return Ok((vec![whole], grammar_missing));
        }
        let window_bytes = self.window_bytes();
        let pieces = match code {
            Some(splitter) => window::split(text, window_bytes, |window| splitter.chunk_indices(window).collect()),
            None => window::split(text, window_bytes, |window| self.markdown.chunk_indices(window).collect()),
        };
        let mut spans = Vec::with_capacity(pieces.len());
        for piece in pieces {
            window::push_bounded(text, piece, self.settings.max_tokens, &mut spans);
        }
        Ok((spans, grammar_missing))
    }

    fn window_bytes(&self) -> usize {
        (self.settings.max_tokens * MAX_BYTES_PER_TOKEN * CHUNKS_PER_WINDOW).max(MIN_WINDOW_BYTES)
    }
}

/// How a splitter of `text_splitter` is to size its chunks.
fn config(settings: ChunkerSettings) -> Result<ChunkConfig<Cl100k>> {
    ChunkConfig::new(settings.max_tokens)
        .with_sizer(Cl100k::new(settings.max_tokens))
        .with_overlap(settings.overlap_tokens)
        .map_err(|error| Error::new(ErrorKind::InvalidInput, "chunker.overlap_tokens is too large").with_source(error))
}
