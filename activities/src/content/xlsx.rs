//! Excel workbooks to one heading and one Markdown table for each sheet.
//!
//! Cells are streamed: a sheet whose only cells are its first and last would need gigabytes as a rectangle. Rows and
//! columns without any text are left out. A formula shows the value stored with it, or itself when no value is stored.
//! Hidden sheets are included. Text of charts and comments is not.

use std::collections::BTreeMap;
use std::io::Cursor;

use calamine::{DataRef, ExcelDateTime, Reader, SheetType, Xlsx, XlsxError};

use super::office::archive::Archive;
use super::output::Output;
use super::table::Table;
use super::{ContentError, Format, limits};

/// The Markdown; `None` when no sheet has a cell with text.
pub(super) fn convert(bytes: &[u8]) -> Result<Option<String>, ContentError> {
    Archive::open(bytes, Format::Xlsx)?.measure()?;
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(malformed)?;
    let sheets: Vec<String> = workbook
        .sheets_metadata()
        .iter()
        .filter(|sheet| sheet.typ == SheetType::WorkSheet)
        .map(|sheet| sheet.name.clone())
        .collect();

    let mut output = Output::new(Format::Xlsx);
    let mut cells_left = limits::TABLE_CELLS;
    for name in sheets {
        let rows = rows(&mut workbook, &name, &mut cells_left)?;
        write_sheet(&mut output, &name, &rows)?;
    }
    Ok(output.finish())
}

/// Cells with text by row, then by column.
type Rows = BTreeMap<u32, BTreeMap<u32, String>>;

fn rows(workbook: &mut Xlsx<Cursor<&[u8]>>, sheet: &str, cells_left: &mut u64) -> Result<Rows, ContentError> {
    let mut reader = workbook.worksheet_cells_reader(sheet).map_err(malformed)?;
    let mut rows = Rows::new();
    while let Some(cell) = reader.next_cell_with_formula().map_err(malformed)? {
        *cells_left = cells_left.checked_sub(1).ok_or(ContentError::TooLarge {
            format: Format::Xlsx,
            what: "cells",
            limit: limits::TABLE_CELLS,
        })?;
        let text = match (&cell.value, cell.formula) {
            (DataRef::Empty, Some(formula)) => format!("={formula}"),
            (value, _) => cell_text(value),
        };
        if !text.trim().is_empty() {
            let (row, column) = cell.pos;
            rows.entry(row).or_default().insert(column, text);
        }
    }
    Ok(rows)
}

fn write_sheet(output: &mut Output, name: &str, rows: &Rows) -> Result<(), ContentError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut columns: Vec<u32> = rows.values().flat_map(|row| row.keys().copied()).collect();
    columns.sort_unstable();
    columns.dedup();

    output.blank_line()?;
    output.push("## Sheet: ")?;
    output.push(name)?;
    output.push("\n\n")?;
    let mut table = Table::new(columns.len());
    for row in rows.values() {
        let cells = columns.iter().map(|column| row.get(column).map_or("", String::as_str));
        table.row(output, cells)?;
    }
    Ok(())
}

fn cell_text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        DataRef::DateTime(value) => date_time_text(value),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

/// `2026-03-01`, `2026-03-01 14:30:00`, a time of day alone for serials below one day, or a duration in hours.
fn date_time_text(value: &ExcelDateTime) -> String {
    if value.is_duration() {
        // Serials are days; the value is bounded by what fits a cell's number, and `as` saturates beyond that.
        let seconds = (value.as_f64() * 86_400.0).round() as i64;
        let sign = if seconds < 0 { "-" } else { "" };
        let seconds = seconds.unsigned_abs();
        return format!("{sign}{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    let (year, month, day, hour, minute, second, milli) = value.to_ymd_hms_milli();
    let date = format!("{year:04}-{month:02}-{day:02}");
    let mut time = format!("{hour:02}:{minute:02}:{second:02}");
    if milli != 0 {
        time.push_str(&format!(".{milli:03}"));
    }
    match (value.as_f64(), time.as_str()) {
        (serial, _) if (0.0..1.0).contains(&serial) => time,
        (_, "00:00:00") => date,
        _ => format!("{date} {time}"),
    }
}

fn malformed(error: XlsxError) -> ContentError {
    match error {
        XlsxError::Password => ContentError::PasswordProtected { format: Format::Xlsx },
        other => ContentError::malformed(Format::Xlsx, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with openpyxl 3.1.5; see `samples/make.py`.
    const SAMPLE: &[u8] = include_bytes!("samples/sample.xlsx");
    /// A sheet with cells in its first and last corner, and one without cells.
    const CORNERS: &[u8] = include_bytes!("samples/corners.xlsx");
    const EMPTY: &[u8] = include_bytes!("samples/empty.xlsx");

    #[test]
    fn sheets_become_tables() {
        let expected = "## Sheet: Sales\n\n\
            | Region | Units | Price | Since | Open | Note |\n| --- | --- | --- | --- | --- | --- |\n\
            | North | 12 | 9.5 | 2026-03-01 | TRUE | a\\|b |\n\
            | South | 7 | 0.1 | 2026-03-01 14:30:00 | FALSE | two<br>lines |\n\
            | | =SUM(B2:B3) | | 08:15:00 | 30:05:00 | |\n\n\
            ## Sheet: Hidden & more\n\n| caf\u{e9} |\n| --- |";
        assert_eq!(convert(SAMPLE).unwrap().as_deref(), Some(expected));
    }

    #[test]
    fn far_corners_cost_nothing() {
        let expected = "## Sheet: Corners\n\n| first | |\n| --- | --- |\n| | last |";
        assert_eq!(convert(CORNERS).unwrap().as_deref(), Some(expected));
    }

    #[test]
    fn a_workbook_without_cells_has_no_text() {
        assert_eq!(convert(EMPTY).unwrap(), None);
    }

    #[test]
    fn a_cut_file_is_malformed() {
        for length in [0, 4, SAMPLE.len() / 2, SAMPLE.len() - 1] {
            let result = convert(&SAMPLE[..length]);
            assert!(matches!(result, Err(ContentError::Malformed { .. })), "{length}: {result:?}");
        }
    }
}
