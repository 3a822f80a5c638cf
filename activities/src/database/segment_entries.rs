//! The frozen entries of a segment as bytes: a zstd frame over one JSON array per line, `[key, size, token, modified_ms]` for
//! an object to write and `[key, entity_id]` for one to delete. Earlier releases wrote `[key, size, token]`.

use std::io::Read;

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::ListedObject;

/// Upper bound of the decompressed entries, in bytes: far above what the largest segment of the longest names needs.
const MAX_BYTES: u64 = 1 << 30;

/// What a plan wants done about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedChange {
    /// It is new, or another version than the slot holds.
    Write(ListedObject),
    /// The slot holds it, and it was not listed any more.
    Delete {
        /// Key of the object.
        object_key: String,
        /// The entity that was in it.
        entity_id: String,
    },
}

impl PlannedChange {
    /// Bytes to be read for it.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Write(object) => object.size,
            Self::Delete { .. } => 0,
        }
    }
}

/// Compresses entries.
pub(super) fn encode(entries: &[PlannedChange]) -> Result<Vec<u8>> {
    let broken = |error| Error::new(ErrorKind::Internal, "a segment could not be encoded").with_source(error);
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).map_err(broken)?;
    for entry in entries {
        let line = match entry {
            PlannedChange::Write(object) => json!([object.key, object.size, object.token, object.modified_ms]),
            PlannedChange::Delete { object_key, entity_id } => json!([object_key, entity_id]),
        };
        serde_json::to_writer(&mut encoder, &line).map_err(|error| broken(error.into()))?;
        std::io::Write::write_all(&mut encoder, b"\n").map_err(broken)?;
    }
    encoder.finish().map_err(broken)
}

/// Reads `count` entries back.
pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Vec<PlannedChange>> {
    let mut text = Vec::new();
    zstd::Decoder::new(bytes)
        .and_then(|decoder| decoder.take(MAX_BYTES + 1).read_to_end(&mut text))
        .map_err(|error| damaged("it does not decompress").with_source(error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(damaged("it is larger than any segment is made"));
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let entries = lines.map(decode_line).collect::<Result<Vec<_>>>()?;
    if entries.len() != count {
        return Err(damaged(&format!("it holds {} entries and was made with {count}", entries.len())));
    }
    Ok(entries)
}

fn decode_line(line: &[u8]) -> Result<PlannedChange> {
    let line: Vec<Value> =
        serde_json::from_slice(line).map_err(|error| damaged("a line is no array").with_source(error))?;
    let change = match line.as_slice() {
        [Value::String(key), Value::Number(size), Value::String(token), modified @ ..] if modified.len() < 2 => {
            size.as_u64().map(|size| {
                let modified_ms = modified.first().and_then(Value::as_i64).unwrap_or_default();
                PlannedChange::Write(ListedObject { key: key.clone(), size, token: token.clone(), modified_ms })
            })
        }
        [Value::String(key), Value::String(entity_id)] => {
            Some(PlannedChange::Delete { object_key: key.clone(), entity_id: entity_id.clone() })
        }
        _ => None,
    };
    change.ok_or_else(|| damaged("a line is not an entry"))
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("a segment is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change() -> impl Strategy<Value = PlannedChange> {
        prop_oneof![
            any::<(String, u64, String, i64)>().prop_map(|(key, size, token, modified_ms)| {
                PlannedChange::Write(ListedObject { key, size, token, modified_ms })
            }),
            any::<(String, String)>()
                .prop_map(|(object_key, entity_id)| PlannedChange::Delete { object_key, entity_id }),
        ]
    }

    proptest! {
        #[test]
        fn entries_read_back(entries in proptest::collection::vec(change(), 0..20)) {
            let bytes = encode(&entries).unwrap();
            prop_assert_eq!(decode(&bytes, entries.len()).unwrap(), entries);
        }
    }

    #[test]
    fn damage_is_an_error_and_not_fewer_entries() {
        let entry = PlannedChange::Delete { object_key: "a.json".into(), entity_id: "a".into() };
        let bytes = encode(&[entry.clone(), entry]).unwrap();
        assert!(decode(&bytes, 3).is_err());
        assert!(decode(&bytes[..bytes.len() - 1], 2).is_err());
        assert!(decode(b"not zstd", 0).is_err());
        assert_eq!(decode(&bytes, 2).unwrap().len(), 2);
    }

    #[test]
    fn an_entry_of_an_earlier_release_is_a_write() {
        let object = ListedObject { key: "a.json".into(), size: 3, token: "t".into(), modified_ms: 0 };
        assert_eq!(decode_line(br#"["a.json",3,"t"]"#).unwrap(), PlannedChange::Write(object));
        for line in [&br#"["a.json",-3,"t",1]"#[..], br#"["a.json",3,"t",1,2]"#, br#"["a.json"]"#, b"{}"] {
            assert!(decode_line(line).is_err());
        }
    }
}
