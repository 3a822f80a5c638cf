//! Word documents (ECMA-376 part 1, WordprocessingML) to Markdown, in document order.
//!
//! Kept: paragraphs, headings by style or outline level, lists, tables (nested ones as text of their cell), text of
//! links, text boxes, inserted revisions, footnotes and endnotes. Left out: deleted and moved-away revisions, field
//! instructions, comments, and page headers and footers, which repeat on every page.
//!
//! Start at [`convert`]; [`Writer::blocks`] walks the body.

mod numbering;
mod styles;

use numbering::Numbering;
use styles::Styles;

use super::office::archive::Archive;
use super::office::relationships::{Relationships, main_part};
use super::office::xml_tree::{self, Element};
use super::output::Output;
use super::{ContentError, Format, limits, table};

/// The Markdown; `None` when the document has no text.
pub(super) fn convert(bytes: &[u8]) -> Result<Option<String>, ContentError> {
    let mut archive = Archive::open(bytes, Format::Docx)?;
    let main = main_part(&mut archive, "word/document.xml")?;
    let document = xml_tree::parse(&archive.text(&main)?, Format::Docx)?;
    let body =
        document.child("body").ok_or_else(|| ContentError::malformed(Format::Docx, "document without a body"))?;

    let relationships = Relationships::of(&main, &mut archive)?;
    let styles = optional_part(&mut archive, relationships.by_kind("styles"))?;
    let numbering = optional_part(&mut archive, relationships.by_kind("numbering"))?;
    let mut writer = Writer {
        output: Output::new(Format::Docx),
        styles: styles.as_ref().map(Styles::read).unwrap_or_default(),
        numbering: numbering.as_ref().map(Numbering::read).unwrap_or_default(),
        after_list_item: false,
        cells_left: limits::TABLE_CELLS,
    };
    writer.blocks(body)?;
    for (kind, note) in [("footnotes", "footnote"), ("endnotes", "endnote")] {
        if let Some(notes) = optional_part(&mut archive, relationships.by_kind(kind))? {
            writer.notes(&notes, note)?;
        }
    }
    Ok(writer.output.finish())
}

fn optional_part(archive: &mut Archive<'_>, name: Option<&str>) -> Result<Option<Element>, ContentError> {
    let Some(name) = name else { return Ok(None) };
    let Some(xml) = archive.optional_text(name)? else { return Ok(None) };
    xml_tree::parse(&xml, Format::Docx).map(Some)
}

/// Elements whose content is not part of the text a reader sees. `Fallback` repeats what `Choice` beside it says.
fn is_left_out(name: &str) -> bool {
    matches!(
        name,
        "del"
            | "moveFrom"
            | "delText"
            | "instrText"
            | "delInstrText"
            | "pPr"
            | "rPr"
            | "tblPr"
            | "tblGrid"
            | "trPr"
            | "tcPr"
            | "sectPr"
            | "sdtPr"
            | "sdtEndPr"
            | "Fallback"
    )
}

struct Writer {
    output: Output,
    styles: Styles,
    numbering: Numbering,
    after_list_item: bool,
    cells_left: u64,
}

impl Writer {
    /// Writes every paragraph and table below `container`, which may wrap them in content controls and revisions.
    fn blocks(&mut self, container: &Element) -> Result<(), ContentError> {
        for element in container.children() {
            match &*element.name {
                "p" => self.paragraph(element)?,
                "tbl" => self.table(element)?,
                name if is_left_out(name) => {}
                _ => self.blocks(element)?,
            }
        }
        Ok(())
    }

    fn paragraph(&mut self, paragraph: &Element) -> Result<(), ContentError> {
        let (text, boxes) = inline_text(paragraph);
        let text = text.trim();
        if !text.is_empty() {
            let properties = paragraph.child("pPr");
            let style =
                properties.and_then(|properties| properties.child("pStyle")).and_then(|style| style.attribute("val"));
            if let Some(level) = self.styles.heading_level(style, properties) {
                self.output.blank_line()?;
                self.output.push(&"#".repeat(level))?;
                self.output.push(" ")?;
                self.output.push(&text.replace('\n', " "))?;
                self.after_list_item = false;
            } else if let Some(reference) = self.styles.list_reference(style, properties) {
                let marker = self.numbering.marker(&reference);
                if self.after_list_item {
                    self.output.push("\n")?;
                } else {
                    self.output.blank_line()?;
                }
                let indent = "  ".repeat(reference.level);
                self.output.push(&format!("{indent}{marker} "))?;
                self.output.push(&text.replace('\n', &format!("\n{indent}  ")))?;
                self.after_list_item = true;
            } else {
                self.output.blank_line()?;
                self.output.push(text)?;
                self.after_list_item = false;
            }
        }
        boxes.into_iter().try_for_each(|text_box| self.blocks(text_box))
    }

