//! HTML to Markdown by the library whose Python binding the platform uses, with that library's defaults.
//!
//! Bodies of e-mails are stored as HTML files, so this is the converter of e-mail too.

use html_to_markdown_rs::{WarningKind, convert as to_markdown};

use super::output::Output;
use super::{ContentError, Format, limits, utf8};

/// Elements nested deeper than this are cut off by the library (its documented ceiling).
const LIBRARY_DEPTH: u64 = 1024;

/// The Markdown; `None` when the page shows no text.
pub(super) fn convert(bytes: &[u8]) -> Result<Option<String>, ContentError> {
    if bytes.len() as u64 > limits::HTML_BYTES {
        return Err(ContentError::TooLarge { format: Format::Html, what: "bytes", limit: limits::HTML_BYTES });
    }
    let text = utf8::decode_ignoring_errors(bytes);
    let text = utf8::without_byte_order_mark(&text);
    if utf8::strip(text).is_empty() {
        return Ok(None);
    }
    let result = to_markdown(text, None).map_err(|error| ContentError::malformed(Format::Html, error))?;
    if result.warnings.iter().any(|warning| matches!(warning.kind, WarningKind::DepthLimitExceeded)) {
        return Err(ContentError::TooLarge { format: Format::Html, what: "nested elements", limit: LIBRARY_DEPTH });
    }
    let mut output = Output::new(Format::Html);
    output.push(result.content.as_deref().unwrap_or(""))?;
    Ok(output.finish())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const EMAIL: &str = "<html><head><style>p {color: red}</style></head><body><h1>Quarterly report</h1>\
        <p>Dear <b>Ann</b>,<br>see the <a href=\"https://example.org/r\">report</a>.</p>\
        <ul><li>first</li><li>second</li></ul>\
        <table><tr><th>Region</th><th>Sales</th></tr><tr><td>North</td><td>12</td></tr></table>\
        <script>alert(1)</script></body></html>";

    #[test]
    fn a_page_becomes_markdown() {
        let expected = "# Quarterly report\n\nDear **Ann**,  \nsee the [report](https://example.org/r).\n\n\
            - first\n- second\n\n| Region | Sales |\n| ------ | ----- |\n| North  | 12    |";
        assert_eq!(convert(EMAIL.as_bytes()).unwrap().as_deref(), Some(expected));
    }

    #[rstest]
    #[case(b"<html><head><title>T</title></head><body><p>x</p></body></html>", Some("---\ntitle: T\n---\n\nx"))]
    #[case(b"plain words", Some("plain words"))]
    #[case(b"<p>caf\xe9</p>", Some("caf"))]
    #[case(b"<p>never closed <b>bold", Some("never closed **bold**"))]
    #[case(b"<p> </p><script>x()</script>", None)]
    #[case(b" \n ", None)]
    fn odd_pages(#[case] bytes: &[u8], #[case] expected: Option<&str>) {
        assert_eq!(convert(bytes).unwrap().as_deref(), expected);
    }

    #[test]
    fn text_cut_off_by_nesting_is_an_error() {
        let deep = format!("{}deep text{}", "<div>".repeat(20_000), "</div>".repeat(20_000));
        assert!(matches!(convert(deep.as_bytes()), Err(ContentError::TooLarge { what: "nested elements", .. })));
    }
}
