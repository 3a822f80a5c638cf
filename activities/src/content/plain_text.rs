//! Text and settings files: the text itself, stripped.

use super::utf8;

/// The text without white space at both ends; `None` when nothing is left.
pub(super) fn convert(bytes: &[u8]) -> Option<String> {
    let text = utf8::decode_ignoring_errors(bytes);
    let stripped = utf8::strip(&text);
    (!stripped.is_empty()).then(|| stripped.to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"\n  # Title\n\n- item \xe2\x9c\x93\n", Some("# Title\n\n- item \u{2713}"))]
    #[case(b"latin \xe9 1", Some("latin  1"))]
    #[case(b" \t\r\n\x1c", None)]
    #[case(b"\xff\xfe\xff", None)]
    #[case(b"", None)]
    fn keeps_the_text_and_strips_its_ends(#[case] bytes: &[u8], #[case] expected: Option<&str>) {
        assert_eq!(convert(bytes).as_deref(), expected);
    }
}
