//! Counts cl100k_base tokens without ever spending more than linear time on it.
//!
//! Text that spells a special token, such as `<|endoftext|>`, is counted as the ordinary text it is. That never counts
//! less than treating it as one special token would, so the limits hold for servers of either habit.

use text_splitter::ChunkSizer;
use tiktoken_rs::{CoreBPE, cl100k_base_singleton};

/// A text with more bytes than this per allowed token is called too long without being tokenised. Prose has about 4
/// bytes per token and only long runs of one character exceed 16, so this only makes chunks of such runs smaller.
pub(super) const MAX_BYTES_PER_TOKEN: usize = 16;

/// Longest text given to the tokeniser at once: its regular expression backtracks over runs of white space, with a
/// limit far above this size.
const MAX_BYTES_AT_ONCE: usize = super::ABSOLUTE_MAX_TOKENS * MAX_BYTES_PER_TOKEN;

/// Number of cl100k_base tokens of `text`.
///
/// Exact up to 128 KiB, which is more than any chunk. A longer text is counted in pieces of that size, which can add
/// a token or two per piece.
#[must_use]
pub fn count_tokens(text: &str) -> usize {
    let bpe: &CoreBPE = cl100k_base_singleton();
    let mut rest = text;
    let mut count = 0;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(MAX_BYTES_AT_ONCE));
        count += bpe.count_ordinary(piece);
        rest = tail;
    }
    count
}

/// Whether `text` may be one chunk.
pub(super) fn fits(text: &str, max_tokens: usize) -> bool {
    // A token is at least one byte.
    text.len() <= max_tokens || (text.len() <= max_tokens * MAX_BYTES_PER_TOKEN && count_tokens(text) <= max_tokens)
}

/// Sizes candidates for the splitters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cl100k {
    max_tokens: usize,
}

impl Cl100k {
    pub(super) fn new(max_tokens: usize) -> Self {
        Self { max_tokens }
    }
}

impl ChunkSizer for Cl100k {
    fn size(&self, chunk: &str) -> usize {
        if chunk.len() > self.max_tokens * MAX_BYTES_PER_TOKEN { self.max_tokens + 1 } else { count_tokens(chunk) }
    }
}
