//! Bodies of requests: JSON, as gzip (RFC 1952) where that is worth it.
//!
//! A body is compressed once, before its request waits for anything, however often it is then sent. There is one compressor
//! per thread that is used again: making one, which is mostly memory to be cleared, costs as much as compressing a document.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bodies above this are compressed, as the official clients do.
const COMPRESS_ABOVE_BYTES: usize = 512;

/// Magic, deflate, no flags, no time, made fast, on no system in particular.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];

/// Least room for compressed bytes.
const ROOM_BYTES: usize = 1024;

thread_local! {
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    /// As they are sent.
    pub(super) bytes: Bytes,
    /// Whether they are gzip.
    pub(super) is_compressed: bool,
}

impl Body {
    /// `json`, compressed when it is long.
    pub(super) fn of(json: Bytes) -> Self {
        let compressed = if json.len() > COMPRESS_ABOVE_BYTES { gzip(&json) } else { None };
        match compressed {
            Some(compressed) => Self { bytes: compressed.into(), is_compressed: true },
            None => Self { bytes: json, is_compressed: false },
        }
    }
}

/// `body` as a gzip member; nothing for one that is longer than its length can say.
fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(body.len()).ok()?;
    let mut compressed = Vec::with_capacity(HEADER.len() + body.len() / 2 + ROOM_BYTES);
    compressed.extend_from_slice(&HEADER);
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        loop {
            let rest = body.get(usize::try_from(compressor.total_in()).ok()?..)?;
            if compressor.compress_vec(rest, &mut compressed, FlushCompress::Finish).ok()? == Status::StreamEnd {
                return Some(());
            }
            compressed.reserve(rest.len().max(ROOM_BYTES));
        }
    })?;
    let mut checksum = Crc::new();
    checksum.update(body);
    compressed.extend_from_slice(&checksum.sum().to_le_bytes());
    compressed.extend_from_slice(&length.to_le_bytes());
    Some(compressed)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn long_bodies_are_compressed_and_short_ones_are_not() {
        assert!(!Body::of(Bytes::from(vec![b'x'; COMPRESS_ABOVE_BYTES])).is_compressed);
        let long = Bytes::from("vector ".repeat(1_000));
        let body = Body::of(long.clone());
        assert!(body.is_compressed && body.bytes.len() < long.len() / 10);
        let mut restored = Vec::new();
        GzDecoder::new(&*body.bytes).read_to_end(&mut restored).unwrap();
        assert_eq!(restored, long);
    }

    #[test]
    fn what_was_compressed_is_what_others_read() {
        let mut random = fastrand::Rng::with_seed(7);
        // Some that compress well, and some that get longer; one after the other in the same compressor.
        for length in [0, 1, 600, 5_000, 70_000, 3_000_000] {
            let noise: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            let words: Vec<u8> = b"vector ".iter().copied().cycle().take(length).collect();
            for body in [noise, words] {
                let compressed = gzip(&body).expect("it is short enough");
                let mut restored = Vec::new();
                GzDecoder::new(compressed.as_slice()).read_to_end(&mut restored).unwrap();
                assert!(restored == body, "{length} bytes");
            }
        }
    }
}
