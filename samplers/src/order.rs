//! The order in which drawn records are delivered: a shuffle, or a curriculum.
//!
//! **Invariant:** an order is a function of the seed and of what is drawn. It depends neither on the order of reading nor
//! on the number of workers.

use std::cmp::Ordering;

use manyframe_core::{IndexRow, RecordId, rank};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::order_id;
use crate::mix::Drawn;
use crate::rows::Rows;

/// The order in which drawn records are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Shuffled. The rank of a sample depends only on (seed, record id, repetition), so the relative order of two samples
    /// never changes, whatever else is drawn.
    #[default]
    Shuffled,
    /// Shortest sequence first, in tokens. Equal lengths are shuffled.
    ByLength,
    /// Source after source, in the order of the pipeline file. Each is shuffled.
    BySource,
    /// Each source spread evenly over the whole, and shuffled within itself: every prefix contains the sources in
    /// proportion, to within one record plus half a record per source.
    Interleaved,
    /// Records that show the same images and videos, by their sizes, follow each other; these groups are shuffled, and so is each of
    /// them. With `output.media = "shared"`, what they show is stored once.
    ByMedia,
}

impl Order {
    /// What was drawn, a list for each source, in this order.
    ///
    /// Each repetition of a record is ranked as if it were a separate record, so repetitions do not follow one another. For a moment
    /// a shuffle takes 12 bytes for each, other orders 24. A list is given up as soon as all in it are ranked.
    ///
    /// # Panics
    /// If something drawn is not one of `rows`.
    pub fn arrange<R: Rows + ?Sized>(self, rows: &R, drawn: Vec<Vec<Drawn>>, seed: u64) -> Vec<Drawn> {
        let row = |drawn: Drawn| rows.row(drawn.position());
        let rank_of = |drawn: Drawn| rank(seed, "order", order_id(rows.id(drawn.position()), drawn.repetition));
        let first: &dyn Fn(Drawn) -> u64 = match self {
            Order::Shuffled => {
                // Half of a rank tells nearly all from each other.
                let keys = keyed(drawn, |drawn| (rank_of(drawn) >> u32::BITS) as u32);
                return sorted(keys, |a, b| rank_of(a).cmp(&rank_of(b)).then_with(|| by_id(rows, a, b)));
            }
            Order::ByLength => &|drawn| row(drawn).cost.num_tokens(),
            Order::BySource | Order::Interleaved => &|drawn| u64::from(row(drawn).source.0),
            Order::ByMedia => &|drawn| rank(seed, "order of media", media_id(&row(drawn))),
        };
        let mut keys = keyed(drawn, |drawn| (first(drawn), rank_of(drawn)));
        if self == Order::Interleaved {
            sort(&mut keys, |a, b| by_id(rows, a, b));
            interleave_sources(&mut keys);
        }
        sorted(keys, |a, b| by_id(rows, a, b))
    }
}

/// A delivery with what sorts it: its rank, and before it its length, source, position on the whole, or the rank of its media.
type Keyed<K> = (K, Drawn);

fn keyed<K>(drawn: Vec<Vec<Drawn>>, key: impl Fn(Drawn) -> K) -> Vec<Keyed<K>> {
    let mut keys = Vec::with_capacity(drawn.iter().map(Vec::len).sum());
    for of_source in drawn {
        keys.extend(of_source.into_iter().map(|drawn| (key(drawn), drawn)));
    }
    keys
}

fn sorted<K: Ord>(mut keys: Vec<Keyed<K>>, tie: impl Fn(Drawn, Drawn) -> Ordering) -> Vec<Drawn> {
    sort(&mut keys, tie);
    // Not in the memory of the keys, which are larger.
    let mut ordered = Vec::with_capacity(keys.len());
    ordered.extend(keys.iter().map(|(_, drawn)| *drawn));
    ordered
}

fn sort<K: Ord>(keys: &mut [Keyed<K>], tie: impl Fn(Drawn, Drawn) -> Ordering) {
    keys.sort_unstable_by(|(a_key, a), (b_key, b)| a_key.cmp(b_key).then_with(|| tie(*a, *b)));
}

fn by_id<R: Rows + ?Sized>(rows: &R, a: Drawn, b: Drawn) -> Ordering {
    (rows.id(a.position()), a).cmp(&(rows.id(b.position()), b))
}

/// The id by which a group of records with the same media is ranked; a record without media is one by itself.
fn media_id(row: &IndexRow) -> RecordId {
    if row.media == 0 {
        return row.id;
    }
    let mut id = [0; 16];
    id.iter_mut().zip(row.media.to_le_bytes()).for_each(|(byte, of_media)| *byte = of_media);
    RecordId(id)
}

