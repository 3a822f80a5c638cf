//! Keeping pages in size: merging changes into one, cutting one that grew too long, joining two that shrank.
//!
//! Pure; what goes to the database is decided here and written in [`mod@super::apply`].

use std::collections::BTreeMap;

use super::LedgerEntry;

/// Most entries of a page. A batch writes the pages it touches anew, so a page should not be much longer than a batch; its
/// header and its place in the index are shared by its entries, so it should not be much shorter.
pub(super) const MOST_ENTRIES: usize = 1024;

/// Entries of the pieces that a page is cut into, about.
const AIMED_ENTRIES: usize = 768;

/// A page that shrank below this is joined with a neighbour.
pub(super) const FEWEST_ENTRIES: usize = 192;

/// Entries in byte order of their keys, none below `first_key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) first_key: String,
    pub(super) entries: Vec<LedgerEntry>,
}

impl Page {
    pub(super) fn empty(first_key: String) -> Self {
        Self { first_key, entries: Vec::new() }
    }

    /// Merges changes into the page. Answers the page as it is then, cut into several if need be: the first has the same
    /// `first_key`; none when nothing is left.
    pub(super) fn merge(self, changes: BTreeMap<String, Option<LedgerEntry>>) -> Vec<Self> {
        let Self { first_key, entries } = self;
        let mut merged = Vec::with_capacity(entries.len() + changes.len());
        let mut changes = changes.into_iter().peekable();
        for entry in entries {
            while let Some((_, change)) = changes.next_if(|(key, _)| key.as_bytes() < entry.object_key.as_bytes()) {
                merged.extend(change);
            }
            match changes.next_if(|(key, _)| *key == entry.object_key) {
                Some((_, change)) => merged.extend(change),
                None => merged.push(entry),
            }
        }
        merged.extend(changes.filter_map(|(_, change)| change));
        Self { first_key, entries: merged }.cut()
    }

    /// Appends the page that comes after this one.
    pub(super) fn join(mut self, next: Self) -> Self {
        self.entries.extend(next.entries);
        self
    }

    fn cut(self) -> Vec<Self> {
        if self.entries.is_empty() {
            return Vec::new();
        }
        if self.entries.len() <= MOST_ENTRIES {
            return vec![self];
        }
        let pieces = self.entries.len().div_ceil(AIMED_ENTRIES);
        let size = self.entries.len().div_ceil(pieces);
        let mut pages: Vec<Self> = Vec::with_capacity(pieces);
        for entry in self.entries {
            match pages.last_mut() {
                Some(page) if page.entries.len() < size => page.entries.push(entry),
                None => pages.push(Self { first_key: self.first_key.clone(), entries: vec![entry] }),
                Some(_) => pages.push(Self { first_key: entry.object_key.clone(), entries: vec![entry] }),
            }
        }
        pages
    }
}

/// Whether a page of `entries` may be joined with a neighbour of `others`: not so that it is cut again soon.
pub(super) fn may_join(entries: usize, others: usize) -> bool {
    entries < FEWEST_ENTRIES && entries + others <= AIMED_ENTRIES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::database::ledger::{ContentDigest, TokenDigest};

    fn entry(key: &str, points: u32) -> LedgerEntry {
        LedgerEntry {
            object_key: key.to_owned(),
            entity_id: key.to_owned(),
            token: TokenDigest::of(key),
            content: ContentDigest([0; 16]),
            points,
        }
    }

    proptest! {
        #[test]
        fn merging_is_what_a_map_would_do(
            held in prop::collection::btree_map("[a-f]{1,3}", 0_u32..9, 0..200),
            changes in prop::collection::btree_map("[a-f]{1,3}", prop::option::of(0_u32..9), 0..200),
        ) {
            let page = Page {
                first_key: String::new(),
                entries: held.iter().map(|(key, points)| entry(key, *points)).collect(),
            };
            let mut model = held;
            for (key, change) in &changes {
                match change {
                    Some(points) => model.insert(key.clone(), *points),
                    None => model.remove(key),
                };
            }
            let changes =
                changes.into_iter().map(|(key, points)| { let it = points.map(|points| entry(&key, points)); (key, it) });
            let pages = page.merge(changes.collect());
            let merged: Vec<_> =
                pages.iter().flat_map(|page| &page.entries).map(|it| (it.object_key.clone(), it.points)).collect();
            prop_assert_eq!(merged, model.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn a_long_page_is_cut_into_pages_that_are_neither_long_nor_short(count in 1_usize..6000) {
            let keys: Vec<_> = (0..count).map(|number| format!("{number:05}")).collect();
            let pages = Page { first_key: "0".to_owned(), entries: keys.iter().map(|key| entry(key, 1)).collect() }.cut();
            prop_assert_eq!(pages[0].first_key.as_str(), "0");
            prop_assert!(pages[1..].iter().all(|page| page.first_key == page.entries[0].object_key));
            prop_assert!(pages.iter().all(|page| page.entries.len() <= MOST_ENTRIES));
            prop_assert!(pages.len() == 1 || pages.iter().all(|page| !may_join(page.entries.len(), 0)));
            prop_assert_eq!(pages.iter().flat_map(|page| &page.entries).count(), count);
        }
    }
}
