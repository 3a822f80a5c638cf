//! The entries of a page as bytes.
//!
//! ```text
//! 1 │ token digests │ content digests │ zstd frame: length of shapes (varint) │ shapes │ texts
//!     8 per entry     16 per entry      shape: shared · 2 + odd, own, [key], points, each a varint
//!                                       text:  own bytes of the entity id, [the object key]
//! ```
//!
//! An entity id shares its first bytes with the one before. The object key is not written when it is the name that the
//! platform gives the id, as nearly all are; a key that is not is odd and written whole. Digests cannot be compressed and
//! would spoil the compression of what is beside them.
//!
//! A page that begins with 0 was made by a migration: one JSON array `[key, id, token, content, points]` per line, digests
//! in hex.

use std::io::Read;

use super::{ContentDigest, LedgerEntry, TokenDigest};
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::entity_file_name;

/// Layouts, by the first byte.
const JSON_LINES: u8 = 0;
const COLUMNS: u8 = 1;

/// Compression level: above it, time grows and size hardly shrinks, for half of a page is digests.
const LEVEL: i32 = 3;

/// Upper bound of a decompressed frame, in bytes: far above what the longest names need.
const MAX_BYTES: u64 = 1 << 30;

/// Bytes of both digests of an entry.
const DIGESTS: usize = TokenDigest::BYTES + ContentDigest::BYTES;

/// Whether the object is not named after its entity id.
pub(super) fn is_odd(entry: &LedgerEntry) -> bool {
    entry.object_key != entity_file_name(&entry.entity_id)
}

/// Lays entries out; they are in byte order of their keys.
pub(super) fn encode(entries: &[LedgerEntry]) -> Result<Vec<u8>> {
    let (mut shapes, mut texts) = (Vec::new(), Vec::new());
    let mut before: &[u8] = &[];
    for entry in entries {
        let id = entry.entity_id.as_bytes();
        let shared = id.iter().zip(before).take_while(|(one, other)| one == other).count();
        let odd = is_odd(entry);
        put_varint(&mut shapes, (wide(shared) << 1) | u64::from(odd));
        put_varint(&mut shapes, wide(id.len() - shared));
        texts.extend_from_slice(&id[shared..]);
        if odd {
            put_varint(&mut shapes, wide(entry.object_key.len()));
            texts.extend_from_slice(entry.object_key.as_bytes());
        }
        put_varint(&mut shapes, u64::from(entry.points));
        before = id;
    }
    let mut names = Vec::with_capacity(shapes.len() + texts.len() + 4);
    put_varint(&mut names, wide(shapes.len()));
    names.extend_from_slice(&shapes);
    names.extend_from_slice(&texts);

    let failed =
        |error| Error::new(ErrorKind::Internal, "a page of the ledger could not be encoded").with_source(error);
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(failed)?;
    compressor.include_checksum(true).map_err(failed)?;
    let frame = compressor.compress(&names).map_err(failed)?;

    let mut bytes = Vec::with_capacity(1 + entries.len() * DIGESTS + frame.len());
    bytes.push(COLUMNS);
    bytes.extend(entries.iter().flat_map(|entry| entry.token.0));
    bytes.extend(entries.iter().flat_map(|entry| entry.content.0));
    bytes.extend_from_slice(&frame);
    Ok(bytes)
}

/// Reads the `count` entries of a page back, in byte order of their keys.
pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Vec<LedgerEntry>> {
    let entries = match bytes.split_first() {
        Some((&COLUMNS, rest)) => decode_columns(rest, count)?,
        Some((&JSON_LINES, lines)) => decode_lines(lines)?,
        _ => return Err(damaged("its layout is not known")),
    };
    if entries.len() != count {
        return Err(damaged("it holds another number of entries than it says"));
    }
    if entries.windows(2).any(|pair| pair[0].object_key.as_bytes() >= pair[1].object_key.as_bytes()) {
        return Err(damaged("its keys are not in order"));
    }
    Ok(entries)
}

