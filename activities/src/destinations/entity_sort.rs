//! Puts the entities of a scan in byte order of their ids, for destinations that list points in an order of their own.
//!
//! An external merge sort: what exceeds the memory limit is written as sorted runs to temporary files that have no name,
//! so that nothing is left behind when the process dies. Memory does not grow with the number of entities.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use super::EntityRef;
use crate::error::{Error, ErrorKind, Result};

/// What an entry costs in memory beside the bytes of its id, roughly.
const ENTRY_BYTES: usize = 96;

/// Runs that are read side by side. More are merged into one first, so that open files stay few.
const MAX_RUNS: usize = 64;

/// Collects points by entity, then gives the entities in byte order.
pub(crate) struct EntitySort {
    memory_bytes: usize,
    used_bytes: usize,
    /// What is not yet in a run: points by entity id.
    held: BTreeMap<String, u32>,
    runs: Vec<File>,
}

impl EntitySort {
    /// A sort that holds about `memory_bytes` at most.
    pub(crate) fn new(memory_bytes: usize) -> Self {
        Self { memory_bytes, used_bytes: 0, held: BTreeMap::new(), runs: Vec::new() }
    }

    /// Adds points of an entity, which may have been named before.
    ///
    /// # Errors
    /// `OutOfSpace` when a temporary file cannot be written.
    pub(crate) fn push(&mut self, entity_id: &str, points: u32) -> Result<()> {
        if let Some(sum) = self.held.get_mut(entity_id) {
            *sum = sum.saturating_add(points);
            return Ok(());
        }
        self.used_bytes += entity_id.len() + ENTRY_BYTES;
        self.held.insert(entity_id.to_owned(), points);
        if self.used_bytes > self.memory_bytes { self.spill().map_err(spilling) } else { Ok(()) }
    }

    /// The entities in byte order, each once, with the sum of its points.
    ///
    /// # Errors
    /// `OutOfSpace` when a temporary file cannot be written or read again.
    pub(crate) fn finish(mut self) -> Result<Sorted> {
        if self.runs.is_empty() {
            return Ok(Sorted::Held(self.held.into_iter()));
        }
        self.spill().map_err(spilling)?;
        Merge::open(self.runs).map(Sorted::Merged).map_err(spilling)
    }

    fn spill(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        self.used_bytes = 0;
        let run = write_run(held.into_iter().map(Ok))?;
        self.runs.push(run);
        if self.runs.len() == MAX_RUNS {
            let merged = write_run(Merge::open(std::mem::take(&mut self.runs))?)?;
            self.runs.push(merged);
        }
        Ok(())
    }
}

/// Entities in byte order of their ids.
pub(crate) enum Sorted {
    Held(std::collections::btree_map::IntoIter<String, u32>),
    Merged(Merge),
}

impl Iterator for Sorted {
    type Item = Result<(EntityRef, u32)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Held(entries) => entries.next().map(|(id, points)| Ok((EntityRef(id), points))),
            Self::Merged(merge) => {
                merge.next().map(|entry| entry.map(|(id, points)| (EntityRef(id), points)).map_err(spilling))
            }
        }
    }
}

/// Sorted runs, read side by side. After an error the rest is worthless, and there is no more.
pub(crate) struct Merge {
    /// The next entry of each run with the run it came from; the least id first.
    heads: BinaryHeap<Reverse<(String, u32, usize)>>,
    runs: Vec<BufReader<File>>,
}

impl Merge {
    fn open(files: Vec<File>) -> io::Result<Self> {
        let mut runs: Vec<_> = files.into_iter().map(BufReader::new).collect();
        let mut heads = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            if let Some((id, points)) = read_entry(run)? {
                heads.push(Reverse((id, points, number)));
            }
        }
        Ok(Self { heads, runs })
    }

    /// Takes the least entry and puts the next one of its run in its place.
    fn take_least(&mut self) -> io::Result<Option<(String, u32)>> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let Reverse((_, _, number)) = &*head;
        let next = read_entry(&mut self.runs[*number])?;
        let Reverse((id, points, _)) = match next {
            Some((id, points)) => {
                let number = *number;
                std::mem::replace(&mut *head, Reverse((id, points, number)))
            }
            None => PeekMut::pop(head),
        };
        Ok(Some((id, points)))
    }
}

impl Iterator for Merge {
    type Item = io::Result<(String, u32)>;

    fn next(&mut self) -> Option<Self::Item> {
        let (id, mut points) = match self.take_least() {
            Ok(entry) => entry?,
            Err(error) => {
                self.heads.clear();
                return Some(Err(error));
            }
        };
        while self.heads.peek().is_some_and(|Reverse((next, _, _))| *next == id) {
            match self.take_least() {
                Ok(Some((_, more))) => points = points.saturating_add(more),
                Ok(None) => break,
                Err(error) => {
                    self.heads.clear();
                    return Some(Err(error));
                }
            }
        }
        Some(Ok((id, points)))
    }
}

/// Writes entries as length, id, points, little-endian, to a file without a name.
fn write_run(entries: impl Iterator<Item = io::Result<(String, u32)>>) -> io::Result<File> {
    let mut run = BufWriter::new(tempfile::tempfile()?);
    for entry in entries {
        let (id, points) = entry?;
        let length = u32::try_from(id.len()).map_err(io::Error::other)?;
        run.write_all(&length.to_le_bytes())?;
        run.write_all(id.as_bytes())?;
        run.write_all(&points.to_le_bytes())?;
    }
    let mut file = run.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// The next entry, or nothing at the end of the run.
fn read_entry(run: &mut BufReader<File>) -> io::Result<Option<(String, u32)>> {
    let mut number = [0; 4];
    match run.read_exact(&mut number) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    let length = usize::try_from(u32::from_le_bytes(number)).map_err(io::Error::other)?;
    let mut id = vec![0; length];
    run.read_exact(&mut id)?;
    run.read_exact(&mut number)?;
    Ok(Some((String::from_utf8(id).map_err(io::Error::other)?, u32::from_le_bytes(number))))
}

fn spilling(error: io::Error) -> Error {
    Error::new(
        ErrorKind::OutOfSpace,
        "sorting a scan needs temporary files, which could not be written or read; free space in TMPDIR",
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(entries: &[(String, u32)], memory_bytes: usize) -> Vec<(String, u32)> {
        let mut sort = EntitySort::new(memory_bytes);
        for (id, points) in entries {
            sort.push(id, *points).unwrap();
        }
        sort.finish().unwrap().map(|entry| entry.map(|(id, points)| (id.0, points)).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn any_order_comes_out_in_byte_order_whatever_the_memory(
            entries in prop::collection::vec(("\\PC{0,3}", 0_u32..5), 0..300),
            memory_bytes in prop_oneof![Just(0_usize), Just(500), Just(usize::MAX)],
        ) {
            let mut expected = BTreeMap::new();
            for (id, points) in &entries {
                *expected.entry(id.clone()).or_insert(0) += points;
            }
            prop_assert_eq!(sorted(&entries, memory_bytes), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn many_runs_are_merged_before_files_run_out() {
        let entries: Vec<_> = (0..1_000_u32).rev().map(|n| (format!("{:04}", n % 700), 1)).collect();
        let mut sort = EntitySort::new(0);
        for (id, points) in &entries {
            sort.push(id, *points).unwrap();
            assert!(sort.runs.len() < MAX_RUNS);
        }
        let sorted: Vec<_> = sort.finish().unwrap().map(Result::unwrap).collect();
        assert_eq!(sorted.len(), 700);
        assert!(sorted.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(sorted.iter().map(|(_, points)| points).sum::<u32>(), 1_000);
    }
}