/// Replaces the source of each delivery, sorted by source, by its position on the whole: the middle of its part, (k + ½) / n.
fn interleave_sources(keys: &mut [Keyed<(u64, u64)>]) {
    for of_source in keys.chunk_by_mut(|((a, _), _), ((b, _), _)| a == b) {
        let num = of_source.len() as u128;
        for (nth, ((first, _), _)) in of_source.iter_mut().enumerate() {
            // In units of 2⁻⁶⁴ of the whole, so it is below 2⁶⁴. Any two positions among up to 2³² records differ.
            *first = (((2 * nth as u128 + 1) << 63) / num) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use manyframe_core::{IndexRow, SourceIndex, TypedIndex};
    use proptest::prelude::*;

    use super::*;
    use crate::reference::{row, shuffle};

    fn rows(sizes: &[usize]) -> Vec<IndexRow> {
        let of_source = |(source, &size): (usize, &usize)| {
            (0..size).map(move |n| {
                let mut row = row(&format!("{source} {n}"));
                row.source = SourceIndex::from_position(source);
                row.cost.text_tokens = (n * 7 % 13) as u64;
                row
            })
        };
        sizes.iter().enumerate().flat_map(of_source).collect()
    }

    fn once(num: usize) -> Vec<Drawn> {
        (0..num as u32).map(|row| Drawn { row, repetition: 0 }).collect()
    }

    fn any_order() -> impl Strategy<Value = Order> {
        prop::sample::select(vec![
            Order::Shuffled,
            Order::ByLength,
            Order::BySource,
            Order::Interleaved,
            Order::ByMedia,
        ])
    }

    proptest! {
        #[test]
        fn every_drawn_record_is_delivered_once(sizes in prop::collection::vec(0usize..30, 1..5), by in any_order(), repetitions in 1u32..4, seed: u64) {
            let rows = rows(&sizes);
            let drawn: Vec<Drawn> = (0..rows.len() as u32).flat_map(|row| (0..repetitions).map(move |repetition| Drawn { row, repetition })).collect();
            let mut ordered = by.arrange(&rows, vec![drawn.clone()], seed);
            ordered.sort_unstable();
            prop_assert_eq!(ordered, drawn);
        }

        #[test]
        fn the_order_does_not_depend_on_the_order_of_rows(sizes in prop::collection::vec(0usize..30, 1..5), by in any_order(), seed: u64) {
            let rows = rows(&sizes);
            let reversed: Vec<IndexRow> = rows.iter().rev().copied().collect();
            let ids = |rows: &[IndexRow]| by.arrange(rows, vec![once(rows.len())], seed).iter().map(|drawn| rows[drawn.position()].id).collect::<Vec<_>>();
            prop_assert_eq!(ids(&rows), ids(&reversed));
        }

        #[test]
        fn a_shuffle_without_repetitions_is_the_shuffle_of_rows(num in 0usize..100, seed: u64) {
            let rows = rows(&[num]);
            let all: Vec<usize> = (0..num).collect();
            let ordered: Vec<usize> = Order::Shuffled.arrange(&rows, vec![once(num)], seed).iter().map(|drawn| drawn.position()).collect();
            prop_assert_eq!(ordered, shuffle(&rows, &all, seed));
        }

        #[test]
        fn interleaved_sources_are_in_proportion_everywhere(sizes in prop::collection::vec(1usize..60, 1..5)) {
            let rows = rows(&sizes);
            let ordered = Order::Interleaved.arrange(&rows, vec![once(rows.len())], 3);
            let mut counts = vec![0.0; sizes.len()];
            for (at, drawn) in ordered.iter().enumerate() {
                counts[rows[drawn.position()].source.position()] += 1.0;
                for (count, &size) in counts.iter().zip(&sizes) {
                    let share = ((at + 1) * size) as f64 / rows.len() as f64;
                    prop_assert!((count - share).abs() <= 1.0 + sizes.len() as f64 / 2.0);
                }
            }
        }
    }

    #[test]
    fn ranks_that_begin_alike_are_told_apart_by_their_rest() {
        let rows = rows(&[200_000]);
        let rank_of = |drawn: &Drawn| rank(1, "order", rows[drawn.position()].id);
        let ordered = Order::Shuffled.arrange(&rows, vec![once(rows.len())], 1);
        assert!(ordered.is_sorted_by(|a, b| rank_of(a) < rank_of(b)));
        assert!(ordered.windows(2).any(|pair| rank_of(&pair[0]) >> 32 == rank_of(&pair[1]) >> 32), "some do");
    }

    #[test]
    fn lengths_ascend_and_sources_follow_one_another() {
        let rows = rows(&[20, 10]);
        let length = |drawn: &Drawn| rows[drawn.position()].cost.num_tokens();
        assert!(Order::ByLength.arrange(&rows, vec![once(30)], 1).is_sorted_by_key(length));
        assert!(
            Order::BySource.arrange(&rows, vec![once(30)], 1).is_sorted_by_key(|drawn| rows[drawn.position()].source)
        );
    }

    #[test]
    fn records_with_the_same_media_follow_each_other_and_texts_are_among_them() {
        let mut rows = rows(&[40]);
        (0..).zip(&mut rows).for_each(|(n, row)| row.media = n % 8);
        let ordered: Vec<u64> =
            Order::ByMedia.arrange(&rows, vec![once(40)], 1).iter().map(|drawn| rows[drawn.position()].media).collect();
        let shown: Vec<u64> = ordered.iter().copied().filter(|media| *media != 0).collect();
        let groups: Vec<&[u64]> = shown.chunk_by(|a, b| a == b).collect();
        assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [5; 7], "{shown:?}");
        let (first, last) =
            (ordered.iter().position(|it| *it == 0).unwrap(), ordered.iter().rposition(|it| *it == 0).unwrap());
        assert!(last - first > 5, "records without media are shuffled into the whole: {ordered:?}");
    }
}
