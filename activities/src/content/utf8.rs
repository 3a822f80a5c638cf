//! Bytes to text as Python does it with `errors="ignore"`, and Python's idea of white space.

use std::borrow::Cow;

/// Decodes UTF-8 and drops bytes that are not part of a valid sequence, without a replacement character.
///
/// The result is that of Python's `bytes.decode("utf-8", errors="ignore")`: both follow Unicode in ending an invalid
/// sequence at the first byte that cannot continue it, so the same characters survive. A byte order mark is a
/// character and stays.
pub(super) fn decode_ignoring_errors(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()),
    }
}

/// Python's `str.strip()`: Unicode white space and the four ASCII separators U+001C to U+001F.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

/// The text without a leading byte order mark, for formats in which the mark is not part of the content.
pub(super) fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // The right-hand sides are what Python 3.11 printed for `bytes.decode("utf-8", "ignore")`.
    #[rstest]
    #[case(b"plain", "plain")]
    #[case(b"caf\xc3\xa9", "caf\u{e9}")]
    #[case(b"caf\xe9 noir", "caf noir")]
    #[case(b"a\xe2\x82(b", "a(b")]
    #[case(b"\xf0\x9f\x98x\xf0\x9f\x98\x80", "x\u{1f600}")]
    #[case(b"\xed\xa0\x80surrogate", "surrogate")]
    #[case(b"\xc0\xafoverlong", "overlong")]
    #[case(b"\xf4\x90\x80\x80beyond", "beyond")]
    #[case(b"\xff\xfea\x00b\x00", "a\0b\0")]
    #[case(b"cut \xe2\x82", "cut ")]
    #[case(b"\xef\xbb\xbfmark", "\u{feff}mark")]
    fn invalid_bytes_are_dropped_as_python_drops_them(#[case] bytes: &[u8], #[case] expected: &str) {
        assert_eq!(decode_ignoring_errors(bytes), expected);
    }

    #[rstest]
    #[case("\u{1c}\u{1f}\u{85}\u{a0}\u{2003}\u{3000}x y\r\n\t\u{b}\u{c} ", "x y")]
    #[case("\u{feff} kept \u{200b}", "\u{feff} kept \u{200b}")]
    #[case(" \n", "")]
    fn strips_what_python_strips(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(strip(text), expected);
    }
}
