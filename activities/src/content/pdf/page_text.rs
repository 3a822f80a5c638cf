//! One page reduced to its text operations.
//!
//! A form (content shared by pages) is put in the place where it is drawn, inside its own graphics state. Each font gets
//! a name of its own, because a page and the forms on it may use one name for different fonts. Operations with wrong
//! operands are left out, as viewers do; text shown by an unknown font is an error, because leaving it out would lose
//! text.

use std::collections::HashMap;

use pdf_extract::content::{Content, Operation};
use pdf_extract::{Dictionary, Document, Object, ObjectId, Stream};

use super::super::{ContentError, Format, limits};
use super::{font_guard, malformed};

/// Parents of a page are followed this far for resources it inherits.
const PAGE_TREE_DEPTH: usize = 64;

/// Text operations with the fonts they use.
pub(super) struct PageText {
    operations: Vec<Operation>,
    fonts: Dictionary,
    shows_text: bool,
}

impl PageText {
    pub(super) fn shows_text(&self) -> bool {
        self.shows_text
    }

    /// The content stream, and the font dictionary for it.
    pub(super) fn into_parts(self) -> Result<(Vec<u8>, Dictionary), pdf_extract::Error> {
        Ok((Content { operations: self.operations }.encode()?, self.fonts))
    }
}

/// What may still be drawn of one document. Forms can draw forms, so work is not bounded by the size of the file.
pub(super) struct Work {
    operations: u64,
    bytes: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self { operations: limits::PDF_OPERATIONS, bytes: limits::PDF_DRAWN_BYTES }
    }
}

impl Work {
    #[cfg(test)]
    pub(super) fn of(operations: u64, bytes: u64) -> Self {
        Self { operations, bytes }
    }

    fn content(&mut self, size: usize) -> Result<(), ContentError> {
        if size as u64 > limits::PDF_CONTENT_BYTES {
            return Err(too_large("bytes of content of one page", limits::PDF_CONTENT_BYTES));
        }
        self.bytes(size as u64)
    }

    fn bytes(&mut self, size: u64) -> Result<(), ContentError> {
        let left = self.bytes.checked_sub(size);
        self.bytes = left.ok_or_else(|| too_large("bytes of content drawn", limits::PDF_DRAWN_BYTES))?;
        Ok(())
    }

    fn operation(&mut self) -> Result<(), ContentError> {
        let left = self.operations.checked_sub(1);
        self.operations = left.ok_or_else(|| too_large("drawing operations", limits::PDF_OPERATIONS))?;
        Ok(())
    }
}

fn too_large(what: &'static str, limit: u64) -> ContentError {
    ContentError::TooLarge { format: Format::Pdf, what, limit }
}

/// The text operations of `page`. What is read for them, also in forms, is taken from `work`.
pub(super) fn of(document: &Document, page: ObjectId, work: &mut Work) -> Result<PageText, ContentError> {
    let mut content = Vec::new();
    for stream in document.get_page_contents(page) {
        if let Ok(stream) = document.get_object(stream).and_then(Object::as_stream) {
            content.extend(stream.decompressed_content().map_err(malformed)?);
            content.push(b'\n');
        }
    }
    let mut reader = PageReader {
        document,
        work,
        text: PageText { operations: Vec::new(), fonts: Dictionary::new(), shows_text: false },
        names: HashMap::new(),
        has_font: false,
        saved: Vec::new(),
    };
    let empty = Dictionary::new();
    reader.content(&content, inherited_resources(document, page).unwrap_or(&empty), 0)?;
    Ok(reader.text)
}

fn inherited_resources(document: &Document, page: ObjectId) -> Option<&Dictionary> {
    let mut node = document.get_dictionary(page).ok()?;
    for _ in 0..PAGE_TREE_DEPTH {
        if let Some(resources) = dictionary_in(document, node, b"Resources") {
            return Some(resources);
        }
        node = dictionary_in(document, node, b"Parent")?;
    }
    None
}

/// The dictionary under `key`, by itself or by reference.
pub(super) fn dictionary_in<'d>(
    document: &'d Document,
    dictionary: &'d Dictionary,
    key: &[u8],
) -> Option<&'d Dictionary> {
    document.dereference(dictionary.get(key).ok()?).ok()?.1.as_dict().ok()
}

struct PageReader<'d, 'l> {
    document: &'d Document,
    work: &'l mut Work,
    text: PageText,
    /// Names given to fonts, by where their dictionary is in the document.
    names: HashMap<*const Dictionary, Vec<u8>>,
    /// Whether a font is set in the current graphics state, and in the saved ones.
    has_font: bool,
    saved: Vec<bool>,
}

