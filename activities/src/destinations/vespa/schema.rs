//! The document types of the platform's application packages, and the fields of each.
//!
//! There are five: `base_entity`, from which `web_entity` and `file_entity` inherit, and from the latter
//! `code_file_entity` and `email_entity`. An entity goes into the one of its kind.
//!
//! Fields of every type: `entity_id`, `name` (strings), `breadcrumbs` (array of a struct of three strings), `created_at`,
//! `updated_at` (seconds since 1970), `airweave_system_metadata_` with `collection_id`, `entity_type`, `sync_id`,
//! `sync_job_id`, `hash`, `original_entity_id` and `source_name` (strings), `textual_representation`, `payload` (strings).
//! Where chunks are documents also `airweave_system_metadata_chunk_index` (int), `access_is_public` (bool),
//! `access_viewers` (array of strings), `dense_embedding` (bfloat16, indexed) and `sparse_embedding` (float, mapped by
//! `token`). Where entities are documents, Vespa makes chunks and vectors itself, in fields that take no feed.

use crate::json::Object;
use crate::text::{Catalog, EntityKind};

/// A document type of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DocumentType {
    Base,
    Web,
    File,
    CodeFile,
    Email,
}

/// What a field of one type only holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnField {
    Text,
    Long,
}

/// Fields of `file_entity` and of the types that inherit from it.
const FILE_FIELDS: &[(&str, OwnField)] = &[
    ("url", OwnField::Text),
    ("size", OwnField::Long),
    ("file_type", OwnField::Text),
    ("mime_type", OwnField::Text),
    ("local_path", OwnField::Text),
];

/// The same with those of `code_file_entity`. The platform leaves the former empty for code, and with them what it knows.
const CODE_FILE_FIELDS: &[(&str, OwnField)] = &[
    ("url", OwnField::Text),
    ("size", OwnField::Long),
    ("file_type", OwnField::Text),
    ("mime_type", OwnField::Text),
    ("local_path", OwnField::Text),
    ("repo_name", OwnField::Text),
    ("path_in_repo", OwnField::Text),
    ("repo_owner", OwnField::Text),
    ("language", OwnField::Text),
    ("commit_id", OwnField::Text),
];

impl DocumentType {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Base, Self::File, Self::CodeFile, Self::Email, Self::Web];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Base => "base_entity",
            Self::Web => "web_entity",
            Self::File => "file_entity",
            Self::CodeFile => "code_file_entity",
            Self::Email => "email_entity",
        }
    }

    /// The type that entities of a kind go into.
    pub(super) fn of(kind: EntityKind) -> Self {
        match kind {
            EntityKind::Base | EntityKind::Deletion | EntityKind::Polymorphic => Self::Base,
            EntityKind::Web => Self::Web,
            EntityKind::File => Self::File,
            EntityKind::CodeFile => Self::CodeFile,
            EntityKind::Email => Self::Email,
        }
    }

    /// Fields that not every type has.
    pub(super) fn own_fields(self) -> &'static [(&'static str, OwnField)] {
        match self {
            Self::Base => &[],
            Self::Web => &[("crawl_url", OwnField::Text)],
            Self::File | Self::Email => FILE_FIELDS,
            Self::CodeFile => CODE_FILE_FIELDS,
        }
    }
}

/// The kind of a class. Where the catalogue knows no class of that name, or several, its fields tell.
pub(super) fn kind_of(class: &str, fields: &Object) -> EntityKind {
    Catalog::builtin().find("", class).map_or_else(|| EntityKind::guess(fields), |info| info.kind)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("SlackMessageEntity", "base_entity")]
    #[case("GitHubCodeFileEntity", "code_file_entity")]
    #[case("GoogleDriveFileEntity", "file_entity")]
    #[case("GmailMessageEntity", "email_entity")]
    #[case("NobodyKnowsThisEntity", "base_entity")]
    fn classes_have_their_type(#[case] class: &str, #[case] expected: &str) {
        assert_eq!(DocumentType::of(kind_of(class, &Object::default())).name(), expected);
    }

    #[test]
    fn an_unknown_class_is_told_by_its_fields() {
        let entries = ["url", "size", "file_type", "local_path"].map(|key| (key.into(), "x".into()));
        assert_eq!(kind_of("Unheard", &Object::from_entries(entries.to_vec())), EntityKind::File);
    }

    #[test]
    fn code_files_inherit_the_fields_of_files() {
        assert!(CODE_FILE_FIELDS.starts_with(FILE_FIELDS));
    }
}
