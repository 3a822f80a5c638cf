//! Bodies as gzip (RFC 1952), with one compressor per thread that is used again: making one, which is mostly memory to be
//! cleared, costs as much as compressing a document.

use std::cell::RefCell;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Magic, deflate, no flags, no time, made fast, on no system in particular.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];

/// Least room for compressed bytes.
const ROOM_BYTES: usize = 1024;

thread_local! {
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// `body` as a gzip member; nothing for one that is longer than its length can say.
pub(super) fn gzip(body: &[u8]) -> Option<Vec<u8>> {
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
