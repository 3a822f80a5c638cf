//! The text being built, with the bound on its size.

use super::{ContentError, Format, limits, utf8};

/// Text of one file, refused once it is over [`limits::OUTPUT_BYTES`].
pub(super) struct Output {
    format: Format,
    limit: u64,
    text: String,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format, limit: limits::OUTPUT_BYTES, text: String::new() }
    }

    pub(super) fn push(&mut self, part: &str) -> Result<(), ContentError> {
        if (self.text.len() + part.len()) as u64 > self.limit {
            return Err(ContentError::TooLarge { format: self.format, what: "bytes of text", limit: self.limit });
        }
        self.text.push_str(part);
        Ok(())
    }

    /// Ends the current block, so that what follows starts after one blank line. Nothing at the start of the text.
    pub(super) fn blank_line(&mut self) -> Result<(), ContentError> {
        if self.text.is_empty() || self.text.ends_with("\n\n") {
            return Ok(());
        }
        self.push(if self.text.ends_with('\n') { "\n" } else { "\n\n" })
    }

    /// The text without white space at both ends; `None` when nothing is left.
    pub(super) fn finish(self) -> Option<String> {
        let stripped = utf8::strip(&self.text);
        (!stripped.is_empty()).then(|| stripped.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_over_the_limit_is_refused() {
        let mut output = Output { format: Format::Csv, limit: 5, text: String::new() };
        output.push("12345").unwrap();
        let error = output.push("6").unwrap_err();
        assert_eq!(error, ContentError::TooLarge { format: Format::Csv, what: "bytes of text", limit: 5 });
    }

    #[test]
    fn blocks_are_separated_by_one_blank_line() {
        let mut output = Output::new(Format::Docx);
        output.blank_line().unwrap();
        output.push("a").unwrap();
        output.blank_line().unwrap();
        output.blank_line().unwrap();
        output.push("b\n").unwrap();
        output.blank_line().unwrap();
        output.push("c").unwrap();
        assert_eq!(output.finish().as_deref(), Some("a\n\nb\n\nc"));
    }
}
