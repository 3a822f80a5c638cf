//! Measures compressed streams before anything else unpacks them.

use std::io::{self, Read, Write};

use flate2::read::{DeflateDecoder, ZlibDecoder};
use pdf_extract::{Dictionary, Document, Object, Stream};

use super::super::{ContentError, Format, limits};

/// Checks the streams that the reader unpacks while it loads the file: object streams and cross-reference streams.
///
/// They are found as text, before any parsing. A dictionary with escaped names (`#`) may be one of them in disguise and
/// is measured too.
pub(super) fn check_object_streams(bytes: &[u8]) -> Result<(), ContentError> {
    let mut budget = limits::PDF_DECODED_BYTES;
    let mut dictionary_start = 0;
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], b"stream") {
        let keyword = at + found;
        at = keyword + b"stream".len();
        let dictionary = &bytes[dictionary_start..keyword];
        dictionary_start = at;
        if dictionary.ends_with(b"end") {
            continue;
        }
        // From the start of its object: objects without streams may come before.
        let from = rfind(dictionary, b" obj").unwrap_or(0);
        let dictionary = &dictionary[from..];
        if ![&b"ObjStm"[..], b"XRef", b"#"].iter().any(|mark| find(dictionary, mark).is_some()) {
            continue;
        }
        if find(dictionary, b"LZWDecode").is_some() || count(dictionary, b"FlateDecode") > 1 {
            return Err(stacked());
        }
        let data = bytes[at..].trim_ascii_start();
        budget -= unpacked_size(data, budget)?;
    }
    Ok(())
}

/// Empties pictures: they hold no text, and their size would count.
pub(super) fn drop_pictures(document: &mut Document) {
    for object in document.objects.values_mut() {
        if let Object::Stream(stream) = object
            && stream.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|name| name == b"Image")
        {
            *stream = Stream::new(pictureless(&stream.dict), Vec::new());
        }
    }
}

fn pictureless(dictionary: &Dictionary) -> Dictionary {
    let mut kept = dictionary.clone();
    kept.remove(b"Filter");
    kept
}

/// Checks all streams that are left.
pub(super) fn check_streams(document: &Document) -> Result<(), ContentError> {
    let mut budget = limits::PDF_DECODED_BYTES;
    for object in document.objects.values() {
        if let Object::Stream(stream) = object {
            let size = stream_size(stream, budget)?;
            budget = budget.checked_sub(size).ok_or_else(too_large)?;
        }
    }
    Ok(())
}

/// What `stream` unpacks to, at most `budget`. Filters other than those named here are not unpacked by the reader.
pub(super) fn stream_size(stream: &Stream, budget: u64) -> Result<u64, ContentError> {
    let filters = stream.filters().unwrap_or_default();
    let is_packed = |filter: &&[u8]| matches!(*filter, b"FlateDecode" | b"LZWDecode");
    let Some(first) = filters.iter().position(is_packed) else {
        return Ok(stream.content.len() as u64);
    };
    if filters[first + 1..].iter().any(is_packed) {
        return Err(stacked());
    }
    let decoded;
    let packed = if first == 0 {
        &stream.content
    } else {
        let mut dictionary = Dictionary::new();
        let before = filters[..first].iter().map(|&name| Object::Name(name.to_vec())).collect();
        dictionary.set("Filter", Object::Array(before));
        match Stream::new(dictionary, stream.content.clone()).decompressed_content() {
            Ok(content) => {
                decoded = content;
                &decoded
            }
            // The reader fails at the same filter and leaves the stream packed.
            Err(_) => return Ok(stream.content.len() as u64),
        }
    };
    if filters[first] == b"FlateDecode" {
        return unpacked_size(packed, budget);
    }
    if packed.len() as u64 > limits::PDF_LZW_BYTES {
        return Err(ContentError::TooLarge {
            format: Format::Pdf,
            what: "bytes in an LZW stream",
            limit: limits::PDF_LZW_BYTES,
        });
    }
    Ok(packed.len() as u64)
}

/// Size of deflated data up to where it ends or breaks. What breaks is tried again without its header of two bytes, as
/// the reader does, and both attempts count.
fn unpacked_size(packed: &[u8], budget: u64) -> Result<u64, ContentError> {
    let (mut size, is_whole) = measure(ZlibDecoder::new(packed), budget);
    if !is_whole {
        size += measure(DeflateDecoder::new(packed.get(2..).unwrap_or_default()), budget).0;
    }
    if size > budget { Err(too_large()) } else { Ok(size) }
}

/// Bytes that come out of `reader`, at most one more than `budget`, and whether they ended without an error.
fn measure(reader: impl Read, budget: u64) -> (u64, bool) {
    let mut counter = Counter(0);
    let is_whole = io::copy(&mut reader.take(budget + 1), &mut counter).is_ok();
    (counter.0, is_whole)
}

/// Counts what is written, also before an error.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large() -> ContentError {
    ContentError::TooLarge { format: Format::Pdf, what: "bytes when unpacked", limit: limits::PDF_DECODED_BYTES }
}

fn stacked() -> ContentError {
    ContentError::malformed(Format::Pdf, "a stream is compressed in a way that cannot be measured")
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn rfind(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).rposition(|window| window == needle)
}

fn count(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).filter(|window| *window == needle).count()
}
