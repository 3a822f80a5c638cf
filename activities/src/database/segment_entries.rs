//! The frozen entries of a segment as bytes: a zstd frame over one JSON array `[key, size, token]` per line.

use std::io::Read;

use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::ListedObject;

/// Upper bound of the decompressed entries, in bytes: far above what the largest segment of the longest names needs.
const MAX_BYTES: u64 = 1 << 30;

/// Compresses entries.
pub(super) fn encode(entries: &[ListedObject]) -> Result<Vec<u8>> {
    let broken = |error| Error::new(ErrorKind::Internal, "a segment could not be encoded").with_source(error);
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).map_err(broken)?;
    for entry in entries {
        serde_json::to_writer(&mut encoder, &(&entry.key, entry.size, &entry.token))
            .map_err(|error| broken(error.into()))?;
        std::io::Write::write_all(&mut encoder, b"\n").map_err(broken)?;
    }
    encoder.finish().map_err(broken)
}

/// Reads `count` entries back.
pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Vec<ListedObject>> {
    let damaged = |what: &str| Error::new(ErrorKind::Internal, format!("a segment is damaged: {what}"));
    let mut text = Vec::new();
    zstd::Decoder::new(bytes)
        .and_then(|decoder| decoder.take(MAX_BYTES + 1).read_to_end(&mut text))
        .map_err(|error| damaged("it does not decompress").with_source(error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(damaged("it is larger than any segment is made"));
    }
    let entries = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (key, size, token) =
                serde_json::from_slice(line).map_err(|error| damaged("a line is not an entry").with_source(error))?;
            Ok(ListedObject { key, size, token })
        })
        .collect::<Result<Vec<_>>>()?;
    if entries.len() != count {
        return Err(damaged(&format!("it holds {} entries and was made with {count}", entries.len())));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_read_back(lines in proptest::collection::vec((any::<String>(), any::<u64>(), any::<String>()), 0..20)) {
            let entries: Vec<_> =
                lines.into_iter().map(|(key, size, token)| ListedObject { key, size, token }).collect();
            let bytes = encode(&entries).unwrap();
            prop_assert_eq!(decode(&bytes, entries.len()).unwrap(), entries);
        }
    }

    #[test]
    fn damage_is_an_error_and_not_fewer_entries() {
        let entry = ListedObject { key: "a.json".into(), size: 1, token: "t".into() };
        let bytes = encode(&[entry.clone(), entry]).unwrap();
        assert!(decode(&bytes, 3).is_err());
        assert!(decode(&bytes[..bytes.len() - 1], 2).is_err());
        assert!(decode(b"not zstd", 0).is_err());
        assert_eq!(decode(&bytes, 2).unwrap().len(), 2);
    }
}
