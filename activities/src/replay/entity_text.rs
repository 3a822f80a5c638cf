//! The text and the content hash of one entity, its stored file included.

use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::content::{self, ContentError};
use crate::text::{Entity, EntityKind, content_hash, full_text, metadata_section};

/// What an entity says.
#[derive(Debug)]
pub(crate) struct EntityText {
    /// Content hash as the platform computes it, 64 hex digits.
    pub(crate) content_hash: String,
    /// Its text, or why there is none.
    pub(crate) text: Result<String, NoText>,
    /// File extension when the text is code, for chunking along its syntax.
    pub(crate) language: Option<String>,
    /// Something worth counting although there is a text.
    pub(crate) gap: Option<String>,
}

/// Why an entity has no text. The platform leaves such entities out of its destinations too, but silently.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoText {
    /// Nothing to write, and nothing wrong: counted under this name.
    Gap(String),
    /// Its file is damaged or too large: a dead letter.
    Broken(String),
}

impl fmt::Display for NoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap(reason) | Self::Broken(reason) => f.write_str(reason),
        }
    }
}

/// Builds text and hash. `blob` is the stored file, for kinds whose content is one. Bound to the processor.
pub(crate) fn entity_text(entity: &Entity, source_name: &str, blob: Option<&Bytes>) -> EntityText {
    let blob_hash = blob.map(|blob| hex::encode(Sha256::digest(blob)));
    let hash = content_hash(entity, blob_hash.as_deref());
    let metadata = metadata_section(entity, source_name);
    let kind = entity.kind();

    if !kind.is_file() {
        let gap =
            (kind == EntityKind::Web).then(|| "web page without its content, which is not in the raw store".to_owned());
        let text =
            full_text(metadata.as_deref(), None).ok_or_else(|| NoText::Gap("entity without any text".to_owned()));
        return EntityText { content_hash: hash, text, language: None, gap };
    }

    let file_name = file_name(entity);
    let text = match blob {
        None => Err(NoText::Gap("file that was not stored".to_owned())),
        Some(blob) => match content::convert(&file_name, blob) {
            Ok(Some(content)) => full_text(metadata.as_deref(), Some(&content))
                .ok_or_else(|| NoText::Gap("file without any text".to_owned())),
            Ok(None) => Err(NoText::Gap("file without any text".to_owned())),
            Err(error @ (ContentError::Malformed { .. } | ContentError::TooLarge { .. })) => {
                Err(NoText::Broken(error.to_string()))
            }
            Err(
                error @ (ContentError::Unsupported { .. }
                | ContentError::NoTextLayer { .. }
                | ContentError::PasswordProtected { .. }),
            ) => Err(NoText::Gap(error.to_string())),
        },
    };
    let language = (kind == EntityKind::CodeFile || content::is_code(&file_name))
        .then(|| file_name.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_lowercase()));
    EntityText { content_hash: hash, text, language, gap: None }
}

/// The platform picks the converter by the path the file had when it was captured; the stored file keeps its ending.
fn file_name(entity: &Entity) -> String {
    entity.local_path().or_else(|| entity.stored_file()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::text::Catalog;

    fn entity(fields: &str) -> Entity {
        let text = format!(
            r#"{{"entity_id":"1","name":"n","breadcrumbs":[],"__entity_module__":"m","__entity_class__":"Unheard",{fields}}}"#
        );
        Entity::from_value(json::parse(text.as_bytes()).unwrap(), Catalog::builtin()).unwrap()
    }

    fn file(local_path: &str) -> Entity {
        entity(&format!(
            r#""url":"u","size":1,"file_type":"x","local_path":"{local_path}","__stored_file__":"raw/x/files/y""#
        ))
    }

    #[test]
    fn a_record_has_its_metadata_as_text() {
        let text = entity_text(&entity(r#""note":"hello""#), "stub", None).text.unwrap();
        assert!(text.contains("**Source**: stub") && text.contains("**Note**: hello"), "{text}");
    }

    #[test]
    fn a_file_is_metadata_and_content() {
        let text = entity_text(&file("/tmp/a.md"), "stub", Some(&Bytes::from_static(b" body "))).text.unwrap();
        assert!(text.ends_with("\n\n# Content\n\nbody"), "{text}");
    }

    #[test]
    fn what_has_no_text_is_named() {
        let none = |path: &str, blob: Option<&'static [u8]>| {
            entity_text(&file(path), "stub", blob.map(Bytes::from_static).as_ref()).text.unwrap_err()
        };
        assert_eq!(none("a.md", None), NoText::Gap("file that was not stored".to_owned()));
        assert_eq!(none("a.md", Some(b"  \n")), NoText::Gap("file without any text".to_owned()));
        assert!(matches!(none("a.dwg", Some(b"x")), NoText::Gap(gap) if gap.contains(".dwg")));
        assert!(matches!(none("a.docx", Some(b"not a zip")), NoText::Broken(_)));
    }

    #[test]
    fn the_file_is_part_of_the_hash() {
        let hash =
            |blob: &'static [u8]| entity_text(&file("a.md"), "stub", Some(&Bytes::from_static(blob))).content_hash;
        assert_ne!(hash(b"one"), hash(b"two"));
    }
}
