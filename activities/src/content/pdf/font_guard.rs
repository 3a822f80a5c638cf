//! Checks what a font brings along before the extractor parses it.
//!
//! The extractor parses character maps and Type 1 programs recursively and writes out every code of a range. A nest of
//! brackets would exhaust the stack, which ends the process, and one range of 32-bit codes would exhaust memory. Neither
//! can be caught afterwards.

use pdf_extract::{Dictionary, Document, Stream};

use super::super::{ContentError, limits};
use super::malformed;
use super::page_text::dictionary_in;

/// Checks the parts of `font` and returns their unpacked size in bytes.
pub(super) fn check(document: &Document, font: &Dictionary) -> Result<u64, ContentError> {
    let mut size = 0;
    for key in [&b"ToUnicode"[..], b"Encoding"] {
        if let Some(stream) = stream_in(document, font, key) {
            let map = stream.decompressed_content().map_err(malformed)?;
            size += map.len() as u64;
            check_nesting(&map)?;
            check_ranges(&map)?;
        }
    }
    if let Some(descriptor) = dictionary_in(document, font, b"FontDescriptor") {
        if let Some(stream) = stream_in(document, descriptor, b"FontFile") {
            let program = stream.decompressed_content().map_err(malformed)?;
            size += program.len() as u64;
            // The rest is encrypted and not parsed.
            let end = find(&program, b"eexec").unwrap_or(program.len());
            check_nesting(&program[..end])?;
        }
        if let Some(stream) = stream_in(document, descriptor, b"FontFile3") {
            size += stream.content.len() as u64;
        }
    }
    Ok(size)
}

fn stream_in<'d>(document: &'d Document, dictionary: &'d Dictionary, key: &[u8]) -> Option<&'d Stream> {
    document.dereference(dictionary.get(key).ok()?).ok()?.1.as_stream().ok()
}

/// Brackets in strings and comments count too: no real map comes near the limit.
fn check_nesting(source: &[u8]) -> Result<(), ContentError> {
    let mut depth = 0_u64;
    for byte in source {
        match byte {
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b')' | b']' | b'}' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits::PDF_FONT_NESTING {
            return Err(too_complex());
        }
    }
    Ok(())
}

/// Sums up the codes of all `bfrange` sections: triples of first code, last code, and target.
fn check_ranges(map: &[u8]) -> Result<(), ContentError> {
    let mut codes = 0_u64;
    let mut rest = map;
    while let Some(start) = find(rest, b"beginbfrange") {
        rest = &rest[start + b"beginbfrange".len()..];
        let section = &rest[..find(rest, b"endbfrange").unwrap_or(rest.len())];
        let mut triple = [0_u32; 3];
        let (mut filled, mut at, mut in_array) = (0, 0, false);
        while at < section.len() {
            match section[at] {
                // Codes in another notation or hidden by comments could not be followed here.
                b'(' | b'%' => return Err(too_complex()),
                b'[' => in_array = true,
                b']' => {
                    in_array = false;
                    filled = 0;
                }
                b'<' => {
                    let length = section[at..].iter().position(|&byte| byte == b'>').unwrap_or(section.len() - at);
                    if !in_array {
                        triple[filled] = code(&section[at + 1..at + length]);
                        filled += 1;
                    }
                    at += length;
                    if filled == 2 {
                        codes += u64::from(triple[1].saturating_sub(triple[0])) + 1;
                    }
                    filled %= 3;
                }
                _ => {}
            }
            at += 1;
        }
        if codes > limits::PDF_FONT_CODES {
            return Err(too_complex());
        }
    }
    Ok(())
}

/// A code from its hexadecimal digits. Like the extractor, keeps the last four bytes.
fn code(digits: &[u8]) -> u32 {
    let digits = digits.iter().filter_map(|&byte| char::from(byte).to_digit(16));
    digits.fold(0, |code, digit| (code << 4) | digit)
}

fn too_complex() -> ContentError {
    malformed("one of its fonts is too complex to read safely")
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use pdf_extract::Object;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"1 beginbfrange <0000> <ffff> <0020> endbfrange", true)]
    #[case(b"2 beginbfrange <01><02>[<0041> <00420043>] <05> <0 9> <0061> endbfrange", true)]
    #[case(b"1 beginbfchar <00000001> <0041> endbfchar", true)]
    #[case(b"1 beginbfrange <00000000> <ffffffff> <0020> endbfrange", false)]
    #[case(b"2 beginbfrange <01><02>[<0041>] <00000000> <0fffffff> <0020>", false)]
    #[case(b"1 beginbfrange (\\0\\0\\0\\0) (\xff\xff\xff\xff) <0020> endbfrange", false)]
    #[case(b"1 beginbfrange % <\n<00000000> <ffffffff> <0020> endbfrange", false)]
    fn ranges_are_summed_up(#[case] map: &[u8], #[case] is_fine: bool) {
        assert_eq!(check_ranges(map).is_ok(), is_fine);
    }

    #[test]
    fn many_ranges_are_refused_like_a_long_one() {
        let map = format!("beginbfrange {} endbfrange", "<0000> <ffff> <0020> ".repeat(100));
        assert_eq!(check_ranges(map.as_bytes()), Err(too_complex()));
    }

    #[rstest]
    #[case(b'(')]
    #[case(b'[')]
    #[case(b'<')]
    #[case(b'{')]
    fn nests_of_brackets_are_refused(#[case] bracket: u8) {
        assert_eq!(check_nesting(&[bracket; 1_000]), Err(too_complex()));
        assert_eq!(check_nesting(&[bracket; 8]), Ok(()));
    }

    #[test]
    fn a_font_is_checked_with_all_its_parts() {
        let mut document = Document::with_version("1.5");
        let nest = document.add_object(Stream::new(Dictionary::new(), vec![b'('; 100_000]));
        let mut descriptor = Dictionary::new();
        descriptor.set("FontFile", nest);
        for (key, value) in
            [("ToUnicode", nest.into()), ("Encoding", nest.into()), ("FontDescriptor", Object::Dictionary(descriptor))]
        {
            let mut font = Dictionary::new();
            font.set(key, value);
            assert_eq!(check(&document, &font), Err(too_complex()), "{key}");
        }
        assert_eq!(check(&document, &Dictionary::new()), Ok(0));
    }
}
