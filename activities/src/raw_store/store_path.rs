//! Paths inside the raw store of one sync.

use uuid::Uuid;

/// A path below `raw/{sync_id}/`, every step of which is a plain name.
///
/// The only way to address anything in a backend. Because a step is never `.`, `..`, empty or a name with a
/// separator, no path can lead out of the directory of the sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StorePath {
    sync_id: Uuid,
    below: String,
}

impl StorePath {
    /// `raw/{sync_id}/manifest.json`.
    pub(super) fn manifest(sync_id: Uuid) -> Self {
        Self { sync_id, below: "manifest.json".to_owned() }
    }

    /// `raw/{sync_id}/entities`.
    pub(super) fn entities(sync_id: Uuid) -> Self {
        Self { sync_id, below: "entities".to_owned() }
    }

    /// `raw/{sync_id}/entities/{key}`; the error says why not.
    pub(super) fn entity(sync_id: Uuid, key: &str) -> Result<Self, &'static str> {
        check_step(key)?;
        if !key.ends_with(".json") {
            return Err("entities end with .json");
        }
        Ok(Self { sync_id, below: format!("entities/{key}") })
    }

    /// The blob an entity names in `__stored_file__`; the error says why not.
    pub(super) fn blob(sync_id: Uuid, stored_file: &str) -> Result<Self, &'static str> {
        if stored_file.starts_with(['/', '\\']) {
            return Err("it is an absolute path");
        }
        let rest = stored_file
            .strip_prefix("raw/")
            .and_then(|rest| rest.strip_prefix(sync_id.hyphenated().to_string().as_str()))
            .and_then(|rest| rest.strip_prefix('/'))
            .ok_or("it is not below raw/{sync_id}/ of this sync")?;
        let name = rest.strip_prefix("files/").ok_or("it is not below files/")?;
        name.split('/').try_for_each(check_step)?;
        Ok(Self { sync_id, below: rest.to_owned() })
    }

    /// The directory of the sync, from the root of the store: nothing outside is ever opened.
    pub(super) fn sync_directory(&self) -> String {
        format!("raw/{}", self.sync_id)
    }

    /// The whole path, from the root of the store.
    pub(super) fn whole(&self) -> String {
        format!("raw/{}/{}", self.sync_id, self.below)
    }
}

fn check_step(step: &str) -> Result<(), &'static str> {
    match step {
        "" => Err("it has an empty step"),
        "." | ".." => Err("it has a step '.' or '..'"),
        _ if step.contains(['/', '\\']) => Err("it has a separator inside a name"),
        _ if step.contains('\0') => Err("it has a NUL character"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const SYNC: Uuid = Uuid::from_u128(0xf224_56a1_6b4e_53cf_bc8d_4861_9c16_15b8);
    const SYNC_TEXT: &str = "f22456a1-6b4e-53cf-bc8d-48619c1615b8";

    #[rstest]
    #[case(".json")]
    #[case("...json")]
    #[case(".hidden.json")]
    #[case("with space.json")]
    #[case("100%2F.json")]
    #[case("line\nbreak\u{1}.json")]
    #[case("данные-漢.json")]
    fn hostile_but_honest_keys_are_addressed(#[case] key: &str) {
        assert_eq!(StorePath::entity(SYNC, key).unwrap().whole(), format!("raw/{SYNC_TEXT}/entities/{key}"));
    }

    #[rstest]
    #[case("")]
    #[case("..")]
    #[case("../manifest.json")]
    #[case("a/b.json")]
    #[case("/etc/x.json")]
    #[case("a\\b.json")]
    #[case("a\0.json")]
    #[case("a.txt")]
    fn keys_that_lead_elsewhere_are_refused(#[case] key: &str) {
        StorePath::entity(SYNC, key).unwrap_err();
    }

    #[rstest]
    #[case("x.html")]
    #[case("...json")]
    #[case("A Python program..md")]
    #[case("nested/deeper/x%2e.bin")]
    fn blobs_of_the_sync_are_addressed(#[case] name: &str) {
        let stored = format!("raw/{SYNC_TEXT}/files/{name}");
        assert_eq!(StorePath::blob(SYNC, &stored).unwrap().whole(), stored);
    }

    #[rstest]
    #[case("")]
    #[case("/etc/passwd")]
    #[case("\\\\host\\share")]
    #[case("../raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/x")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/../manifest.json")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/./x")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/a/../../entities/x.json")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/a\\..\\x")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files//x")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/a\0b")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/entities/x.json")]
    #[case("raw/f22456a1-6b4e-53cf-bc8d-48619c1615b80/files/x")]
    #[case("raw/00000000-0000-0000-0000-000000000000/files/x")]
    #[case("RAW/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/x")]
    #[case("/raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/x")]
    #[case("file:///raw/f22456a1-6b4e-53cf-bc8d-48619c1615b8/files/x")]
    fn blobs_elsewhere_are_refused(#[case] stored: &str) {
        StorePath::blob(SYNC, stored).unwrap_err();
    }

    proptest! {
        #[test]
        fn whatever_is_addressed_stays_below_files(tail in "(\\PC|/|\\.|\\\\){0,20}") {
            if let Ok(path) = StorePath::blob(SYNC, &format!("raw/{SYNC_TEXT}/files/{tail}")) {
                let mut depth = 0_i32;
                for part in std::path::Path::new(&path.whole()).components() {
                    match part {
                        std::path::Component::Normal(_) => depth += 1,
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
                prop_assert!(depth >= 4);
            }
        }
    }
}
