//! The keys that payloads are sealed with, and their rotation.
//!
//! A file with one key a line, its id and 32 bytes as hexadecimal digits; empty lines and those that begin with `#` are
//! skipped. The first key seals, all of them open. To rotate: add the new key as the last one everywhere, then move it to
//! the top, and remove the old one when no workflow that was sealed with it is kept any more.

use std::fmt;
use std::path::Path;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::KeyInit as _;
use workflows::domain::ErrorKind;

use crate::output::Failure;

/// Longest file of keys that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Keys by their ids, the sealing one first. Printed, it shows ids alone.
#[derive(Clone)]
pub struct PayloadKeys(Vec<(String, Aes256Gcm)>);

impl fmt::Debug for PayloadKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl PayloadKeys {
    /// Reads a file of keys.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when it cannot be read, or is no file of keys; nothing of a key is in the words.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |reason: String| {
            Failure::new(ErrorKind::InvalidInput, format!("the file of payload keys {}: {reason}", path.display()))
        };
        let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if size > MAX_FILE_BYTES {
            return Err(wrong(format!("it has {size} bytes; at most {MAX_FILE_BYTES} are read")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    /// The keys in a text; otherwise which line is wrong, and why.
    fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<(String, Aes256Gcm)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(id), Some(key), None) = (words.next(), words.next(), words.next()) else {
                return Err(format!("line {number} is not an id and a key"));
            };
            let cipher = hex::decode(key).ok().and_then(|key| Aes256Gcm::new_from_slice(&key).ok());
            let cipher = cipher.ok_or_else(|| {
                format!("the key of line {number} is not 64 hexadecimal digits; `openssl rand -hex 32` makes one")
            })?;
            if keys.iter().any(|(known, _)| known == id) {
                return Err(format!("line {number} repeats the id {id:?}"));
            }
            keys.push((id.to_owned(), cipher));
        }
        if keys.is_empty() { Err("it holds no key".to_owned()) } else { Ok(Self(keys)) }
    }

    /// The key that seals.
    pub(super) fn sealing(&self) -> (&str, &Aes256Gcm) {
        // Never empty: `parse` refuses that.
        let (id, cipher) = &self.0[0];
        (id, cipher)
    }

    /// The key with an id.
    pub(super) fn find(&self, id: &[u8]) -> Option<&Aes256Gcm> {
        self.0.iter().find(|(known, _)| known.as_bytes() == id).map(|(_, cipher)| cipher)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Keys in this order; of one id always the same key.
    pub(in crate::payloads) fn keys(ids: &[&str]) -> PayloadKeys {
        let line = |id: &&str| format!("{id} {}\n", hex::encode([id.as_bytes()[0]; 32]));
        PayloadKeys::parse(&ids.iter().map(line).collect::<String>()).unwrap()
    }

    #[test]
    fn the_first_key_seals_and_ids_alone_are_shown() {
        let text = format!("# of 2026\n\nnew {}\n  old\t{}  \n", "0f".repeat(32), "AB".repeat(32));
        let keys = PayloadKeys::parse(&text).unwrap();
        assert_eq!(keys.sealing().0, "new");
        assert!(keys.find(b"old").is_some() && keys.find(b"older").is_none());
        assert_eq!(format!("{keys:?}"), r#"["new", "old"]"#);
    }

    #[test]
    fn what_is_no_file_of_keys_says_which_line_and_shows_no_key() {
        let key = "0f".repeat(32);
        for (text, words) in [
            (String::new(), "no key"),
            ("# none\n".to_owned(), "no key"),
            (format!("\n{key}\n"), "line 2"),
            (format!("a {key} more\n"), "line 1"),
            (format!("a {}\n", &key[..62]), "line 1"),
            ("a secret-in-plain-text\n".to_owned(), "line 1"),
            (format!("a {key}\na {key}\n"), "line 2"),
        ] {
            let said = PayloadKeys::parse(&text).unwrap_err();
            assert!(said.contains(words) && !said.contains("0f0f") && !said.contains("secret"), "{said}");
        }
    }
}
