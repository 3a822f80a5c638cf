use std::io::{Cursor, Write as _};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// Made with python-docx 1.2.0; see `samples/make.py`.
const SAMPLE: &[u8] = include_bytes!("../samples/sample.docx");

const NAMESPACE: &str = "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"";

/// A document of this body and nothing else.
fn document(body: &str) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("word/document.xml", SimpleFileOptions::default()).unwrap();
    write!(writer, "<w:document {NAMESPACE}><w:body>{body}</w:body></w:document>").unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_document_becomes_markdown() {
    let expected = "# Quarterly report\n\n# Results\n\nSales grew by 12 % in the caf\u{e9} business.\n\n\
        - North\n- Harbour\n1. Plan\n2. Build\n\n## Figures\n\n\
        | Region | Sales |\n| --- | --- |\n| North \\| East | 12<br>(estimate) |\n\nThe end.";
    assert_eq!(convert(SAMPLE).unwrap().as_deref(), Some(expected));
}

#[test]
fn revisions_show_the_final_text() {
    let bytes = document(
        "<w:p><w:r><w:t>price </w:t></w:r><w:del><w:r><w:delText>10</w:delText></w:r></w:del>\
         <w:ins><w:r><w:t>12</w:t></w:r></w:ins><w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom></w:p>\
         <w:tbl><w:tr><w:tc><w:p><w:r><w:t>kept</w:t></w:r></w:p></w:tc></w:tr>\
         <w:tr><w:trPr><w:del/></w:trPr><w:tc><w:p><w:r><w:t>row removed</w:t></w:r></w:p></w:tc></w:tr></w:tbl>",
    );
    assert_eq!(convert(&bytes).unwrap().as_deref(), Some("price 12\n\n| kept |\n| --- |"));
}

#[test]
fn text_boxes_are_taken_once_and_follow_their_paragraph() {
    let bytes = document(
        "<w:p><w:r><w:t>before</w:t><mc:AlternateContent><mc:Choice><w:drawing><w:txbxContent><w:p><w:r><w:t>boxed</w:t>\
         </w:r></w:p></w:txbxContent></w:drawing></mc:Choice><mc:Fallback><w:pict><w:txbxContent><w:p><w:r><w:t>boxed</w:t>\
         </w:r></w:p></w:txbxContent></w:pict></mc:Fallback></mc:AlternateContent><w:t> after</w:t></w:r></w:p>",
    );
    assert_eq!(convert(&bytes).unwrap().as_deref(), Some("before after\n\nboxed"));
}

#[test]
fn merged_cells_keep_the_columns_and_nested_tables_stay_in_their_cell() {
    let cell = |properties: &str, content: &str| format!("<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>");
    let words = |words: &str| format!("<w:p><w:r><w:t>{words}</w:t></w:r></w:p>");
    let nested = format!("<w:tbl><w:tr>{}{}</w:tr></w:tbl>", cell("", &words("x")), cell("", &words("y")));
    let bytes = document(&format!(
        "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}{}</w:tr><w:sdt><w:sdtContent><w:tr>{}{}</w:tr></w:sdtContent></w:sdt></w:tbl>",
        cell("<w:gridSpan w:val=\"2\"/>", &words("wide")),
        cell("<w:vMerge w:val=\"restart\"/>", &words("tall")),
        cell("", &(words("a") + &words("b|c"))),
        cell("", &nested),
        cell("<w:vMerge/>", &words("hidden")),
        cell("", &words("last")),
        cell("", "<w:p/>"),
    ));
    let expected = "| wide | | tall |\n| --- | --- | --- |\n| a<br>b\\|c | x; y | |\n| last | | |";
    assert_eq!(convert(&bytes).unwrap().as_deref(), Some(expected));
}

#[test]
fn runs_keep_tabs_breaks_and_hidden_field_codes_stay_hidden() {
    let bytes = document(
        "<w:p><w:pPr><w:tabs><w:tab w:val=\"left\"/></w:tabs></w:pPr><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/>\
         <w:t xml:space=\"preserve\">c </w:t><w:noBreakHyphen/><w:instrText>PAGE</w:instrText></w:r>\
         <w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p>",
    );
    assert_eq!(convert(&bytes).unwrap().as_deref(), Some("a\tb\nc -link"));
}

#[test]
fn an_empty_document_has_no_text() {
    assert_eq!(convert(&document("<w:p/><w:sectPr/>")).unwrap(), None);
}

#[test]
fn damaged_files_are_malformed() {
    for length in [0, 4, SAMPLE.len() / 2, SAMPLE.len() - 1] {
        let result = convert(&SAMPLE[..length]);
        assert!(matches!(result, Err(ContentError::Malformed { .. })), "{length}: {result:?}");
    }
    let result = convert(&document("<w:p>"));
    assert!(matches!(result, Err(ContentError::Malformed { .. })), "{result:?}");
}

#[test]
fn endless_columns_are_refused() {
    let cell = "<w:tc><w:tcPr><w:gridSpan w:val=\"4294967295\"/></w:tcPr></w:tc>";
    let result = convert(&document(&format!("<w:tbl><w:tr>{cell}</w:tr></w:tbl>")));
    assert!(matches!(result, Err(ContentError::TooLarge { what: "table cells", .. })), "{result:?}");
}