fn decode_columns(bytes: &[u8], count: usize) -> Result<Vec<LedgerEntry>> {
    let short = || damaged("it is cut off");
    let (tokens, rest) = bytes.split_at_checked(count * TokenDigest::BYTES).ok_or_else(short)?;
    let (contents, frame) = rest.split_at_checked(count * ContentDigest::BYTES).ok_or_else(short)?;
    let mut names = Vec::new();
    zstd::Decoder::new(frame)
        .and_then(|decoder| decoder.take(MAX_BYTES + 1).read_to_end(&mut names))
        .map_err(|error| damaged("it does not decompress").with_source(error))?;
    if wide(names.len()) > MAX_BYTES {
        return Err(damaged("it is larger than any page is made"));
    }
    let mut names = names.as_slice();
    let shapes = take_length(&mut names)?;
    let (mut shapes, mut texts) = names.split_at_checked(shapes).ok_or_else(short)?;

    let mut entries: Vec<LedgerEntry> = Vec::with_capacity(count);
    for (token, content) in tokens.chunks_exact(TokenDigest::BYTES).zip(contents.chunks_exact(ContentDigest::BYTES)) {
        let shape = take_length(&mut shapes)?;
        let (shared, odd) = (shape >> 1, shape & 1 == 1);
        let before = entries.last().map_or(&[][..], |entry| entry.entity_id.as_bytes());
        let mut id = before.get(..shared).ok_or_else(short)?.to_vec();
        id.extend_from_slice(take(&mut texts, take_length(&mut shapes)?)?);
        let entity_id = text(id)?;
        let object_key = if odd {
            let length = take_length(&mut shapes)?;
            text(take(&mut texts, length)?.to_vec())?
        } else {
            entity_file_name(&entity_id)
        };
        let points = u32::try_from(take_varint(&mut shapes)?).map_err(|_| damaged("a number is too large"))?;
        let whole = |_| damaged("a digest is cut off");
        entries.push(LedgerEntry {
            object_key,
            entity_id,
            token: TokenDigest(token.try_into().map_err(whole)?),
            content: ContentDigest(content.try_into().map_err(whole)?),
            points,
        });
    }
    if !shapes.is_empty() || !texts.is_empty() {
        return Err(damaged("something is left over"));
    }
    Ok(entries)
}

fn decode_lines(lines: &[u8]) -> Result<Vec<LedgerEntry>> {
    lines
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let (object_key, entity_id, token, content, points): (String, String, String, String, u32) =
                serde_json::from_slice(line).map_err(|error| damaged("a line is not an entry").with_source(error))?;
            let mut entry = LedgerEntry {
                object_key,
                entity_id,
                token: TokenDigest([0; TokenDigest::BYTES]),
                content: ContentDigest([0; ContentDigest::BYTES]),
                points,
            };
            hex::decode_to_slice(token, &mut entry.token.0)
                .and_then(|()| hex::decode_to_slice(content, &mut entry.content.0))
                .map_err(|error| damaged("a digest is not one").with_source(error))?;
            Ok(entry)
        })
        .collect()
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("a length in memory fits 64 bits")
}

/// Seven bits a byte, the lowest first; all but the last have the top bit set.
fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("less than 128"));
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| damaged("it is cut off"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged("a number is too long"))
}

