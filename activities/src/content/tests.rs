//! What holds for every converter. Sample files below `samples/` are genuine documents written by the libraries that
//! `samples/make.py` names.

use std::fmt::Write as _;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const EXTENSIONS: [&str; 10] = ["txt", "py", "html", "csv", "json", "xml", "xlsx", "docx", "pptx", "pdf"];

const SAMPLES: [(&str, &[u8]); 4] = [
    ("a.docx", include_bytes!("samples/sample.docx")),
    ("a.xlsx", include_bytes!("samples/sample.xlsx")),
    ("a.pptx", include_bytes!("samples/sample.pptx")),
    ("a.pdf", include_bytes!("samples/sample.pdf")),
];

#[rstest]
#[case("notes.TXT", Some(Format::PlainText))]
#[case("archive.tar.md", Some(Format::PlainText))]
#[case("dir.csv/page.Htm", Some(Format::Html))]
#[case("0b7f-report.v2.Docx", Some(Format::Docx))]
#[case("main.tfvars", Some(Format::Code))]
#[case("picture.jpeg", None)]
#[case("old.doc", None)]
#[case("..json", None)]
#[case(".json", None)]
#[case("dir.csv/README", None)]
#[case("trailing.", None)]
#[case("", None)]
fn the_extension_decides(#[case] name: &str, #[case] expected: Option<Format>) {
    assert_eq!(Format::of(name), expected);
    assert_eq!(is_code(name), expected == Some(Format::Code));
}

#[test]
fn every_code_extension_is_code() {
    for extension in CODE_EXTENSIONS {
        assert!(is_code(&format!("file{extension}")), "{extension}");
    }
    assert!(!is_code("file.md"));
}

#[rstest]
#[case("scan.PNG", ".png")]
#[case("Makefile", "")]
#[case("trailing.", ".")]
fn files_without_converter_are_named(#[case] name: &str, #[case] extension: &str) {
    let error = convert(name, b"bytes").unwrap_err();
    assert_eq!(error, ContentError::Unsupported { extension: extension.to_owned() });
    assert_eq!(error.gap(), "content_unsupported");
}

#[test]
fn a_file_over_the_limit_is_refused() {
    let bytes = vec![b'x'; usize::try_from(limits::INPUT_BYTES).unwrap() + 1];
    let error = convert("a.txt", &bytes).unwrap_err();
    assert_eq!(error.to_string(), "text file over a limit: more than 209715200 bytes");
}

#[rstest]
#[case("a.docx")]
#[case("a.xlsx")]
#[case("a.pptx")]
#[case("a.pdf")]
fn a_file_of_another_format_is_malformed(#[case] name: &str) {
    for bytes in [&b""[..], b"plain words", b"PK\x03\x04", b"%PDF-1.7\n"] {
        let result = convert(name, bytes);
        assert!(matches!(result, Err(ContentError::Malformed { .. })), "{name} {bytes:?}: {result:?}");
    }
}

#[test]
fn a_panic_of_a_parser_is_an_error() {
    let result = guarded::<()>(Format::Pdf, || panic!("on purpose, to be caught"));
    assert!(matches!(result, Err(ContentError::Malformed { format: Format::Pdf, .. })));
}

#[test]
fn messages_do_not_hold_words_of_the_document() {
    let mut messages = String::new();
    for (name, sample) in SAMPLES {
        if let Err(error) = convert(name, &sample[..sample.len() / 2]) {
            writeln!(messages, "{error}").unwrap();
        }
    }
    assert!(!messages.is_empty());
    assert!(!messages.contains("Quarterly"), "{messages}");
}

proptest! {
    /// `convert` returns whatever the bytes; a panic would fail the test.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2048), which in 0..EXTENSIONS.len()) {
        let text = convert(&format!("a.{}", EXTENSIONS[which]), &bytes);
        prop_assert!(!matches!(text, Ok(Some(text)) if text.trim().is_empty()));
    }

    /// Text that looks like markup reaches deeper than random bytes.
    #[test]
    fn any_markup_is_survived(text in "[<>/a-c&;\"'=\\[\\]{}:,|!\\-# \n]{0,200}", which in 0..EXTENSIONS.len()) {
        let text = convert(&format!("a.{}", EXTENSIONS[which]), text.as_bytes());
        prop_assert!(!matches!(text, Ok(Some(text)) if text.trim().is_empty()));
    }

    /// Genuine files with some bytes changed and the end cut off.
    #[test]
    fn damaged_files_are_survived(
        which in 0..SAMPLES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let (name, sample) = SAMPLES[which];
        let mut bytes = sample.to_vec();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let text = convert(name, &bytes);
        prop_assert!(!matches!(text, Ok(Some(text)) if text.trim().is_empty()));
    }
}
