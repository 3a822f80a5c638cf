//! The extractor's plain text, with an account of what its fonts could not name.
//!
//! A font draws glyphs by number; without a mapping to Unicode the extractor gives nothing, or U+0000, for a character.
//! A few such characters are ornaments, but when most of a document is lost its remains must not pass for its text.

use pdf_extract::{MediaBox, OutputDev, OutputError, PlainTextOutput, Transform};

/// Characters drawn by the pages read so far.
#[derive(Default)]
pub(super) struct Characters {
    drawn: u64,
    lost: u64,
}

impl Characters {
    pub(super) fn are_mostly_lost(&self) -> bool {
        self.lost * 2 > self.drawn
    }
}

/// Writes one page and counts its characters.
pub(super) struct ReadableText<'t> {
    inner: PlainTextOutput<&'t mut String>,
    characters: &'t mut Characters,
}

impl<'t> ReadableText<'t> {
    pub(super) fn new(text: &'t mut String, characters: &'t mut Characters) -> Self {
        Self { inner: PlainTextOutput::new(text), characters }
    }
}

impl OutputDev for ReadableText<'_> {
    fn begin_page(
        &mut self,
        number: u32,
        media_box: &MediaBox,
        art_box: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        self.inner.begin_page(number, media_box, art_box)
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        self.inner.end_page()
    }

    fn output_character(
        &mut self,
        position: &Transform,
        width: f64,
        spacing: f64,
        font_size: f64,
        character: &str,
    ) -> Result<(), OutputError> {
        let readable = if character == "\0" { "" } else { character };
        self.characters.drawn += 1;
        self.characters.lost += u64::from(readable.is_empty());
        self.inner.output_character(position, width, spacing, font_size, readable)
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.inner.begin_word()
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        self.inner.end_word()
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        self.inner.end_line()
    }
}
