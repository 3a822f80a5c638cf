//! PDF documents (ISO 32000) to text, from their text layer only.
//!
//! Three steps, each guarding the next:
//! 1. [`stream_guard`] measures what the compressed streams unpack to, because the PDF reader unpacks without a limit.
//! 2. [`page_text`] reduces every page to its text operations, with the forms it draws put in place. This bounds work and
//!    recursion, gives each font one name, and removes what the text extractor asserts about but text does not need.
//!    [`font_guard`] checks the fonts, which the extractor parses without limits.
//! 3. The extractor decodes characters by the page's fonts and finds words and lines by position; [`readable_text`] counts
//!    the characters it could not decode, and a document that lost most of them is an error.
//!
//! Text comes page by page in the order it is drawn. A page drawn as a picture has no text layer: a document without any
//! is [`ContentError::NoTextLayer`], never an empty text. Left out: annotations, form fields, attachments.
//!
//! One gap in the guard: object streams of *encrypted* files are unpacked by the reader before they can be measured.

mod font_guard;
mod page_text;
mod readable_text;
mod stream_guard;

use pdf_extract::{Dictionary, Document, Object, ObjectId, OutputError, Stream, dictionary, output_doc};

use self::page_text::{PageText, Work};
use self::readable_text::{Characters, ReadableText};
use super::output::Output;
use super::{ContentError, Format, limits};

/// The text, pages separated by a blank line.
pub(super) fn convert(bytes: &[u8]) -> Result<Option<String>, ContentError> {
    stream_guard::check_object_streams(bytes)?;
    let mut document = Document::load_mem(bytes).map_err(malformed)?;
    if document.is_encrypted() {
        return Err(ContentError::PasswordProtected { format: Format::Pdf });
    }
    stream_guard::drop_pictures(&mut document);
    stream_guard::check_streams(&document)?;

    let pages: Vec<ObjectId> = document.page_iter().take(limits::PDF_PAGES + 1).collect();
    if pages.len() > limits::PDF_PAGES {
        return Err(ContentError::TooLarge { format: Format::Pdf, what: "pages", limit: limits::PDF_PAGES as u64 });
    }
    if pages.is_empty() || (pages.len() as u64) < declared_pages(&document) {
        return Err(malformed("some of its pages cannot be found"));
    }
    let mut output = Output::new(Format::Pdf);
    let (mut work, mut characters) = (Work::default(), Characters::default());
    let single = SinglePage::install(&mut document);
    for page in pages {
        let text = page_text::of(&document, page, &mut work)?;
        if text.shows_text() {
            output.blank_line()?;
            output.push(single.extract(&mut document, text, &mut characters)?.trim())?;
        }
    }
    if characters.are_mostly_lost() {
        return Err(malformed("its fonts do not say which characters they draw"));
    }
    output.finish().map(Some).ok_or(ContentError::NoTextLayer { format: Format::Pdf })
}

/// Number of pages by the root of the page tree, 0 when it does not say. The reader passes over pages it cannot read.
fn declared_pages(document: &Document) -> u64 {
    let tree = document.catalog().and_then(|catalog| catalog.get_deref(b"Pages", document)).and_then(Object::as_dict);
    let count = tree.and_then(|tree| tree.get_deref(b"Count", document)).and_then(Object::as_i64);
    count.ok().and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

/// A page tree of one page, whose content is exchanged for each page of the document. Objects that fonts refer to stay
/// in place.
struct SinglePage {
    page: ObjectId,
    content: ObjectId,
}

impl SinglePage {
    fn install(document: &mut Document) -> Self {
        let page = document.new_object_id();
        let content = document.new_object_id();
        let tree = document.add_object(dictionary! {
            "Type" => "Pages",
            "Kids" => vec![Object::Reference(page)],
            "Count" => 1,
        });
        let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
        document.trailer.set("Root", catalog);
        Self { page, content }
    }

    fn extract(
        &self,
        document: &mut Document,
        text: PageText,
        characters: &mut Characters,
    ) -> Result<String, ContentError> {
        let (operations, fonts) = text.into_parts().map_err(malformed)?;
        document.objects.insert(self.content, Stream::new(Dictionary::new(), operations).into());
        let page = dictionary! {
            "Type" => "Page",
            "Contents" => self.content,
            "Resources" => dictionary! { "Font" => fonts },
            // Positions only matter relative to each other, so any page size does.
            "MediaBox" => vec![0.into(), 0.into(), 612.into(), 792.into()],
        };
        document.objects.insert(self.page, page.into());
        let mut extracted = String::new();
        output_doc(document, &mut ReadableText::new(&mut extracted, characters)).map_err(|error| match error {
            OutputError::PdfError(error) => malformed(error),
            OutputError::FormatError(_) | OutputError::IoError(_) => malformed("its text could not be written"),
        })?;
        Ok(extracted)
    }
}

fn malformed(reason: impl ToString) -> ContentError {
    ContentError::malformed(Format::Pdf, reason)
}

#[cfg(test)]
mod tests;
