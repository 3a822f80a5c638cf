//! What a paragraph is by its style: a heading of some level, or an item of a list.

use std::collections::HashMap;

use super::super::office::xml_tree::Element;

/// Styles based on styles are followed this far; Word itself refuses longer chains.
const BASED_ON_DEPTH: usize = 11;

/// Markdown knows six levels of headings.
const DEEPEST_HEADING: usize = 6;

/// Paragraph styles by id.
#[derive(Default)]
pub(super) struct Styles(HashMap<String, Style>);

#[derive(Default)]
struct Style {
    based_on: Option<String>,
    heading_level: Option<usize>,
    list: Option<ListReference>,
}

/// Which list a paragraph belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListReference {
    /// `w:numId`; `"0"` takes a paragraph out of the list of its style.
    pub number_id: String,
    /// Nesting, 0 to 8.
    pub level: usize,
}

impl Styles {
    /// The styles of a `styles.xml` part.
    pub(super) fn read(root: &Element) -> Self {
        let styles = root.children().filter(|element| &*element.name == "style");
        let by_id = styles.filter_map(|element| {
            let value_of = |name: &str| element.child(name).and_then(|child| child.attribute("val"));
            let properties = element.child("pPr");
            let style = Style {
                based_on: value_of("basedOn").map(str::to_owned),
                heading_level: value_of("name").and_then(level_by_name).or_else(|| outline_level(properties)),
                list: list_of(properties),
            };
            Some((element.attribute("styleId")?.to_owned(), style))
        });
        Self(by_id.collect())
    }

    /// Level 1 to 6 when the paragraph is a heading. Its own outline level counts before that of its style.
    pub(super) fn heading_level(&self, style: Option<&str>, properties: Option<&Element>) -> Option<usize> {
        let own = outline_level(properties);
        own.or_else(|| self.inherited(style, |style| style.heading_level)).map(|level| level.min(DEEPEST_HEADING))
    }

    /// The list of the paragraph, by itself or by its style.
    pub(super) fn list_reference(&self, style: Option<&str>, properties: Option<&Element>) -> Option<ListReference> {
        let own = list_of(properties);
        own.or_else(|| self.inherited(style, |style| style.list.clone())).filter(|list| list.number_id != "0")
    }

    fn inherited<T>(&self, style: Option<&str>, get: impl Fn(&Style) -> Option<T>) -> Option<T> {
        let mut style = self.0.get(style?);
        for _ in 0..BASED_ON_DEPTH {
            let current = style?;
            if let Some(value) = get(current) {
                return Some(value);
            }
            style = current.based_on.as_deref().and_then(|id| self.0.get(id));
        }
        None
    }
}

/// Built-in heading styles have these names in every language of Word.
fn level_by_name(name: &str) -> Option<usize> {
    let name = name.to_ascii_lowercase();
    if name == "title" {
        return Some(1);
    }
    name.strip_prefix("heading ")?.parse().ok().filter(|level| (1..=9).contains(level))
}

/// `w:outlineLvl` counts from 0; 9 is body text.
fn outline_level(properties: Option<&Element>) -> Option<usize> {
    let level: usize = properties?.child("outlineLvl")?.attribute("val")?.parse().ok()?;
    (level < 9).then_some(level + 1)
}

fn list_of(properties: Option<&Element>) -> Option<ListReference> {
    let list = properties?.child("numPr")?;
    let number_id = list.child("numId")?.attribute("val")?.to_owned();
    let level = list.child("ilvl").and_then(|level| level.attribute("val")).and_then(|level| level.parse().ok());
    Some(ListReference { number_id, level: level.unwrap_or(0).min(8) })
}
