//! How one part of an Office file names the others: the `.rels` part beside it.

use super::super::ContentError;
use super::archive::Archive;
use super::xml_tree;

/// The relationships of one part, or of the whole package.
pub(in super::super) struct Relationships(Vec<Relationship>);

struct Relationship {
    id: String,
    /// Last segment of the type's URI (`slide`, `styles`, `officeDocument`), the same in both variants of the standard.
    kind: String,
    /// Name of the part in the archive.
    target: String,
}

impl Relationships {
    /// Those of `part`; those of the package when `part` is empty. None when there is no such `.rels` part.
    pub(in super::super) fn of(part: &str, archive: &mut Archive<'_>) -> Result<Self, ContentError> {
        let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
        let name = if folder.is_empty() { format!("_rels/{file}.rels") } else { format!("{folder}/_rels/{file}.rels") };
        let Some(xml) = archive.optional_text(&name)? else { return Ok(Self(Vec::new())) };
        let root = xml_tree::parse(&xml, archive.format())?;
        let relationships = root.children().filter(|element| element.attribute("TargetMode") != Some("External"));
        let relationships = relationships.filter_map(|element| {
            let kind = element.attribute("Type")?;
            Some(Relationship {
                id: element.attribute("Id")?.to_owned(),
                kind: kind.rsplit_once('/').map_or(kind, |(_, last)| last).to_owned(),
                target: resolve(folder, element.attribute("Target")?),
            })
        });
        Ok(Self(relationships.collect()))
    }

    /// The part with this relationship id.
    pub(in super::super) fn by_id(&self, id: &str) -> Option<&str> {
        self.0.iter().find(|relationship| relationship.id == id).map(|relationship| relationship.target.as_str())
    }

    /// The first part of this kind.
    pub(in super::super) fn by_kind(&self, kind: &str) -> Option<&str> {
        self.0.iter().find(|relationship| relationship.kind == kind).map(|relationship| relationship.target.as_str())
    }
}

/// The main part of the package, `usual` when the package does not say.
pub(in super::super) fn main_part(archive: &mut Archive<'_>, usual: &str) -> Result<String, ContentError> {
    Ok(Relationships::of("", archive)?.by_kind("officeDocument").unwrap_or(usual).to_owned())
}

/// A target relative to `folder`, or to the package when it starts with a slash.
fn resolve(folder: &str, target: &str) -> String {
    let (base, path) = match target.strip_prefix('/') {
        Some(path) => ("", path),
        None => (folder, target),
    };
    let mut segments: Vec<&str> = base.split('/').filter(|segment| !segment.is_empty()).collect();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ppt/slides", "../notesSlides/notesSlide1.xml", "ppt/notesSlides/notesSlide1.xml")]
    #[case("word", "styles.xml", "word/styles.xml")]
    #[case("word", "/word/./styles.xml", "word/styles.xml")]
    #[case("", "word/document.xml", "word/document.xml")]
    #[case("", "../../etc/passwd", "etc/passwd")]
    fn targets_stay_inside_the_package(#[case] folder: &str, #[case] target: &str, #[case] expected: &str) {
        assert_eq!(resolve(folder, target), expected);
    }
}
