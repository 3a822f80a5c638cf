//! Turns the bytes of a stored file into the text that is embedded.
//!
//! [`convert`] picks one converter by the extension of the file name, as the platform does. Its answer is text, the
//! finding that there is none, or a [`ContentError`] naming the gap: no file is passed over in silence, and no part of a
//! file is dropped without being named in the documentation of its converter.
//!
//! Everything here is synchronous and bound to the processor: call it where blocking is allowed (`spawn_blocking`).
//! Files come from outside and may be damaged or hostile; see `limits` for the bounds on what is read, unpacked and
//! written. Where a parser can still panic on a broken file, the panic is caught and becomes
//! [`ContentError::Malformed`] (see `guarded`). This needs unwinding panics, so the build must not set
//! `panic = "abort"`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

mod code;
mod csv;
mod docx;
mod error;
mod html;
mod json;
mod limits;
mod office;
mod output;
mod pdf;
mod plain_text;
mod pptx;
mod table;
mod utf8;
mod xlsx;
mod xml;

pub use error::ContentError;

/// Extensions of source code, kept as raw text and chunked as code.
pub const CODE_EXTENSIONS: [&str; 19] = [
    ".py", ".js", ".ts", ".tsx", ".jsx", ".java", ".cpp", ".c", ".h", ".hpp", ".go", ".rs", ".rb", ".php", ".swift",
    ".kt", ".kts", ".tf", ".tfvars",
];

/// Kinds of files with a converter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text, Markdown and settings.
    PlainText,
    /// Source code.
    Code,
    /// Web pages and bodies of e-mails.
    Html,
    /// Comma-separated values.
    Csv,
    /// JSON.
    Json,
    /// XML.
    Xml,
    /// Excel workbooks.
    Xlsx,
    /// Word documents.
    Docx,
    /// PowerPoint presentations.
    Pptx,
    /// PDF documents with a text layer.
    Pdf,
}

impl Format {
    /// The format that the extension of `file_name` promises; `None` when there is no converter for it.
    #[must_use]
    pub fn of(file_name: &str) -> Option<Self> {
        Some(match extension(file_name).as_str() {
            ".txt" | ".md" | ".yaml" | ".yml" | ".toml" => Self::PlainText,
            ".html" | ".htm" => Self::Html,
            ".csv" => Self::Csv,
            ".json" => Self::Json,
            ".xml" => Self::Xml,
            ".xlsx" => Self::Xlsx,
            ".docx" => Self::Docx,
            ".pptx" => Self::Pptx,
            ".pdf" => Self::Pdf,
            extension if CODE_EXTENSIONS.contains(&extension) => Self::Code,
            _ => return None,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlainText => "text",
            Self::Code => "code",
            Self::Html => "HTML",
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::Xlsx => "XLSX",
            Self::Docx => "DOCX",
            Self::Pptx => "PPTX",
            Self::Pdf => "PDF",
        })
    }
}

/// Whether the file is source code by its extension.
#[must_use]
pub fn is_code(file_name: &str) -> bool {
    Format::of(file_name) == Some(Format::Code)
}

/// The text of a stored file; `Ok(None)` when its converter ran and found no text.
///
/// # Errors
/// [`ContentError`] says why there is no text; each kind is a gap to be counted and named by the caller.
pub fn convert(file_name: &str, bytes: &[u8]) -> Result<Option<String>, ContentError> {
    let format = Format::of(file_name).ok_or_else(|| ContentError::Unsupported { extension: extension(file_name) })?;
    if bytes.len() as u64 > limits::INPUT_BYTES {
        return Err(ContentError::TooLarge { format, what: "bytes", limit: limits::INPUT_BYTES });
    }
    match format {
        Format::PlainText => Ok(plain_text::convert(bytes)),
        Format::Code => Ok(code::convert(bytes)),
        Format::Csv => csv::convert(bytes),
        Format::Json => json::convert(bytes),
        Format::Xml => xml::convert(bytes),
        Format::Docx => docx::convert(bytes),
        Format::Pptx => pptx::convert(bytes),
        Format::Html => guarded(format, || html::convert(bytes)),
        Format::Xlsx => guarded(format, || xlsx::convert(bytes)),
        Format::Pdf => guarded(format, || pdf::convert(bytes)),
    }
}

/// Lower-case extension with its dot, as Python's `os.path.splitext` finds it in the last segment of the path: from the
/// last dot on, unless only dots come before it.
fn extension(file_name: &str) -> String {
    let name = file_name.rsplit_once('/').map_or(file_name, |(_, name)| name);
    match name.rfind('.') {
        Some(dot) if !name[..dot].trim_start_matches('.').is_empty() => name[dot..].to_lowercase(),
        _ => String::new(),
    }
}

/// Runs a converter built on a large parser that may panic on broken input (the PDF reader asserts what it expects of
/// a file). The converters keep no state, so nothing half-made survives a panic. The panic message itself still goes
/// to the panic hook.
fn guarded<T>(format: Format, converter: impl FnOnce() -> Result<T, ContentError>) -> Result<T, ContentError> {
    catch_unwind(AssertUnwindSafe(converter))
        .unwrap_or_else(|_| Err(ContentError::malformed(format, "its parser gave up on unexpected content")))
}

#[cfg(test)]
mod tests;
