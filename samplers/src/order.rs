//! The order in which drawn records are delivered: a shuffle, or a curriculum.
//!
//! **Invariant:** an order is a function of the seed and of what is drawn: neither of the order of reading (but where the
//! file's own order is asked for) nor of the number of workers.

use std::cmp::Ordering;

use manyframe_core::{IndexRow, RecordId, rank};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Drawn;

/// In which order drawn records are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Shuffled: a place depends on (seed, record id, repetition) only, so that what else is drawn moves nothing past
    /// anything.
    #[default]
    Shuffled,
    /// Shortest sequence first, in tokens; equal lengths shuffled.
    ByLength,
    /// Source after source, in the order of the pipeline file; shuffled within each.
    BySource,
    /// Each source spread evenly over the whole, and shuffled within itself: every stretch from the start holds the sources
    /// in proportion, to within a record and half a record for each source.
    Interleaved,
}

/// Drawn records with what they are sorted by.
struct Entry {
    /// Sorts before the rank: length, source, or position on the whole.
    first: u64,
    rank: u64,
    drawn: Drawn,
}

/// The drawn records in this order. Those that name no row of `rows` are left out.
///
/// The k-th repetition of a record is placed as a record of its own, so that repetitions do not follow one another.
pub fn order(rows: &[IndexRow], drawn: &[Drawn], order: Order, seed: u64) -> Vec<Drawn> {
    let entry = |&drawn: &Drawn| {
        let row = rows.get(drawn.row)?;
        let first = match order {
            Order::Shuffled => 0,
            Order::ByLength => row.cost.text_tokens.saturating_add(row.cost.visual_tokens),
            Order::BySource | Order::Interleaved => u64::from(row.source),
        };
        Some(Entry { first, rank: rank(seed, "order", placed_id(row.id, drawn.repetition)), drawn })
    };
    let mut entries: Vec<Entry> = drawn.iter().filter_map(entry).collect();
    entries.sort_unstable_by(|a, b| compare(rows, a, b));
    if order == Order::Interleaved {
        spread_sources(&mut entries);
        entries.sort_unstable_by(|a, b| compare(rows, a, b));
    }
    entries.into_iter().map(|entry| entry.drawn).collect()
}

/// A repetition has an identity of its own; the first is the record.
fn placed_id(id: RecordId, repetition: u32) -> RecordId {
    if repetition == 0 { id } else { id.occurrence(u64::from(repetition)) }
}

/// Replaces the source of each entry, sorted by source, by its position on the whole: that of its middle, (k + ½) / n.
fn spread_sources(entries: &mut [Entry]) {
    for of_source in entries.chunk_by_mut(|a, b| a.first == b.first) {
        let num = of_source.len() as u128;
        for (place, entry) in of_source.iter_mut().enumerate() {
            // In units of 2⁻⁶⁴ of the whole, which tell any two places of up to 2³² records apart.
            entry.first = u64::try_from(((2 * place as u128 + 1) << 63) / num).unwrap_or(u64::MAX);
        }
    }
}

fn compare(rows: &[IndexRow], a: &Entry, b: &Entry) -> Ordering {
    let id = |entry: &Entry| rows.get(entry.drawn.row).map(|row| row.id);
    (a.first, a.rank).cmp(&(b.first, b.rank)).then_with(|| (id(a), a.drawn).cmp(&(id(b), b.drawn)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::draw::shuffle;
    use crate::identity::tests::row;

    fn rows(sizes: &[usize]) -> Vec<IndexRow> {
        let of_source = |(source, &size): (usize, &usize)| {
            (0..size).map(move |n| {
                let mut row = row(&format!("{source} {n}"));
                row.source = source as u32;
                row.cost.text_tokens = (n * 7 % 13) as u64;
                row
            })
        };
        sizes.iter().enumerate().flat_map(of_source).collect()
    }

    fn once(num: usize) -> Vec<Drawn> {
        (0..num).map(|row| Drawn { row, repetition: 0 }).collect()
    }

    fn any_order() -> impl Strategy<Value = Order> {
        prop::sample::select(vec![Order::Shuffled, Order::ByLength, Order::BySource, Order::Interleaved])
    }

    proptest! {
        #[test]
        fn every_drawn_record_is_delivered_once(sizes in prop::collection::vec(0usize..30, 1..5), by in any_order(), repetitions in 1u32..4, seed: u64) {
            let rows = rows(&sizes);
            let drawn: Vec<Drawn> = (0..rows.len()).flat_map(|row| (0..repetitions).map(move |repetition| Drawn { row, repetition })).collect();
            let mut ordered = order(&rows, &drawn, by, seed);
            ordered.sort_unstable();
            prop_assert_eq!(ordered, drawn);
        }

        #[test]
        fn the_order_does_not_depend_on_where_records_stand(sizes in prop::collection::vec(0usize..30, 1..5), by in any_order(), seed: u64) {
            let rows = rows(&sizes);
            let reversed: Vec<IndexRow> = rows.iter().rev().copied().collect();
            let ids = |rows: &[IndexRow]| order(rows, &once(rows.len()), by, seed).iter().map(|drawn| rows[drawn.row].id).collect::<Vec<_>>();
            prop_assert_eq!(ids(&rows), ids(&reversed));
        }

        #[test]
        fn a_shuffle_without_repetitions_is_the_shuffle_of_rows(num in 0usize..100, seed: u64) {
            let rows = rows(&[num]);
            let all: Vec<usize> = (0..num).collect();
            let ordered: Vec<usize> = order(&rows, &once(num), Order::Shuffled, seed).iter().map(|drawn| drawn.row).collect();
            prop_assert_eq!(ordered, shuffle(&rows, &all, seed));
        }

        #[test]
        fn interleaved_sources_are_in_proportion_everywhere(sizes in prop::collection::vec(1usize..60, 1..5)) {
            let rows = rows(&sizes);
            let ordered = order(&rows, &once(rows.len()), Order::Interleaved, 3);
            let mut counts = vec![0.0; sizes.len()];
            for (at, drawn) in ordered.iter().enumerate() {
                counts[rows[drawn.row].source as usize] += 1.0;
                for (count, &size) in counts.iter().zip(&sizes) {
                    let share = ((at + 1) * size) as f64 / rows.len() as f64;
                    prop_assert!((count - share).abs() <= 1.0 + sizes.len() as f64 / 2.0);
                }
            }
        }
    }

    #[test]
    fn lengths_ascend_and_sources_follow_one_another() {
        let rows = rows(&[20, 10]);
        let length = |drawn: &Drawn| rows[drawn.row].cost.num_tokens();
        assert!(order(&rows, &once(30), Order::ByLength, 1).is_sorted_by_key(length));
        assert!(order(&rows, &once(30), Order::BySource, 1).is_sorted_by_key(|drawn| rows[drawn.row].source));
    }
}
