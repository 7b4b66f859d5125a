//! Exact duplicates, in two steps: rows that may be duplicates by their signature, then those that are by their digest.
//!
//! Signatures come from text and media headers, so media are read whole only for the few rows that share one.

use manyframe_core::Digest;
use rustc_hash::FxHashMap;

use crate::alike::{parts, sorted_part};

/// A row with the same content as one that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// Position of the row that is removed.
    pub row: usize,
    /// Position of the row that is kept.
    pub kept: usize,
}

/// Groups of two or more eligible rows with one signature. Rows ascend in each; groups are ordered by their first row.
///
/// `signatures` has one for each row.
///
/// # Panics
/// If something eligible has no signature.
#[expect(clippy::indexing_slicing, reason = "documented")]
pub fn candidate_groups(signatures: &[u64], eligible: &(impl Iterator<Item = usize> + Clone)) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for part in parts() {
        let signed = sorted_part(eligible.clone().map(|row| (signatures[row], row as u32)), part);
        let alike = signed.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1);
        groups.extend(alike.map(|group| group.iter().map(|&(_, row)| row as usize).collect::<Vec<_>>()));
    }
    groups.sort_unstable();
    groups
}

/// The duplicates in one group, whose rows come with the digest of their content. The first row with a digest is kept.
///
/// A row has no digest if its content could not be read. It is a duplicate of nothing.
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

    #[test]
    fn rows_are_grouped_by_signature() {
        let signatures = [u64::MAX, 5, 6, u64::MAX, 5, u64::MAX];
        assert_eq!(candidate_groups(&signatures, &(0..6)), [vec![0, 3, 5], vec![1, 4]]);
        assert_eq!(candidate_groups(&signatures, &(1..6)), [vec![1, 4], vec![3, 5]]);
        assert!(candidate_groups(&signatures, &(0..3)).is_empty());
    }

    #[test]
    fn the_first_of_equal_contents_is_kept() {
        let (x, y) = (Some(Digest::of(b"x")), Some(Digest::of(b"y")));
        let duplicates = duplicates_in_group(&[(1, x), (2, y), (3, x), (4, None), (5, x), (6, None)]);
        assert_eq!(duplicates, [Duplicate { row: 3, kept: 1 }, Duplicate { row: 5, kept: 1 }]);
    }
}
