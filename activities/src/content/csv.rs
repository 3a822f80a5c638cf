//! Comma-separated values to one Markdown table, the first record being the header.
//!
//! Read twice: once for the width of the widest record, once to write. So no copy of the cells is held.

use super::output::Output;
use super::table::Table;
use super::{ContentError, Format, limits, utf8};

/// The table; `None` when no record has a cell with text.
pub(super) fn convert(bytes: &[u8]) -> Result<Option<String>, ContentError> {
    let text = utf8::decode_ignoring_errors(bytes);
    let text = utf8::without_byte_order_mark(&text);

    let (mut width, mut cells, mut has_text) = (0, 0, false);
    let mut record = ::csv::StringRecord::new();
    let mut reader = reader(text);
    while reader.read_record(&mut record).map_err(|error| ContentError::malformed(Format::Csv, error))? {
        width = width.max(record.len());
        cells += record.len() as u64;
        has_text |= record.iter().any(|cell| !utf8::strip(cell).is_empty());
        if cells > limits::TABLE_CELLS {
            return Err(ContentError::TooLarge { format: Format::Csv, what: "cells", limit: limits::TABLE_CELLS });
        }
    }
    if !has_text {
        return Ok(None);
    }

    let mut output = Output::new(Format::Csv);
    let mut table = Table::new(width);
    let mut reader = self::reader(text);
    while reader.read_record(&mut record).map_err(|error| ContentError::malformed(Format::Csv, error))? {
        table.row(&mut output, &record)?;
    }
    Ok(output.finish())
}

fn reader(text: &str) -> ::csv::Reader<&[u8]> {
    ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        b"\xef\xbb\xbfname,note\r\nAnn,\"says \"\"hi\"\", twice\"\r\nBob,\"two\nlines | pipe\"\r\n",
        Some("| name | note |\n| --- | --- |\n| Ann | says \"hi\", twice |\n| Bob | two<br>lines \\| pipe |")
    )]
    #[case(b"a\n1,2,3\n", Some("| a | | |\n| --- | --- | --- |\n| 1 | 2 | 3 |"))]
    #[case(b"caf\xe9,x\n", Some("| caf | x |\n| --- | --- |"))]
    #[case(b",,\n\n , \n", None)]
    #[case(b"", None)]
    fn records_become_rows(#[case] bytes: &[u8], #[case] expected: Option<&str>) {
        assert_eq!(convert(bytes).unwrap().as_deref(), expected);
    }

    #[test]
    fn padding_cannot_blow_up_the_text() {
        let mut bytes = vec![b','; 100_000];
        bytes.extend_from_slice(&b"\nx".repeat(10_000));
        assert!(matches!(convert(&bytes), Err(ContentError::TooLarge { what: "bytes of text", .. })));
    }

    #[test]
    fn too_many_cells_are_refused() {
        let bytes = vec![b','; usize::try_from(limits::TABLE_CELLS).unwrap()];
        assert!(matches!(convert(&bytes), Err(ContentError::TooLarge { what: "cells", .. })));
    }
}