impl<'d> PageReader<'d, '_> {
    fn content(&mut self, content: &[u8], resources: &'d Dictionary, depth: u64) -> Result<(), ContentError> {
        if depth > limits::PDF_FORM_DEPTH {
            return Err(too_large("forms inside each other", limits::PDF_FORM_DEPTH));
        }
        self.work.content(content.len())?;
        // White space of PDF that the reader's grammar does not take as such at the end.
        let end = content.iter().rposition(|byte| !matches!(byte, 0 | b'\x0c')).map_or(0, |last| last + 1);
        let content =
            Content::decode_strict(&content[..end]).map_err(|_| malformed("the content of a page breaks off"))?;
        let saved_outside = self.saved.len();
        for operation in content.operations {
            self.work.operation()?;
            self.operation(operation, resources, saved_outside, depth)?;
        }
        while self.saved.len() > saved_outside {
            self.restore();
        }
        Ok(())
    }

    fn operation(
        &mut self,
        operation: Operation,
        resources: &'d Dictionary,
        saved_outside: usize,
        depth: u64,
    ) -> Result<(), ContentError> {
        let operands = operation.operands;
        match (operation.operator.as_str(), operands.as_slice()) {
            ("q", _) => self.save(),
            // A form must not restore a state from outside itself.
            ("Q", _) if self.saved.len() > saved_outside => self.restore(),
            ("BT" | "ET" | "T*", _) => self.emit(&operation.operator, Vec::new()),
            ("cm" | "Tm", [_, _, _, _, _, _]) | ("Td" | "TD", [_, _]) | ("Tc" | "Tw" | "Tz" | "TL" | "Ts", [_])
                if operands.iter().all(is_number) =>
            {
                self.emit(&operation.operator, operands);
            }
            ("Tf", [Object::Name(name), size]) if is_number(size) => self.set_font(name, size.clone(), resources)?,
            ("Tj", [Object::String(..)]) | ("TJ", [Object::Array(_)]) => self.show(&operation.operator, operands)?,
            // The extractor does not know these two, so they become what they are short for.
            ("'", [Object::String(..)]) => {
                self.emit("T*", Vec::new());
                self.show("Tj", operands)?;
            }
            ("\"", [word_space, character_space, text @ Object::String(..)])
                if is_number(word_space) && is_number(character_space) =>
            {
                self.emit("Tw", vec![word_space.clone()]);
                self.emit("Tc", vec![character_space.clone()]);
                self.emit("T*", Vec::new());
                self.show("Tj", vec![text.clone()])?;
            }
            ("gs", [Object::Name(name)]) => self.graphics_state(name, resources)?,
            ("Do", [Object::Name(name)]) => self.form(name, resources, depth)?,
            _ => {}
        }
        Ok(())
    }

    fn emit(&mut self, operator: &str, operands: Vec<Object>) {
        self.text.operations.push(Operation::new(operator, operands));
    }

    fn save(&mut self) {
        self.saved.push(self.has_font);
        self.emit("q", Vec::new());
    }

    fn restore(&mut self) {
        if let Some(has_font) = self.saved.pop() {
            self.has_font = has_font;
            self.emit("Q", Vec::new());
        }
    }

    fn show(&mut self, operator: &str, operands: Vec<Object>) -> Result<(), ContentError> {
        let is_empty = |operand: &Object| match operand {
            Object::String(text, _) => text.is_empty(),
            Object::Array(parts) => {
                !parts.iter().any(|part| matches!(part, Object::String(text, _) if !text.is_empty()))
            }
            _ => false,
        };
        if !operands.iter().all(is_empty) {
            if !self.has_font {
                return Err(malformed("a page shows text with a font that it does not define"));
            }
            self.text.shows_text = true;
            self.emit(operator, operands);
        }
        Ok(())
    }

    fn set_font(&mut self, name: &[u8], size: Object, resources: &'d Dictionary) -> Result<(), ContentError> {
        let fonts = dictionary_in(self.document, resources, b"Font");
        let font = fonts.and_then(|fonts| fonts.get(name).ok());
        self.set_font_object(font, size)
    }

    /// Sets `font` under a name of its own; an unknown font leaves the state without one.
    fn set_font_object(&mut self, font: Option<&'d Object>, size: Object) -> Result<(), ContentError> {
        let dictionary = font.and_then(|font| self.document.dereference(font).ok()?.1.as_dict().ok());
        let (Some(font), Some(dictionary)) = (font, dictionary) else {
            self.has_font = false;
            return Ok(());
        };
        let key = std::ptr::from_ref(dictionary);
        let name = match self.names.get(&key) {
            Some(name) => name.clone(),
            None => {
                let bytes = font_guard::check(self.document, dictionary)?;
                self.work.bytes(bytes)?;
                let name = format!("F{}", self.names.len()).into_bytes();
                self.names.insert(key, name.clone());
                self.text.fonts.set(name.clone(), font.clone());
                name
            }
        };
        self.has_font = true;
        self.emit("Tf", vec![Object::Name(name), size]);
        Ok(())
    }

    /// A graphics state can set a font too.
    fn graphics_state(&mut self, name: &[u8], resources: &'d Dictionary) -> Result<(), ContentError> {
        let states = dictionary_in(self.document, resources, b"ExtGState");
        let state = states.and_then(|states| dictionary_in(self.document, states, name));
        let font = state.and_then(|state| state.get(b"Font").and_then(Object::as_array).ok());
        if let Some([font, size]) = font.map(Vec::as_slice)
            && is_number(size)
        {
            self.set_font_object(Some(font), size.clone())?;
        }
        Ok(())
    }

    fn form(&mut self, name: &[u8], resources: &'d Dictionary, depth: u64) -> Result<(), ContentError> {
        let forms = dictionary_in(self.document, resources, b"XObject");
        let form = forms.and_then(|forms| self.document.dereference(forms.get(name).ok()?).ok()?.1.as_stream().ok());
        let Some(form) = form.filter(|form| is_form(form)) else { return Ok(()) };
        self.save();
        if let Ok(matrix) = form.dict.get(b"Matrix").and_then(Object::as_array)
            && matrix.len() == 6
            && matrix.iter().all(is_number)
        {
            self.emit("cm", matrix.clone());
        }
        let content = form.decompressed_content().map_err(malformed)?;
        let resources = dictionary_in(self.document, &form.dict, b"Resources").unwrap_or(resources);
        self.content(&content, resources, depth + 1)?;
        self.restore();
        Ok(())
    }
}

fn is_form(stream: &Stream) -> bool {
    stream.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|name| name == b"Form")
}

fn is_number(object: &Object) -> bool {
    matches!(object, Object::Integer(_) | Object::Real(_))
}
