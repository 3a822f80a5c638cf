//! Markers of list items: a dash for bullets, the running number for numbered lists.

use std::collections::HashMap;

use super::super::office::xml_tree::Element;
use super::styles::ListReference;

/// Lists of a document by their `w:numId`, with the numbers used so far.
#[derive(Default)]
pub(super) struct Numbering(HashMap<String, List>);

#[derive(Default, Clone)]
struct List {
    levels: HashMap<usize, Level>,
    /// Next number of each level that has begun.
    next: HashMap<usize, u64>,
}

#[derive(Clone)]
struct Level {
    is_bullet: bool,
    start: u64,
}

impl Numbering {
    /// The lists of a `numbering.xml` part.
    pub(super) fn read(root: &Element) -> Self {
        let of_kind = |name: &'static str| root.children().filter(move |element| &*element.name == name);
        let abstract_lists: HashMap<&str, HashMap<usize, Level>> = of_kind("abstractNum")
            .filter_map(|element| Some((element.attribute("abstractNumId")?, levels(element))))
            .collect();
        let lists = of_kind("num").filter_map(|element| {
            let levels = element.child("abstractNumId").and_then(|id| abstract_lists.get(id.attribute("val")?));
            let list = List { levels: levels.cloned().unwrap_or_default(), next: HashMap::new() };
            Some((element.attribute("numId")?.to_owned(), list))
        });
        Self(lists.collect())
    }

    /// The marker of the next item. Lists the document does not define are bullets.
    pub(super) fn marker(&mut self, reference: &ListReference) -> String {
        let Some(list) = self.0.get_mut(&reference.number_id) else { return "-".to_owned() };
        let Some(level) = list.levels.get(&reference.level).filter(|level| !level.is_bullet) else {
            return "-".to_owned();
        };
        // An item of an outer level starts the inner numbers again.
        list.next.retain(|&other, _| other <= reference.level);
        let next = list.next.entry(reference.level).or_insert(level.start);
        let marker = format!("{next}.");
        *next = next.saturating_add(1);
        marker
    }
}

fn levels(abstract_list: &Element) -> HashMap<usize, Level> {
    let levels = abstract_list.children().filter(|element| &*element.name == "lvl");
    levels
        .filter_map(|element| {
            let value_of = |name: &str| element.child(name).and_then(|child| child.attribute("val"));
            let level = Level {
                is_bullet: matches!(value_of("numFmt"), Some("bullet" | "none")),
                start: value_of("start").and_then(|start| start.parse().ok()).unwrap_or(1),
            };
            Some((element.attribute("ilvl")?.parse().ok()?, level))
        })
        .collect()
}
