//! PowerPoint presentations (ECMA-376 part 1, PresentationML) to Markdown, slides in the order they are shown.
//!
//! Each slide is a heading with its number and title, then the texts and tables of its shapes in drawing order, then
//! its notes. Hidden slides are included. Left out: charts, diagrams, comments, and placeholders that repeat on every
//! slide (date, footer, number).

use super::office::archive::Archive;
use super::office::relationships::{Relationships, main_part};
use super::office::xml_tree::{self, Element};
use super::output::Output;
use super::{ContentError, Format, limits, table, utf8};

/// The Markdown; `None` when no slide has text.
pub(super) fn convert(bytes: &[u8]) -> Result<Option<String>, ContentError> {
    let mut archive = Archive::open(bytes, Format::Pptx)?;
    let main = main_part(&mut archive, "ppt/presentation.xml")?;
    let presentation = xml_tree::parse(&archive.text(&main)?, Format::Pptx)?;
    let relationships = Relationships::of(&main, &mut archive)?;

    let mut writer = Writer { output: Output::new(Format::Pptx), has_text: false, cells_left: limits::TABLE_CELLS };
    let slides = presentation.child("sldIdLst").into_iter().flat_map(Element::children);
    for (index, slide) in slides.enumerate() {
        let part = slide.prefixed_attribute("id").and_then(|id| relationships.by_id(id)).ok_or_else(|| {
            ContentError::malformed(Format::Pptx, format_args!("slide {} is not in the file", index + 1))
        })?;
        let content = xml_tree::parse(&archive.text(part)?, Format::Pptx)?;
        writer.slide(index + 1, &content)?;
        if let Some(notes) = Relationships::of(part, &mut archive)?.by_kind("notesSlide")
            && let Some(xml) = archive.optional_text(notes)?
        {
            writer.notes(&xml_tree::parse(&xml, Format::Pptx)?)?;
        }
    }
    // Headings alone are not text of the file.
    Ok(if writer.has_text { writer.output.finish() } else { None })
}

struct Writer {
    output: Output,
    has_text: bool,
    cells_left: u64,
}

impl Writer {
    fn slide(&mut self, number: usize, slide: &Element) -> Result<(), ContentError> {
        self.output.blank_line()?;
        self.output.push(&format!("## Slide {number}"))?;
        let Some(shapes) = slide.descend(&["cSld", "spTree"]) else { return Ok(()) };
        if let Some(title) = title(shapes) {
            self.output.push(": ")?;
            self.output.push(&title)?;
            self.has_text = true;
        }
        self.shapes(shapes)
    }

