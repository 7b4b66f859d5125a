//! Exact duplicates, in two steps: rows that may be duplicates by their signature, then those that are by their digest.
//!
//! Signatures come from text and media headers, so media are read whole only for the few rows that share one.

use manyframe_core::Digest;
use rustc_hash::FxHashMap;

use crate::rows::Rows;

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
/// # Panics
/// If something eligible is not one of `rows`.
pub fn candidate_groups<R: Rows + ?Sized>(rows: &R, eligible: impl IntoIterator<Item = usize>) -> Vec<Vec<usize>> {
    // Sorted, because a hash table of groups takes several times the memory, and most rows have a signature of their own.
    let mut signed: Vec<(u64, u32)> = eligible.into_iter().map(|row| (rows.row(row).signature, row as u32)).collect();
    signed.sort_unstable();
    let alike = signed.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1);
    let mut groups: Vec<Vec<usize>> = alike.map(|group| group.iter().map(|&(_, row)| row as usize).collect()).collect();
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
    use crate::reference::row;

    #[test]
    fn rows_are_grouped_by_signature() {
        let mut rows = ["a", "b", "c", "d"].map(row);
        rows[0].signature = 5;
        rows[3].signature = 5;
        assert_eq!(candidate_groups(&rows, [0, 1, 2, 3]), [vec![0, 3]]);
        assert!(candidate_groups(&rows, [0, 1, 2]).is_empty());
    }

    #[test]
    fn the_first_of_equal_contents_is_kept() {
        let (x, y) = (Some(Digest::of(b"x")), Some(Digest::of(b"y")));
        let duplicates = duplicates_in_group(&[(1, x), (2, y), (3, x), (4, None), (5, x), (6, None)]);
        assert_eq!(duplicates, [Duplicate { row: 3, kept: 1 }, Duplicate { row: 5, kept: 1 }]);
    }
}
