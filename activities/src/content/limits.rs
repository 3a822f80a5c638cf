//! Every bound on what a converter reads, unpacks, keeps and writes.
//!
//! A stored file comes from outside. Its compressed size says nothing about what it unpacks to, so each of these is
//! checked against bytes and nodes really seen, not against sizes the file declares.

const MIB: u64 = 1024 * 1024;

/// Bytes of any file. The platform itself does not download larger ones.
pub(super) const INPUT_BYTES: u64 = 200 * MIB;
/// Bytes of an HTML file, whose tree takes many times its size.
pub(super) const HTML_BYTES: u64 = 16 * MIB;
/// Bytes of text that one file may become.
pub(super) const OUTPUT_BYTES: u64 = 64 * MIB;

/// Entries of a zip archive (Office files are such archives).
pub(super) const ARCHIVE_ENTRIES: u64 = 10_000;
/// Bytes that all entries read from one archive may unpack to.
pub(super) const ARCHIVE_BYTES: u64 = 256 * MIB;
/// Unpacked bytes for each packed byte of an entry. Deflate can reach 1,032, Office XML stays below about 100.
pub(super) const ARCHIVE_RATIO: u64 = 500;
/// Entries that unpack to no more than this are not judged by their ratio: small repetitive parts are harmless.
pub(super) const ARCHIVE_RATIO_FROM_BYTES: u64 = 4 * MIB;

/// Bytes of one XML part that is held as a tree.
pub(super) const XML_PART_BYTES: u64 = 64 * MIB;
/// Elements and texts of one XML tree.
pub(super) const XML_NODES: u64 = 4_000_000;
/// Nesting of XML elements; also bounds every recursion over a tree.
pub(super) const XML_DEPTH: u64 = 256;

/// Cells of the tables of one file.
pub(super) const TABLE_CELLS: u64 = 4_000_000;

/// Bytes that the streams of a PDF (without its pictures) may unpack to.
pub(super) const PDF_DECODED_BYTES: u64 = 256 * MIB;
/// Packed bytes of an LZW stream. LZW unpacks up to about 2,700 times and cannot be measured before it is unpacked.
pub(super) const PDF_LZW_BYTES: u64 = 96 * 1024;
/// Bytes of the content of one page or form, which is held as operations of many times its size.
pub(super) const PDF_CONTENT_BYTES: u64 = 16 * MIB;
/// Bytes of content of all pages, forms counted each time they are drawn and fonts on each page that uses them.
pub(super) const PDF_DRAWN_BYTES: u64 = 4096 * MIB;
/// Brackets inside each other in a font's character map or program.
pub(super) const PDF_FONT_NESTING: u64 = 64;
/// Codes in the ranges of one character map; real maps have two-byte codes.
pub(super) const PDF_FONT_CODES: u64 = 1_000_000;
/// Drawing operations of all pages, forms counted each time they are drawn.
pub(super) const PDF_OPERATIONS: u64 = 20_000_000;
/// Forms drawn inside forms.
pub(super) const PDF_FORM_DEPTH: u64 = 16;
/// Pages of one PDF.
pub(super) const PDF_PAGES: usize = 20_000;
