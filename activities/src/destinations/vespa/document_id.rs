//! Document ids and the paths that name them.
//!
//! Vespa splits the raw path at slashes, decodes every segment as an HTML form would (a plus is a space there) and
//! refuses empty, `.` and `..` segments before and after decoding. So everything outside RFC 3986's unreserved set is
//! escaped, slashes included, and ids that no path can name are refused before anything is sent. Every answer repeats the
//! id, which is compared with the one that was meant.
//!
//! Source: Vespa's `DocumentV1ApiHandler`, `HttpURL` and `IdString`.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::sanitise::{is_legal, name_of};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Longest id. Vespa itself takes 65,536 characters, but a request line with headers of 64 KiB at most.
const MAX_BYTES: usize = 65_535;

/// Longest path, which leaves room for a query and headers below 64 KiB.
const MAX_PATH_BYTES: usize = 56 * 1024;

/// How the part of an id that is ours is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdScheme {
    /// As the platform does: `{entity type}_{entity id}`.
    Platform,
    /// The same after the sync: `{sync id}_{entity type}_{entity id}`.
    Scoped,
}

impl IdScheme {
    /// The part of an id that is ours. `id` is the entity's, or the chunk's where chunks are documents.
    pub(super) fn specific(self, sync_id: Uuid, class: &str, id: &str) -> String {
        match self {
            Self::Platform => format!("{class}_{id}"),
            Self::Scoped => format!("{sync_id}_{class}_{id}"),
        }
    }
}

/// `id:{namespace}:{document type}::{specific}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DocumentId {
    whole: String,
    /// Where the document type begins and ends, and where the specific part begins.
    document_type: (usize, usize),
    specific: usize,
}

impl DocumentId {
    /// An id that can be written. Namespace and document type are names that were checked already.
    ///
    /// # Errors
    /// In words, why no path names such an id.
    pub(super) fn new(namespace: &str, document_type: &str, specific: &str) -> Result<Self, String> {
        if matches!(specific, "" | "." | "..") {
            return Err(format!("Vespa has no address for a document whose id is {specific:?}"));
        }
        if let Some(illegal) = specific.chars().find(|character| !is_legal(*character)) {
            return Err(format!("its id holds {}, which Vespa does not take", name_of(illegal)));
        }
        let id = Self::assemble(namespace, document_type, specific);
        if id.whole.len() > MAX_BYTES || id.path().len() > MAX_PATH_BYTES {
            return Err("its id is too long for Vespa".to_owned());
        }
        Ok(id)
    }

    /// Reads an id that Vespa wrote. `None` when it is not one without number and group.
    pub(super) fn parse(whole: &str) -> Option<Self> {
        let mut parts = whole.splitn(5, ':');
        let ("id", namespace, document_type, "", specific) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
        else {
            return None;
        };
        Some(Self::assemble(namespace, document_type, specific))
    }

    fn assemble(namespace: &str, document_type: &str, specific: &str) -> Self {
        let start = "id:".len() + namespace.len() + 1;
        let end = start + document_type.len();
        let whole = format!("id:{namespace}:{document_type}::{specific}");
        Self { whole, document_type: (start, end), specific: end + 2 }
    }

    /// The namespace.
    pub(super) fn namespace(&self) -> &str {
        &self.whole["id:".len()..self.document_type.0 - 1]
    }

    /// The document type.
    pub(super) fn document_type(&self) -> &str {
        &self.whole[self.document_type.0..self.document_type.1]
    }

    /// The id in full.
    pub(super) fn as_str(&self) -> &str {
        &self.whole
    }

    /// The path of the document.
    pub(super) fn path(&self) -> String {
        let specific = &self.whole[self.specific..];
        format!("{}/{}", collection_path(self.namespace(), self.document_type()), encode(specific))
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

/// The path of all documents of a type, without a slash at the end.
pub(super) fn collection_path(namespace: &str, document_type: &str) -> String {
    format!("/document/v1/{}/{}/docid", encode(namespace), encode(document_type))
}

/// Text as part of a path or of a query.
pub(super) fn encode(text: &str) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::Url;
    use rstest::rstest;

    use super::*;

    fn id(specific: &str) -> DocumentId {
        DocumentId::new("airweave", "base_entity", specific).unwrap()
    }

    /// As Vespa reads a path: split, then each segment through `URLDecoder`.
    fn as_vespa_reads(path: &str) -> String {
        let specific = path.strip_prefix("/document/v1/airweave/base_entity/docid/").unwrap();
        let segments: Vec<_> = specific.split('/').collect();
        assert!(!segments.iter().any(|segment| matches!(*segment, "" | "." | "..")), "{path}");
        let decode = |segment: &str| {
            let spaced = segment.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).decode_utf8().unwrap().into_owned()
        };
        segments.into_iter().map(decode).collect::<Vec<_>>().join("/")
    }

