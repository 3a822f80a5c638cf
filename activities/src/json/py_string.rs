//! Python's `str`: Unicode text that may hold lone surrogates.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A string as Python holds it: a sequence of code points, surrogates included.
///
/// Nearly every string is ordinary text and is kept as a `String`. One with lone surrogates (`"\ud800"` in JSON) keeps
/// them beside the text around them, so that it can be written back unchanged. A high surrogate directly before a low
/// one is always joined to the character the pair stands for, as Python's JSON reader does; equality is therefore
/// equality of code points.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PyString {
    repr: Repr,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Text(String),
    Surrogates(Box<Surrogates>),
}

/// Text before each lone surrogate with that surrogate (at least one), then the rest.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Surrogates {
    pieces: Vec<(String, u16)>,
    tail: String,
}

impl PyString {
    /// The text, unless there are lone surrogates in it.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.repr {
            Repr::Text(text) => Some(text),
            Repr::Surrogates(_) => None,
        }
    }

    /// The text with U+FFFD in place of each lone surrogate.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        match &self.repr {
            Repr::Text(text) => Cow::Borrowed(text),
            Repr::Surrogates(_) => {
                let mut text = String::new();
                for (part, surrogate) in self.parts() {
                    text.push_str(part);
                    if surrogate.is_some() {
                        text.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Cow::Owned(text)
            }
        }
    }

    /// Like [`Self::to_string_lossy`], without a copy when the string is ordinary text.
    #[must_use]
    pub fn into_string_lossy(self) -> String {
        match self.repr {
            Repr::Text(text) => text,
            Repr::Surrogates(_) => self.to_string_lossy().into_owned(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_str().is_some_and(str::is_empty)
    }

    /// Runs of ordinary text, each with the lone surrogate that follows it; only the last one has none.
    pub fn parts(&self) -> impl Iterator<Item = (&str, Option<u16>)> {
        let (pieces, tail): (&[(String, u16)], &str) = match &self.repr {
            Repr::Text(text) => (&[], text),
            Repr::Surrogates(surrogates) => (&surrogates.pieces, &surrogates.tail),
        };
        let pieces = pieces.iter().map(|(text, surrogate)| (text.as_str(), Some(*surrogate)));
        pieces.chain(std::iter::once((tail, None)))
    }

    /// The code points, as iterating over the string in Python gives them.
    pub fn code_points(&self) -> impl Iterator<Item = u32> {
        self.parts().flat_map(|(text, surrogate)| text.chars().map(u32::from).chain(surrogate.map(u32::from)))
    }
}

impl Default for PyString {
    fn default() -> Self {
        Self { repr: Repr::Text(String::new()) }
    }
}

impl From<String> for PyString {
    fn from(text: String) -> Self {
        Self { repr: Repr::Text(text) }
    }
}

impl From<&str> for PyString {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl PartialEq<str> for PyString {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for PyString {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

/// By code points, as Python orders strings. For ordinary text that is the order of the UTF-8 bytes.
impl Ord for PyString {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.as_str(), other.as_str()) {
            (Some(one), Some(two)) => one.cmp(two),
            _ => self.code_points().cmp(other.code_points()),
        }
    }
}

impl PartialOrd for PyString {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Quoted, with lone surrogates as `\u{d800}`.
impl fmt::Debug for PyString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for (text, surrogate) in self.parts() {
            write!(f, "{}", text.escape_debug())?;
            if let Some(surrogate) = surrogate {
                write!(f, "\\u{{{surrogate:x}}}")?;
            }
        }
        f.write_str("\"")
    }
}

/// Puts a [`PyString`] together from text and UTF-16 surrogates, joining pairs.
#[derive(Debug, Default)]
pub struct PyStringBuilder {
    pieces: Vec<(String, u16)>,
    tail: String,
}

impl PyStringBuilder {
    /// Appends ordinary text.
    pub fn push_str(&mut self, text: &str) {
        self.tail.push_str(text);
    }

    /// Appends one character.
    pub fn push(&mut self, character: char) {
        self.tail.push(character);
    }

    /// Appends a UTF-16 code unit as `\uXXXX` gives it. A low surrogate joins the high one directly before it.
    pub fn push_code_unit(&mut self, unit: u16) {
        if let Some(character) = char::from_u32(u32::from(unit)) {
            self.tail.push(character);
            return;
        }
        if is_low(unit)
            && self.tail.is_empty()
            && let Some((text, high)) = self.pieces.pop_if(|(_, last)| !is_low(*last))
        {
            self.tail = text;
            self.tail.extend(char::decode_utf16([high, unit]).flatten());
            return;
        }
        self.pieces.push((std::mem::take(&mut self.tail), unit));
    }

    /// The string.
    #[must_use]
    pub fn finish(self) -> PyString {
        let repr = if self.pieces.is_empty() {
            Repr::Text(self.tail)
        } else {
            Repr::Surrogates(Box::new(Surrogates { pieces: self.pieces, tail: self.tail }))
        };
        PyString { repr }
    }
}

/// Whether a surrogate is the second half of a pair.
fn is_low(unit: u16) -> bool {
    (0xDC00..=0xDFFF).contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_units(units: &[u16]) -> PyString {
        let mut builder = PyStringBuilder::default();
        units.iter().for_each(|unit| builder.push_code_unit(*unit));
        builder.finish()
    }

    #[test]
    fn pairs_become_characters_and_lone_surrogates_stay() {
        assert_eq!(from_units(&[0xD83D, 0xDE00]), PyString::from("😀"));
        let lone = from_units(&[0x61, 0xD83D, 0xD83D, 0xDE00, 0xDE00, 0x62]);
        assert_eq!(lone.as_str(), None);
        assert_eq!(lone.code_points().collect::<Vec<_>>(), [0x61, 0xD83D, 0x1F600, 0xDE00, 0x62]);
        assert_eq!(lone.to_string_lossy(), "a\u{FFFD}😀\u{FFFD}b");
        assert_eq!(lone.clone().into_string_lossy(), "a\u{FFFD}😀\u{FFFD}b");
        assert_eq!(format!("{lone:?}"), "\"a\\u{d83d}😀\\u{de00}b\"");
    }

    #[test]
    fn order_is_that_of_code_points_not_of_utf16() {
        // Python: sorted(["\U0001f600", "\uffff", "\ud800", "a", ""])
        let mut strings =
            vec![PyString::from("😀"), PyString::from("\u{FFFF}"), from_units(&[0xD800]), "a".into(), "".into()];
        strings.sort();
        let expected =
            [PyString::from(""), "a".into(), from_units(&[0xD800]), PyString::from("\u{FFFF}"), PyString::from("😀")];
        assert_eq!(strings, expected);
    }

    #[test]
    fn emptiness_counts_surrogates() {
        assert!(PyString::default().is_empty());
        assert!(!from_units(&[0xDC00]).is_empty());
    }
}
