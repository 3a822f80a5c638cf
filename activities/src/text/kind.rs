//! What kind of thing an entity is: which base class it derives from.

use crate::json::Object;

/// The base class that decides where an entity's content comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntityKind {
    /// Fields only.
    Base,
    /// A file; its bytes are a blob of the raw store.
    File,
    /// A file of source code; it has no metadata section.
    CodeFile,
    /// A message; its body is a blob.
    Email,
    /// A web page; its content is not in the raw store.
    Web,
    /// Says that something is gone; never stored.
    Deletion,
    /// A row of a database table, of a class made at run time.
    Polymorphic,
}

impl EntityKind {
    /// From the name of the base class.
    #[must_use]
    pub fn from_base_class(name: &str) -> Option<Self> {
        Some(match name {
            "BaseEntity" => Self::Base,
            "FileEntity" => Self::File,
            "CodeFileEntity" => Self::CodeFile,
            "EmailEntity" => Self::Email,
            "WebEntity" => Self::Web,
            "DeletionEntity" => Self::Deletion,
            "PolymorphicEntity" => Self::Polymorphic,
            _ => return None,
        })
    }

    /// The kind an entity of an unknown class must be of, judging by fields that only one kind has.
    ///
    /// An e-mail has the fields of a file and nothing more, so it counts as a file; both are treated alike.
    #[must_use]
    pub fn guess(fields: &Object) -> Self {
        let has = |names: &[&str]| names.iter().all(|name| fields.get(name).is_some());
        if has(&["url", "size", "file_type", "local_path"]) {
            if has(&["repo_name", "path_in_repo", "commit_id"]) { Self::CodeFile } else { Self::File }
        } else if has(&["crawl_url"]) {
            Self::Web
        } else if has(&["deletion_status"]) {
            Self::Deletion
        } else if has(&["table_name", "primary_key_columns"]) {
            Self::Polymorphic
        } else {
            Self::Base
        }
    }

    /// Whether its content is a blob, which is also part of its hash.
    #[must_use]
    pub fn is_file(self) -> bool {
        matches!(self, Self::File | Self::CodeFile | Self::Email)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::json::parse;

    #[rstest]
    #[case(r#"{"entity_id": "1", "url": "u"}"#, EntityKind::Base)]
    #[case(r#"{"url": "u", "size": 1, "file_type": "text", "local_path": null}"#, EntityKind::File)]
    #[case(
        r#"{"url": "", "size": 1, "file_type": "code", "local_path": "", "repo_name": "", "path_in_repo": "", "commit_id": ""}"#,
        EntityKind::CodeFile
    )]
    #[case(r#"{"crawl_url": "u"}"#, EntityKind::Web)]
    #[case(r#"{"deletion_status": "removed"}"#, EntityKind::Deletion)]
    #[case(r#"{"table_name": "t", "schema_name": null, "primary_key_columns": ["id"]}"#, EntityKind::Polymorphic)]
    fn unknown_classes_are_told_by_their_fields(#[case] fields: &str, #[case] kind: EntityKind) {
        let value = parse(fields.as_bytes()).unwrap();
        assert_eq!(EntityKind::guess(value.as_object().unwrap()), kind);
    }
}
