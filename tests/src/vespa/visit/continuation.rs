//! Continuations: where a visit goes on, as an opaque text. They hold no server's memory, so they outlive a restart.

use crate::vespa::reply::Refusal;

/// Digits of base64url (RFC 4648 §5).
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Fifteen bytes make 20 digits; sixteen make 22 and two `=`, which a client has to escape.
const LENGTH: usize = 16;
const MAGIC: [u8; 4] = [0xfb, 0xef, 0xbe, 0xff];

/// How far a visit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The next bucket.
    pub bucket: u32,
    /// Pages given so far.
    pub pages: u32,
}

impl Progress {
    /// As the client gets it.
    #[must_use]
    pub fn token(self) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(MAGIC);
        bytes.extend(self.bucket.to_be_bytes());
        bytes.extend(self.pages.to_be_bytes());
        bytes.extend(self.check().to_be_bytes());
        encode(&bytes)
    }

    /// As the client gave it back.
    ///
    /// # Errors
    /// 400 for anything that was never given out.
    pub fn parse(token: &str) -> Result<Self, Refusal> {
        let malformed = || Refusal::bad(format!("Unparseable continuation '{token}'"));
        let bytes =
            decode(token).filter(|bytes| bytes.len() == LENGTH && bytes.starts_with(&MAGIC)).ok_or_else(malformed)?;
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let progress = Self { bucket: word(4), pages: word(8) };
        if progress.check() == word(12) { Ok(progress) } else { Err(malformed()) }
    }

    fn check(self) -> u32 {
        (self.bucket ^ self.pages.rotate_left(13)).wrapping_mul(0x9e37_79b1)
    }
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = char::from(DIGITS[word >> (18 - 6 * place) & 63]);
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_usize, 0);
    for digit in digits {
        word = (word << 6 | DIGITS.iter().position(|known| known == digit)?) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_forged_ones_refused() {
        let progress = Progress { bucket: 31, pages: 70_000 };
        let token = progress.token();
        assert_eq!(Progress::parse(&token).expect("its own token"), progress);
        assert!(token.ends_with("==") && token.contains(['-', '_']), "awkward in a query: {token}");
        assert_eq!(encode(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
        for forged in ["", "AAAA", "x", "+/", &token[1..], &token.replace("AB8", "AB9")] {
            Progress::parse(forged).expect_err(forged);
        }
    }
}