fn take_length(bytes: &mut &[u8]) -> Result<usize> {
    usize::try_from(take_varint(bytes)?).map_err(|_| damaged("a length is too large"))
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(|| damaged("it is cut off"))?;
    *bytes = rest;
    Ok(taken)
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| damaged("a name is no text").with_source(error))
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("a page of the ledger is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(object_key: String, entity_id: String, number: u64) -> LedgerEntry {
        LedgerEntry {
            object_key,
            entity_id,
            token: TokenDigest::of(&number.to_string()),
            content: ContentDigest([7; 16]),
            points: u32::try_from(number % 70_000).unwrap(),
        }
    }

    fn sorted(mut entries: Vec<LedgerEntry>) -> Vec<LedgerEntry> {
        entries.sort_by(|one, other| one.object_key.as_bytes().cmp(other.object_key.as_bytes()));
        entries.dedup_by(|one, other| one.object_key == other.object_key);
        entries
    }

    proptest! {
        #[test]
        fn a_page_reads_back(names in prop::collection::vec((any::<String>(), any::<Option<String>>(), any::<u64>()), 0..60)) {
            let entries = names.into_iter().map(|(id, odd, number)| {
                entry(odd.unwrap_or_else(|| entity_file_name(&id)), id, number)
            });
            let entries = sorted(entries.collect());
            prop_assert_eq!(decode(&encode(&entries).unwrap(), entries.len()).unwrap(), entries);
        }

        #[test]
        fn numbers_read_back(value in any::<u64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(take_varint(&mut bytes.as_slice()).unwrap(), value);
        }

        #[test]
        fn whatever_is_not_a_page_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80), count in 1_usize..4) {
            prop_assert!(decode(&bytes, count).is_err());
        }
    }

    #[test]
    fn damage_is_an_error_and_not_other_entries() {
        let entries =
            sorted((0..100).map(|n| entry(entity_file_name(&format!("a/{n}")), format!("a/{n}"), n)).collect());
        let bytes = encode(&entries).unwrap();
        assert_eq!(decode(&bytes, 100).unwrap(), entries);
        assert!(decode(&bytes, 99).is_err());
        assert!(decode(&bytes[..bytes.len() - 1], 100).is_err());
        for position in 1 + 100 * DIGESTS..bytes.len() {
            let mut broken = bytes.clone();
            broken[position] ^= 0x40;
            assert!(decode(&broken, 100).is_err(), "byte {position}");
        }
    }

    #[test]
    fn a_page_that_a_migration_made_reads_like_any_other() {
        let lines = br#"["a\n.json", "a\n", "ba7816bf8f01cfea", "07070707070707070707070707070707", 3]
["b.json","c","0000000000000000","00000000000000000000000000000000",0]"#;
        let bytes = [&[JSON_LINES][..], lines].concat();
        let entries = decode(&bytes, 2).unwrap();
        assert_eq!(
            entries[0],
            LedgerEntry { token: TokenDigest::of("abc"), ..entry("a\n.json".into(), "a\n".into(), 3) }
        );
        assert_eq!((entries[1].entity_id.as_str(), entries[1].points), ("c", 0));
        assert!(decode(&bytes, 3).is_err());
    }

    /// Names as ten sources write them; the demo's generated store is made after the platform's own.
    #[test]
    fn an_entry_costs_a_few_dozen_bytes() {
        type Naming = Box<dyn FnMut(u64, &mut dyn FnMut(usize) -> String) -> String>;
        let mut random = fastrand::Rng::with_seed(7);
        let mut hex = |digits: usize| (0..digits).map(|_| format!("{:x}", random.u8(0..16))).collect::<String>();
        let kinds: [(&str, Naming); 5] = [
            ("uuid", Box::new(|_, hex| format!("{}-{}-4{}-a{}-{}", hex(8), hex(4), hex(3), hex(3), hex(12)))),
            ("slack message", Box::new(|n, _| format!("C04{}QX-17{:08}.{:06}", n % 40, n * 977, n * 31 % 1_000_000))),
            ("gmail", Box::new(|_, hex| format!("msg_18{}", hex(14)))),
            ("jira", Box::new(|n, _| format!("PROJ{}-{n}", n % 12))),
            (
                "github file",
                Box::new(|n, _| format!("acme/service-{}/src/module_{}/handlers/request_{n}.rs", n % 30, n % 200)),
            ),
        ];
        for (name, mut id) in kinds {
            let ids = (0..20_000).map(|number| id(number, &mut hex));
            let entries = sorted(ids.map(|id| entry(entity_file_name(&id), id, 1 + random_points())).collect());
            let bytes: usize = entries.chunks(700).map(|page| encode(page).unwrap().len()).sum();
            let each = bytes * 10 / entries.len();
            println!("{name}: {}.{} bytes per entry", each / 10, each % 10);
            assert!(each < 480, "{name}: {each} tenths of a byte");
        }
    }

    fn random_points() -> u64 {
        fastrand::u64(0..4)
    }
}
