//! Document ids: `id:{namespace}:{type}:{n=number or g=group or nothing}:{user part}`.

use std::fmt;

use super::reply::Refusal;
use super::text_rule::illegal_code_point;

/// Longest id, in UTF-16 units.
const LONGEST: usize = 65_536;
/// Longest part before the user part, in UTF-16 units.
const LONGEST_HEAD: usize = 65_280;

/// A valid document id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentId {
    /// Has no function but to be part of the id.
    pub namespace: String,
    /// Document type.
    pub document_type: String,
    /// Which bucket the document goes to, when its id says so.
    pub location: Option<Location>,
    /// What the user chose.
    pub user: String,
}

/// The part of an id that says where the document lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// `n=`
    Number(u64),
    /// `g=`
    Group(String),
}

impl DocumentId {
    /// Puts an id together.
    ///
    /// # Errors
    /// What Vespa refuses: an empty namespace, too long an id, a code point that is no text.
    pub fn new(
        namespace: &str,
        document_type: &str,
        location: Option<Location>,
        user: String,
    ) -> Result<Self, Refusal> {
        let id = Self { namespace: namespace.to_owned(), document_type: document_type.to_owned(), location, user };
        let text = id.to_string();
        let unparsable = |why: String| Err(Refusal::bad(format!("Unparseable id '{text}': {why}")));
        if id.namespace.is_empty() {
            return unparsable("namespace must be non-empty".into());
        }
        if let Some(code) = illegal_code_point(&text) {
            return unparsable(format!("Contains illegal code point 0x{code:X}"));
        }
        let length = text.encode_utf16().count();
        if length > LONGEST || length - id.user.encode_utf16().count() >= LONGEST_HEAD {
            return unparsable(format!("Document id length {length} exceeds max length of {LONGEST}"));
        }
        Ok(id)
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, document_type, location, user } = self;
        match location {
            None => write!(f, "id:{namespace}:{document_type}::{user}"),
            Some(Location::Number(number)) => write!(f, "id:{namespace}:{document_type}:n={number}:{user}"),
            Some(Location::Group(group)) => write!(f, "id:{namespace}:{document_type}:g={group}:{user}"),
        }
    }
}