    fn shapes(&mut self, container: &Element) -> Result<(), ContentError> {
        for shape in container.children() {
            match (&*shape.name, placeholder(shape)) {
                ("sp", Some("title" | "ctrTitle" | "dt" | "ftr" | "sldNum" | "hdr")) => {}
                ("sp", Some("obj" | "body")) => self.text(shape, true)?,
                ("sp" | "cxnSp", _) => self.text(shape, false)?,
                ("graphicFrame", _) => self.tables(shape)?,
                // A group, or alternatives of which the last (`Fallback`) repeats the first.
                ("grpSp" | "AlternateContent" | "Choice", _) => self.shapes(shape)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The paragraphs of a shape; those of a content placeholder are its bullets.
    fn text(&mut self, shape: &Element, bullets: bool) -> Result<(), ContentError> {
        let paragraphs = shape.child("txBody").into_iter().flat_map(Element::children);
        let paragraphs = paragraphs.filter(|element| &*element.name == "p");
        let mut is_first = true;
        for paragraph in paragraphs {
            let text = paragraph_text(paragraph);
            let text = utf8::strip(&text);
            if text.is_empty() {
                continue;
            }
            if is_first {
                self.output.blank_line()?
            } else {
                self.output.push("\n")?
            }
            is_first = false;
            self.has_text = true;
            if bullets {
                let level = paragraph.child("pPr").and_then(|properties| properties.attribute("lvl"));
                let indent = "  ".repeat(level.and_then(|level| level.parse().ok()).unwrap_or(0_usize).min(8));
                self.output.push(&format!("{indent}- "))?;
                self.output.push(&text.replace('\n', &format!("\n{indent}  ")))?;
            } else {
                self.output.push(text)?;
            }
        }
        Ok(())
    }

    fn tables(&mut self, frame: &Element) -> Result<(), ContentError> {
        let Some(element) = frame.descend(&["graphic", "graphicData", "tbl"]) else { return Ok(()) };
        let mut rows = Vec::new();
        for row in element.children().filter(|element| &*element.name == "tr") {
            let cells: Vec<String> = row.children().filter(|element| &*element.name == "tc").map(cell_text).collect();
            self.cells_left = self.cells_left.checked_sub(cells.len() as u64).ok_or(ContentError::TooLarge {
                format: Format::Pptx,
                what: "table cells",
                limit: limits::TABLE_CELLS,
            })?;
            self.has_text |= cells.iter().any(|cell| !cell.is_empty());
            rows.push(cells);
        }
        self.output.blank_line()?;
        table::write(&mut self.output, &rows)
    }

    /// What the speaker wrote: the body placeholder of the notes page.
    fn notes(&mut self, page: &Element) -> Result<(), ContentError> {
        let shapes = page.descend(&["cSld", "spTree"]).into_iter().flat_map(Element::children);
        for shape in shapes.filter(|shape| placeholder(shape) == Some("body")) {
            if shape_text(shape).is_empty() {
                continue;
            }
            self.output.blank_line()?;
            self.output.push("### Notes")?;
            self.text(shape, false)?;
        }
        Ok(())
    }
}

/// The title of a slide on one line.
fn title(shapes: &Element) -> Option<String> {
    let is_title = |shape: &&Element| matches!(placeholder(shape), Some("title" | "ctrTitle"));
    let text = shape_text(shapes.children().find(is_title)?);
    (!text.is_empty()).then(|| text.replace('\n', " "))
}

/// Kind of placeholder a shape fills; `obj` is the standard's default.
fn placeholder(shape: &Element) -> Option<&str> {
    let placeholder = shape.descend(&["nvSpPr", "nvPr", "ph"])?;
    Some(placeholder.attribute("type").unwrap_or("obj"))
}

fn shape_text(shape: &Element) -> String {
    let paragraphs = shape.child("txBody").into_iter().flat_map(Element::children);
    joined(paragraphs)
}

fn cell_text(cell: &Element) -> String {
    // A cell covered by a merged neighbour may hold text that nobody sees.
    if cell.attribute("hMerge").is_some() || cell.attribute("vMerge").is_some() {
        return String::new();
    }
    shape_text(cell)
}

fn joined<'e>(paragraphs: impl Iterator<Item = &'e Element>) -> String {
    let texts: Vec<String> = paragraphs.filter(|element| &*element.name == "p").map(paragraph_text).collect();
    utf8::strip(&texts.join("\n")).to_owned()
}

fn paragraph_text(paragraph: &Element) -> String {
    let mut text = String::new();
    for run in paragraph.children() {
        match &*run.name {
            "r" | "fld" => text.extend(run.child("t").map(Element::text)),
            "br" => text.push('\n'),
            _ => {}
        }
    }
    // PowerPoint stores a line break inside a run as a vertical tab.
    text.replace('\u{b}', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with python-pptx 1.0.2; see `samples/make.py`.
    const SAMPLE: &[u8] = include_bytes!("samples/sample.pptx");

    #[test]
    fn slides_in_order_with_tables_groups_and_notes() {
        let expected = "## Slide 1\n\n| Region | Sales |\n| --- | --- |\n| North \\| East | 12 |\n\nIn a group\n\n\
            ## Slide 2: Quarterly report\n\nSpring\n\n\
            ## Slide 3: Results\n\n- Sales grew\n  - in the caf\u{e9} business\n\n\
            ### Notes\n\nSmile.\nThank the team.";
        assert_eq!(convert(SAMPLE).unwrap().as_deref(), Some(expected));
    }

    #[test]
    fn a_cut_file_is_malformed() {
        for length in [0, 4, SAMPLE.len() / 2, SAMPLE.len() - 1] {
            let result = convert(&SAMPLE[..length]);
            assert!(matches!(result, Err(ContentError::Malformed { .. })), "{length}: {result:?}");
        }
    }
}
