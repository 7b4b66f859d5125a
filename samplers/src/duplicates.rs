//! Exact duplicates, in two steps: rows that may be duplicates by their signature, then those that are by their digest.
//!
//! Signatures come from text and media headers, so that media are read whole only for the few rows that share one.

use manyframe_core::{Digest, IndexRow};
use rustc_hash::FxHashMap;

/// A row that says the same as one that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The row that is left out.
    pub row: usize,
    /// The row that is kept.
    pub kept: usize,
}

/// Groups of two or more rows with one signature, each in the order of `eligible`, ordered by their first row.
pub fn candidate_groups(rows: &[IndexRow], eligible: &[usize]) -> Vec<Vec<usize>> {
    let mut by_signature: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
    for &index in eligible {
        if let Some(row) = rows.get(index) {
            by_signature.entry(row.signature).or_default().push(index);
        }
    }
    let mut groups: Vec<Vec<usize>> = by_signature.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups
}

/// The duplicates in one group, given the digest of each row's content (`None` if it could not be read, which is no duplicate
/// of anything). The first row with a digest is kept.
pub fn duplicates_in_group(group: &[(usize, Option<Digest>)]) -> Vec<Duplicate> {
    let mut kept: FxHashMap<Digest, usize> = FxHashMap::default();
    let mut duplicates = Vec::new();
    for &(row, digest) in group {
        let Some(digest) = digest else { continue };
        match kept.get(&digest) {
            Some(&kept) => duplicates.push(Duplicate { row, kept }),
            None => _ = kept.insert(digest, row),
        }
    }
    duplicates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::row;

    #[test]
    fn rows_are_grouped_by_signature() {
        let mut rows = ["a", "b", "c", "d"].map(row);
        rows[0].signature = 5;
        rows[3].signature = 5;
        assert_eq!(candidate_groups(&rows, &[0, 1, 2, 3]), [vec![0, 3]]);
        assert!(candidate_groups(&rows, &[0, 1, 2]).is_empty());
    }

    #[test]
    fn the_first_of_equal_contents_is_kept() {
        let (x, y) = (Some(Digest::of(b"x")), Some(Digest::of(b"y")));
        let duplicates = duplicates_in_group(&[(1, x), (2, y), (3, x), (4, None), (5, x), (6, None)]);
        assert_eq!(duplicates, [Duplicate { row: 3, kept: 1 }, Duplicate { row: 5, kept: 1 }]);
    }
}
