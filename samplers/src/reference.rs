//! For tests: rows, and the simplest draw and shuffle by rank, as a reference for laws and orders.

use manyframe_core::{Cost, Digest, IndexRow, Layout, RecordId, SourceIndex, rank};

/// A row whose id depends on `name` only.
pub(crate) fn row(name: &str) -> IndexRow {
    let digest = Digest::of(name.as_bytes());
    IndexRow {
        id: RecordId::from_digest(digest),
        source: SourceIndex(0),
        cost: Cost::default(),
        layout: Layout::Text,
        num_turns: 2,
        num_chars: 10,
        estimated_bytes: 100,
        media: 0,
    }
}

/// The `take` eligible rows of lowest rank, ascending. All of them if there are fewer, or if `take` is `None`.
///
/// A rank is a function of (seed, record id), so a larger `take` adds rows and never swaps one that was chosen.
pub(crate) fn draw(rows: &[IndexRow], eligible: &[usize], take: Option<u64>, seed: u64) -> Vec<usize> {
    let take = take.map_or(usize::MAX, |take| usize::try_from(take).unwrap_or(usize::MAX));
    if eligible.len() <= take {
        return eligible.to_vec();
    }
    let mut ranked = ranked(rows, eligible, seed, "draw");
    if take > 0 {
        ranked.select_nth_unstable(take - 1);
    }
    let mut chosen: Vec<usize> = ranked.into_iter().take(take).map(|(_, _, row)| row).collect();
    chosen.sort_unstable();
    chosen
}

/// The rows in an order that depends on (seed, record id) only.
pub(crate) fn shuffle(rows: &[IndexRow], chosen: &[usize], seed: u64) -> Vec<usize> {
    let mut ranked = ranked(rows, chosen, seed, "order");
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, _, row)| row).collect()
}

fn ranked(rows: &[IndexRow], chosen: &[usize], seed: u64, purpose: &str) -> Vec<(u64, RecordId, usize)> {
    chosen.iter().map(|&index| (rank(seed, purpose, rows[index].id), rows[index].id, index)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(num: u64) -> Vec<IndexRow> {
        (0..num).map(|n| row(&n.to_string())).collect()
    }

    proptest! {
        #[test]
        fn a_larger_draw_keeps_the_smaller_one(num in 0u64..200, small in 0u64..200, more in 0u64..50, seed: u64) {
            let rows = rows(num);
            let all: Vec<usize> = (0..rows.len()).collect();
            let small_draw = draw(&rows, &all, Some(small), seed);
            let large_draw = draw(&rows, &all, Some(small + more), seed);
            prop_assert_eq!(small_draw.len() as u64, small.min(num));
            prop_assert!(small_draw.iter().all(|row| large_draw.contains(row)));
        }

        #[test]
        fn a_draw_does_not_depend_on_the_order_of_records(num in 1u64..100, take in 0u64..100, seed: u64) {
            let rows = rows(num);
            let reversed: Vec<IndexRow> = rows.iter().rev().copied().collect();
            let all: Vec<usize> = (0..rows.len()).collect();
            let ids = |rows: &[IndexRow]| {
                let mut ids: Vec<_> = draw(rows, &all, Some(take), seed).iter().map(|&at| rows[at].id).collect();
                ids.sort_unstable();
                ids
            };
            prop_assert_eq!(ids(&rows), ids(&reversed));
        }

        #[test]
        fn a_shuffle_keeps_every_row(num in 0u64..100, seed: u64) {
            let rows = rows(num);
            let all: Vec<usize> = (0..rows.len()).collect();
            let mut shuffled = shuffle(&rows, &all, seed);
            shuffled.sort_unstable();
            prop_assert_eq!(shuffled, all);
        }
    }

    #[test]
    fn a_removed_record_changes_no_other_choice() {
        let rows = rows(100);
        let all: Vec<usize> = (0..100).collect();
        let chosen = draw(&rows, &all, Some(20), 1);
        let unchosen = all.iter().copied().find(|row| !chosen.contains(row)).unwrap();
        let without: Vec<usize> = all.iter().copied().filter(|&row| row != unchosen).collect();
        assert_eq!(draw(&rows, &without, Some(20), 1), chosen);
    }
}