    #[rstest]
    #[case::plus("a+b", "a%2Bb")]
    #[case::space("a b", "a%20b")]
    #[case::slash("a/b", "a%2Fb")]
    #[case::two_slashes("http://x//y", "http%3A%2F%2Fx%2F%2Fy")]
    #[case::slash_at_the_end("trail/", "trail%2F")]
    #[case::dots_inside("a/../b", "a%2F..%2Fb")]
    #[case::not_in_rfc_2396("|^[]\"<>`{}\\", "%7C%5E%5B%5D%22%3C%3E%60%7B%7D%5C")]
    #[case::percent("100%", "100%25")]
    #[case::reserved(":@;=&!'(),*~$?#", "%3A%40%3B%3D%26%21%27%28%29%2C%2A~%24%3F%23")]
    #[case::line_end("a\nb", "a%0Ab")]
    #[case::unicode("é漢🦀", "%C3%A9%E6%BC%A2%F0%9F%A6%80")]
    fn paths_are_escaped(#[case] specific: &str, #[case] escaped: &str) {
        let path = id(specific).path();
        assert_eq!(path, format!("/document/v1/airweave/base_entity/docid/{escaped}"));
        assert_eq!(as_vespa_reads(&path), specific);
    }

    #[rstest]
    #[case("")]
    #[case(".")]
    #[case("..")]
    #[case("a\0b")]
    #[case("\u{1b}")]
    #[case("\u{fdd0}")]
    #[case("\u{ffff}")]
    #[case("\u{10fffe}")]
    fn what_no_path_names_is_refused(#[case] specific: &str) {
        DocumentId::new("airweave", "base_entity", specific).unwrap_err();
    }

    #[test]
    fn long_ids_are_refused_before_the_server_has_to() {
        assert!(DocumentId::new("n", "t", &"x".repeat(50_000)).is_ok());
        assert!(DocumentId::new("n", "t", &"漢".repeat(10_000)).is_err(), "90,000 bytes once escaped");
        assert!(DocumentId::new("n", "t", &"x".repeat(70_000)).is_err());
    }

    #[test]
    fn an_answer_names_the_same_id() {
        let meant = id("a:b::c/d e");
        assert_eq!(meant.as_str(), "id:airweave:base_entity::a:b::c/d e");
        let read = DocumentId::parse(meant.as_str()).unwrap();
        assert_eq!((read.namespace(), read.document_type()), ("airweave", "base_entity"));
        assert_eq!(read, meant);
        for other in ["", "id:a:b", "doc:a:b::c", "id:a:b:n=7:c", "id:a:b:g=x:c"] {
            assert_eq!(DocumentId::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn schemes() {
        let sync = Uuid::from_u128(7);
        assert_eq!(IdScheme::Platform.specific(sync, "C", "e__chunk_0"), "C_e__chunk_0");
        assert_eq!(
            IdScheme::Scoped.specific(sync, "C", "e__chunk_0"),
            "00000000-0000-0000-0000-000000000007_C_e__chunk_0"
        );
    }

    proptest! {
        #[test]
        fn every_id_that_is_taken_arrives_as_it_was(specific in "\\PC{1,40}|[ -~]{1,40}|[./+%]{1,6}") {
            if let Ok(id) = DocumentId::new("airweave", "base_entity", &specific) {
                let path = id.path();
                prop_assert_eq!(as_vespa_reads(&path), specific);
                // What the HTTP client makes of it on the way.
                let url = Url::parse(&format!("http://h{path}")).unwrap();
                prop_assert_eq!(url.path(), path);
            }
        }
    }
}