    fn table(&mut self, element: &Element) -> Result<(), ContentError> {
        let rows = self.rows(element)?;
        self.output.blank_line()?;
        self.after_list_item = false;
        table::write(&mut self.output, &rows)
    }

    fn rows(&mut self, table: &Element) -> Result<Vec<Vec<String>>, ContentError> {
        let mut rows = Vec::new();
        for row in unwrapped(table, "tr") {
            if row.descend(&["trPr", "del"]).is_some() {
                continue;
            }
            let mut cells = Vec::new();
            for cell in unwrapped(row, "tc") {
                let continues_above = cell
                    .descend(&["tcPr", "vMerge"])
                    .is_some_and(|merge| merge.attribute("val").is_none_or(|value| value == "continue"));
                cells.push(if continues_above { String::new() } else { self.cell_text(cell)? });
                let span = cell.descend(&["tcPr", "gridSpan"]).and_then(|span| span.attribute("val"));
                let span = span.and_then(|value| value.parse().ok()).unwrap_or(1_u64).max(1);
                self.cells_left = self.cells_left.checked_sub(span).ok_or(ContentError::TooLarge {
                    format: Format::Docx,
                    what: "table cells",
                    limit: limits::TABLE_CELLS,
                })?;
                cells.extend((1..span).map(|_| String::new()));
            }
            rows.push(cells);
        }
        Ok(rows)
    }

    /// Paragraphs of a cell, one a line; rows of a nested table, one a line with its cells separated by semicolons.
    fn cell_text(&mut self, cell: &Element) -> Result<String, ContentError> {
        let mut lines = Vec::new();
        self.cell_lines(cell, &mut lines)?;
        Ok(lines.join("\n"))
    }

    fn cell_lines(&mut self, container: &Element, lines: &mut Vec<String>) -> Result<(), ContentError> {
        for element in container.children() {
            match &*element.name {
                "p" => {
                    let (text, boxes) = inline_text(element);
                    if !text.trim().is_empty() {
                        lines.push(text.trim().to_owned());
                    }
                    boxes.into_iter().try_for_each(|text_box| self.cell_lines(text_box, lines))?;
                }
                "tbl" => {
                    let rows = self.rows(element)?;
                    lines.extend(rows.iter().map(|cells| cells.join("; ")).filter(|line| !line.is_empty()));
                }
                name if is_left_out(name) => {}
                _ => self.cell_lines(element, lines)?,
            }
        }
        Ok(())
    }

    /// Foot- or endnotes as Markdown footnotes, keyed like the references that [`inline_text`] leaves in the text.
    fn notes(&mut self, notes: &Element, kind: &str) -> Result<(), ContentError> {
        for note in notes.children().filter(|element| &*element.name == kind) {
            // Notes with a type are separator lines, not notes.
            let Some(id) = note.attribute("id").filter(|_| note.attribute("type").is_none()) else { continue };
            let text = self.cell_text(note)?;
            if !text.is_empty() {
                self.output.blank_line()?;
                self.output.push(&format!("[^{kind}-{id}]: {text}"))?;
            }
        }
        Ok(())
    }
}

/// Elements of this name below `container`, looking through the wrappers a table may have around its rows and cells.
fn unwrapped<'e>(container: &'e Element, name: &str) -> Vec<&'e Element> {
    let mut found = Vec::new();
    for element in container.children() {
        if &*element.name == name {
            found.push(element);
        } else if !is_left_out(&element.name) {
            found.extend(unwrapped(element, name));
        }
    }
    found
}

/// The text of a paragraph, and the text boxes anchored in it, whose blocks follow the paragraph.
fn inline_text(paragraph: &Element) -> (String, Vec<&Element>) {
    let (mut text, mut boxes) = (String::new(), Vec::new());
    push_inline(paragraph, &mut text, &mut boxes);
    (text, boxes)
}

fn push_inline<'e>(container: &'e Element, text: &mut String, boxes: &mut Vec<&'e Element>) {
    for element in container.children() {
        match &*element.name {
            "t" => text.push_str(&element.text()),
            "tab" | "ptab" => text.push('\t'),
            "br" | "cr" => text.push('\n'),
            "noBreakHyphen" => text.push('-'),
            "footnoteReference" | "endnoteReference" => {
                let kind = element.name.trim_end_matches("Reference");
                if let Some(id) = element.attribute("id") {
                    text.push_str(&format!("[^{kind}-{id}]"));
                }
            }
            "txbxContent" => boxes.push(element),
            name if is_left_out(name) => {}
            _ => push_inline(element, text, boxes),
        }
    }
}

#[cfg(test)]
mod tests;
