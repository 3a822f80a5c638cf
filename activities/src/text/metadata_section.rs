//! The text of an entity: a section about it, then its content.

use crate::json::Value;

use super::{DateTime, Entity, EntityKind, FieldType, python_str, title_case};

/// The metadata section of an entity; code files have none.
///
/// `source_name` is the short name of the original source, from the manifest of the raw store. Lone surrogates become
/// U+FFFD.
#[must_use]
pub fn metadata_section(entity: &Entity, source_name: &str) -> Option<String> {
    if entity.kind() == EntityKind::CodeFile {
        return None;
    }
    let mut out = String::with_capacity(512);
    out.push_str("# Metadata\n\n**Source**: ");
    out.push_str(source_name);
    out.push_str("\n**Type**: ");
    out.push_str(entity.class());
    out.push_str("\n**Name**: ");
    out.push_str(entity.name());
    write_path(&mut out, entity.field("breadcrumbs"));

    let mut lines: Vec<_> = entity
        .fields
        .iter()
        .filter(|field| !field.value.is_null())
        .filter_map(|field| field.embeddable_at.map(|at| (at, field)))
        .collect();
    lines.sort_by_key(|(at, _)| *at);
    if !lines.is_empty() {
        out.push('\n');
    }
    for (_, field) in lines {
        out.push_str("\n**");
        out.push_str(&title_case(&field.key.to_string_lossy().replace('_', " ")));
        out.push_str("**: ");
        write_value(&mut out, &field.value, field.field_type);
    }
    Some(out)
}

/// The text to chunk: the metadata section, then the content converted from the blob, if there is any. `None` when
/// there is neither. For a code file, which has no section, the text starts with the empty lines before the content.
///
/// An entity whose kind has content ([`EntityKind::is_file`], web pages) but that yields none is not to be indexed by
/// its metadata alone: the platform drops it, so the caller must record it.
#[must_use]
pub fn full_text(metadata: Option<&str>, content: Option<&str>) -> Option<String> {
    match (metadata, content) {
        (None, None) => None,
        (Some(metadata), None) => Some(metadata.to_owned()),
        (metadata, Some(content)) => Some([metadata.unwrap_or(""), "\n\n# Content\n\n", content].concat()),
    }
}

/// `**Path**: Type: Name → Type: Name`, when there are breadcrumbs.
fn write_path(out: &mut String, breadcrumbs: Option<&Value>) {
    let breadcrumbs = breadcrumbs.and_then(Value::as_array).unwrap_or_default();
    for (index, breadcrumb) in breadcrumbs.iter().enumerate() {
        out.push_str(if index == 0 { "\n**Path**: " } else { " → " });
        let text = |key| breadcrumb.get(key).and_then(Value::as_py_str).map(|text| text.to_string_lossy());
        out.push_str(crumb_type(&text("entity_type").unwrap_or_default()));
        out.push_str(": ");
        out.push_str(&text("name").unwrap_or_default());
    }
}

/// The class name without `Entity` at its end and without the word before its second capital: the platform means to
/// drop the name of the source, and turns `AsanaProjectEntity` into `Project` but `GitHubRepositoryEntity` into
/// `HubRepository`.
fn crumb_type(class: &str) -> &str {
    let class = class.strip_suffix("Entity").unwrap_or(class);
    let second_capital = class.char_indices().skip(1).find(|(_, character)| character.is_uppercase());
    second_capital.map_or(class, |(at, _)| &class[at..])
}

fn write_value(out: &mut String, value: &Value, field_type: FieldType) {
    let date_time = match field_type {
        FieldType::DateTime => value.as_str().and_then(DateTime::parse),
        _ => None,
    };
    match date_time {
        Some(date_time) => out.push_str(&date_time.to_isoformat()),
        None => python_str::write_str(out, value),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::json::parse;
    use crate::text::Catalog;

    fn entity(json: &str) -> Entity {
        Entity::from_value(parse(json.as_bytes()).unwrap(), Catalog::builtin()).unwrap()
    }

    #[rstest]
    #[case("AsanaProjectEntity", "Project")]
    #[case("GitHubRepositoryEntity", "HubRepository")]
    #[case("Entity", "")]
    #[case("Workspace", "Workspace")]
    #[case("notionPage", "Page")]
    #[case("", "")]
    #[case("ÉtatÀEntity", "À")]
    fn types_of_breadcrumbs(#[case] class: &str, #[case] expected: &str) {
        assert_eq!(crumb_type(class), expected);
    }

    #[test]
    fn a_known_class() {
        let task = entity(
            r#"{"entity_id": "7", "breadcrumbs": [], "name": "T", "gid": "7", "assignee": {"gid": "7", "name": "O'Neil", "x": null},
                "notes": "a\ud800b", "created_at": "2024-01-15T10:30:00Z", "custom_fields": [], "completed_at": "2024-01-15T10:30:00.5+02:00",
                "__entity_class__": "AsanaTaskEntity", "__entity_module__": "airweave.platform.entities.asana"}"#,
        );
        assert_eq!(
            metadata_section(&task, "asana").unwrap(),
            concat!(
                "# Metadata\n\n**Source**: asana\n**Type**: AsanaTaskEntity\n**Name**: T\n\n**Name**: T\n",
                "**Assignee**: {'gid': '7', 'name': \"O'Neil\", 'x': None}\n",
                "**Completed At**: 2024-01-15T10:30:00.500000+02:00\n**Notes**: a\u{FFFD}b\n**Custom Fields**: []"
            )
        );
    }

    #[test]
    fn an_unknown_class_has_its_scalars_in_stored_order() {
        let row = entity(
            r#"{"entity_id": "1", "breadcrumbs": [{"entity_id": "d", "name": "Db"}], "name": null, "access": {"is_public": true},
                "zeta": 1.0, "größe_cm": 3, "tags": ["x"], "flag": false, "gone": null, "url": "u", "web_url": "w",
                "__entity_class__": "UsersTableEntity", "__entity_module__": "made.at.run.time"}"#,
        );
        assert!(!row.is_known_class());
        assert_eq!(
            metadata_section(&row, "postgres").unwrap(),
            "# Metadata\n\n**Source**: postgres\n**Type**: UsersTableEntity\n**Name**: None\n**Path**: : Db\n\n**Zeta**: 1.0\n**Größe Cm**: 3\n**Flag**: False"
        );
    }

    #[test]
    fn code_has_no_section_and_content_follows_an_empty_one() {
        let code = entity(
            r#"{"entity_id": "f", "name": "f", "__entity_class__": "GitHubCodeFileEntity",
                "__entity_module__": "airweave.platform.entities.github"}"#,
        );
        assert_eq!(metadata_section(&code, "github"), None);
        assert_eq!(full_text(None, Some("x = 1")).as_deref(), Some("\n\n# Content\n\nx = 1"));
        assert_eq!(full_text(Some("m"), Some("x")).as_deref(), Some("m\n\n# Content\n\nx"));
        assert_eq!(full_text(Some("m"), None).as_deref(), Some("m"));
        assert_eq!(full_text(None, None), None);
    }
}
