//! Markdown tables, shared by every converter of tabular content.
//!
//! The first row written is the header, as the platform takes it. Rows are padded to the width given at the start; a
//! pipe in a cell is escaped and a line break becomes `<br>`, so a cell can neither end its column nor its row.

use super::ContentError;
use super::output::Output;

/// Writes the rows of one table.
pub(super) struct Table {
    width: usize,
    rows: usize,
}

impl Table {
    /// A table of `width` columns.
    pub(super) fn new(width: usize) -> Self {
        Self { width, rows: 0 }
    }

    /// Writes one row; the separator follows the first one. Cells beyond the width are a caller's error and ignored.
    pub(super) fn row<'c>(
        &mut self,
        output: &mut Output,
        cells: impl IntoIterator<Item = &'c str>,
    ) -> Result<(), ContentError> {
        let mut cells = cells.into_iter();
        output.push("|")?;
        for _ in 0..self.width {
            output.push(" ")?;
            let cell = cells.next().unwrap_or("").trim();
            if !cell.is_empty() {
                push_escaped(output, cell)?;
                output.push(" ")?;
            }
            output.push("|")?;
        }
        debug_assert!(cells.next().is_none(), "the width is the number of cells of the widest row");
        output.push("\n")?;
        if self.rows == 0 {
            output.push("|")?;
            for _ in 0..self.width {
                output.push(" --- |")?;
            }
            output.push("\n")?;
        }
        self.rows += 1;
        Ok(())
    }
}

fn push_escaped(output: &mut Output, cell: &str) -> Result<(), ContentError> {
    let mut rest = cell;
    while let Some(at) = rest.find(['|', '\n', '\r']) {
        output.push(&rest[..at])?;
        let (escaped, width) = match rest.as_bytes()[at] {
            b'|' => ("\\|", 1),
            b'\r' if rest[at..].starts_with("\r\n") => ("<br>", 2),
            _ => ("<br>", 1),
        };
        output.push(escaped)?;
        rest = &rest[at + width..];
    }
    output.push(rest)
}

/// A whole table at once. Nothing for a table without cells.
pub(super) fn write(output: &mut Output, rows: &[Vec<String>]) -> Result<(), ContentError> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    if width == 0 {
        return Ok(());
    }
    let mut table = Table::new(width);
    for row in rows {
        table.row(output, row.iter().map(String::as_str))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    #[test]
    fn cells_cannot_break_the_table() {
        let rows = [
            vec!["name".to_owned(), "a|b".to_owned()],
            vec!["two\r\nlines\nmore".to_owned()],
            vec![String::new(), " padded ".to_owned()],
        ];
        let mut output = Output::new(Format::Csv);
        write(&mut output, &rows).unwrap();
        assert_eq!(
            output.finish().as_deref(),
            Some("| name | a\\|b |\n| --- | --- |\n| two<br>lines<br>more | |\n| | padded |")
        );
    }

    #[test]
    fn a_table_without_cells_is_nothing() {
        let mut output = Output::new(Format::Csv);
        write(&mut output, &[vec![], vec![]]).unwrap();
        assert_eq!(output.finish(), None);
    }
}
