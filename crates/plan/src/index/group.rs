//! The splits that one index file is made of: one, or several small ones.
//!
//! Thousands of small annotation files would be thousands of index files, each of which takes longer to write than its records to
//! read. They are put together in their order, so that rows are those of single files. Names decide where groups end, besides
//! sizes: a file that is added or removed changes groups up to the next name that ends one.

use std::fmt;

use manyframe_core::Digest;
use manyframe_sources::{RawRecords, Source, SourceError, Split};
use serde::{Deserialize, Serialize};

/// So many files of a source have index files of their own.
const MOST_FILES_APART: usize = 64;

/// Smaller files are put together.
const SMALL_BYTES: u64 = 1 << 20;

/// A group is no larger than this, and a small file.
const GROUP_BYTES: u64 = 8 << 20;

/// The number of files in a group, on average.
const MEAN_FILES: u64 = 128;

/// Splits of a source that follow each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SplitGroup(Vec<Split>);

impl SplitGroup {
    /// Puts small splits together where there are many.
    pub(crate) fn of_splits(splits: Vec<Split>) -> Vec<Self> {
        let is_small = |split: &Split| split.rows.is_none() && split.num_bytes < SMALL_BYTES;
        if splits.iter().filter(|split| is_small(split)).count() <= MOST_FILES_APART {
            return splits.into_iter().map(|split| Self(vec![split])).collect();
        }
        let mut groups = Vec::new();
        let mut open = Self(Vec::new());
        for split in splits {
            let (is_small, ends) = (is_small(&split), ends_a_group(&split));
            if !is_small && !open.0.is_empty() {
                groups.push(std::mem::replace(&mut open, Self(Vec::new())));
            }
            open.0.push(split);
            if !is_small || ends || open.num_bytes() >= GROUP_BYTES {
                groups.push(std::mem::replace(&mut open, Self(Vec::new())));
            }
        }
        if !open.0.is_empty() {
            groups.push(open);
        }
        groups
    }

    /// Its splits, in order.
    pub(crate) fn splits(&self) -> &[Split] {
        &self.0
    }

    /// Bytes of annotations.
    pub(crate) fn num_bytes(&self) -> u64 {
        self.0.iter().map(|split| split.num_bytes).sum()
    }

    /// The records of its splits, one after the other. Ends after an error.
    pub(crate) fn read<'a>(&'a self, source: &'a dyn Source) -> RawRecords<'a> {
        let mut has_failed = false;
        let of_split = move |split: &Split| -> RawRecords<'a> {
            source.read(split).unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
        };
        let is_before_error = move |raw: &Result<_, SourceError>| !std::mem::replace(&mut has_failed, raw.is_err());
        Box::new(self.0.iter().flat_map(of_split).take_while(is_before_error))
    }
}

/// The names of its first and last file.
impl fmt::Display for SplitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => Ok(()),
            [split] => f.write_str(&split.file),
            [first, .., last] => write!(f, "{} … {}", first.file, last.file),
        }
    }
}

fn ends_a_group(split: &Split) -> bool {
    Digest::of(split.file.as_bytes()).first_bits().is_multiple_of(MEAN_FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(number: usize, num_bytes: u64) -> Split {
        Split { file: format!("{number:05}.json").into(), rows: None, num_bytes }
    }

    fn names(groups: &[SplitGroup]) -> Vec<Vec<String>> {
        groups.iter().map(|group| group.splits().iter().map(|split| split.file.to_string()).collect()).collect()
    }

    #[test]
    fn a_few_files_and_large_ones_have_index_files_of_their_own() {
        let few = SplitGroup::of_splits((0..64).map(|number| split(number, 100)).collect());
        assert_eq!(few.len(), 64);
        let large = SplitGroup::of_splits((0..100).map(|number| split(number, SMALL_BYTES)).collect());
        assert_eq!(large.len(), 100);
    }

    #[test]
    fn groups_keep_the_order_and_a_large_file_is_alone() {
        let mut splits: Vec<Split> = (0..1000).map(|number| split(number, 100)).collect();
        splits[500].num_bytes = SMALL_BYTES;
        let groups = SplitGroup::of_splits(splits.clone());
        assert!(groups.len() < 40, "{}", groups.len());
        assert_eq!(groups.iter().flat_map(|group| group.splits().to_vec()).collect::<Vec<_>>(), splits);
        assert!(groups.iter().any(|group| group.splits() == &splits[500..501]));
        let heavy = SplitGroup::of_splits((0..100).map(|number| split(number, SMALL_BYTES - 1)).collect());
        assert!(heavy.iter().all(|group| group.num_bytes() < GROUP_BYTES + SMALL_BYTES));
    }

    #[test]
    fn a_file_that_is_added_changes_its_own_group_only() {
        let splits: Vec<Split> = (0..1000).map(|number| split(2 * number, 100)).collect();
        let mut more = splits.clone();
        more.insert(300, split(599, 100));
        let (before, after) = (names(&SplitGroup::of_splits(splits)), names(&SplitGroup::of_splits(more)));
        let changed = after.iter().filter(|group| !before.contains(group)).count();
        assert!((1..=2).contains(&changed), "{changed} groups changed");
    }
}
