//! How the platform turns an entity id into a file name.

use std::borrow::Cow;

use md5::{Digest, Md5};

/// Longest name, in code points.
const MAX_CODE_POINTS: usize = 200;
/// How much of a changed or overlong id is kept, in code points.
const KEPT_CODE_POINTS: usize = 50;
/// How many hex digits of the MD5 make a shortened name unique again.
const DIGEST_DIGITS: usize = 12;

/// The platform's `safe()`: the file name of an id, without extension.
///
/// Separators and wildcards become `_`, runs of `_` collapse and are stripped at the ends; when that changed the id
/// or left more than 200 code points, the first 50 are kept and 12 hex digits of the MD5 of the id follow. All else
/// passes through: spaces, dots, control characters, any script. The id cannot be recovered from the name.
#[must_use]
pub fn safe_name(id: &str) -> Cow<'_, str> {
    let cleaned = clean(id);
    if cleaned == id && id.chars().nth(MAX_CODE_POINTS).is_none() {
        return Cow::Borrowed(id);
    }
    let mut name: String = cleaned.chars().take(KEPT_CODE_POINTS).collect();
    name.push('_');
    name.push_str(&hex::encode(Md5::digest(id))[..DIGEST_DIGITS]);
    Cow::Owned(name)
}

/// The file of an entity below `entities/`: `{safe_name}.json`.
///
/// Two entities of one sync may share it: the platform lets classes reuse an id, and then the last writer wins.
#[must_use]
pub fn entity_file_name(entity_id: &str) -> String {
    format!("{}.json", safe_name(entity_id))
}

fn clean(id: &str) -> String {
    let mut cleaned = String::with_capacity(id.len());
    for character in id.chars() {
        let character = match character {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            other => other,
        };
        if character != '_' || !cleaned.ends_with('_') {
            cleaned.push(character);
        }
    }
    cleaned.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    /// Results of the platform's own function.
    #[rstest]
    #[case("a/b", "a_b_a7e86136543b")]
    #[case("a_b", "a_b")]
    #[case("a__b", "a_b_6421b94eeb4c")]
    #[case("_a", "a_5c855e094bdf")]
    #[case("", "")]
    #[case("/", "_6666cd76f969")]
    #[case("::", "_4501c091b036")]
    #[case("..", "..")]
    fn as_the_platform(#[case] id: &str, #[case] name: &str) {
        assert_eq!(safe_name(id), name);
        assert_eq!(entity_file_name(id), format!("{name}.json"));
    }

    #[test]
    fn lengths_are_code_points() {
        assert_eq!(safe_name(&"x".repeat(200)), "x".repeat(200));
        assert_eq!(safe_name(&"x".repeat(201)), format!("{}_3ea01af17162", "x".repeat(50)));
        assert_eq!(safe_name(&"漢".repeat(200)), "漢".repeat(200));
        let long = "漢".repeat(240);
        let name = safe_name(&long).into_owned();
        assert_eq!(name.chars().count(), 63);
        assert!(name.starts_with(&"漢".repeat(50)));
    }

    #[rstest]
    #[case("with space")]
    #[case("100%")]
    #[case("line\nbreak")]
    #[case("tab\tand\u{1}")]
    #[case("e\u{301}")]
    #[case("Ünïcödé")]
    #[case(" leading and trailing ")]
    fn passes_through(#[case] id: &str) {
        assert!(matches!(safe_name(id), Cow::Borrowed(name) if name == id));
    }

    proptest! {
        #[test]
        fn is_bounded_free_of_separators_and_settled(id in any::<String>()) {
            let name = safe_name(&id).into_owned();
            prop_assert!(name.chars().count() <= MAX_CODE_POINTS);
            prop_assert!(!name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|']));
            prop_assert_eq!(&safe_name(&id), &name);
            // A name is its own name, unless cutting left an underscore at an end or beside the separator.
            if !name.starts_with('_') && !name.contains("__") {
                prop_assert_eq!(safe_name(&name), name.clone());
            }
        }

        #[test]
        fn long_ids_of_any_script_are_bounded(id in "\\PC{150,400}") {
            prop_assert!(safe_name(&id).chars().count() <= MAX_CODE_POINTS);
        }

        #[test]
        fn a_changed_id_keeps_its_digest(id in "[a-c/_:]{1,12}") {
            let name = safe_name(&id).into_owned();
            if name != id {
                prop_assert!(name.ends_with(&hex::encode(Md5::digest(&id))[..DIGEST_DIGITS]));
            }
        }
    }
}
