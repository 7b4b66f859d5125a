//! A sequence over weighted members in which every prefix is in proportion.
//!
//! Largest remainders also give counts that add up and are within one of their share, but a larger total can then lower a
//! count. Here, counts are those of a prefix of one sequence, which a larger total only extends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An endless sequence of positions of weights: of the first t, each has its share of t, to within one.
///
/// The n-th turn (from 0) of a member with share s comes after time n/s and not later than ⌈(n+1)/s⌉. Such turns exist
/// (Tijdeman 1980, the chairman assignment problem), and serving whoever is due first finds them. Members of weight 0 have
/// no turn; ties go to the first.
#[derive(Debug, Clone)]
pub(crate) struct FairSequence {
    /// One over the share of each member.
    intervals: Vec<f64>,
    num_turns: Vec<u64>,
    /// (time at which the next turn can come, member).
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    /// (time by which the next turn must have come, member).
    ready: BinaryHeap<Reverse<(u64, usize)>>,
    time: u64,
}

impl FairSequence {
    /// The sequence for finite weights of at least 0.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let with_turns = weights.iter().enumerate().filter(|&(_, &weight)| weight > 0.0 && (sum / weight).is_finite());
        Self {
            intervals: weights.iter().map(|weight| sum / weight).collect(),
            num_turns: vec![0; weights.len()],
            waiting: with_turns.map(|(member, _)| Reverse((1, member))).collect(),
            ready: BinaryHeap::with_capacity(weights.len()),
            time: 0,
        }
    }
}

impl Iterator for FairSequence {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.time += 1;
        while let Some(&Reverse((from, member))) = self.waiting.peek()
            && from <= self.time
        {
            self.waiting.pop();
            let turn = *self.num_turns.get(member)?;
            let due = ((turn + 1) as f64 * self.intervals.get(member)?).ceil() as u64;
            self.ready.push(Reverse((due, member)));
        }
        // Somebody can always be served, but for the rounding of floats.
        let Reverse((_, member)) = self.ready.pop().or_else(|| self.waiting.pop())?;
        let num_turns = self.num_turns.get_mut(member)?;
        *num_turns += 1;
        let from = (*num_turns as f64 * self.intervals.get(member)?).floor() as u64 + 1;
        self.waiting.push(Reverse((from, member)));
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_prefix_is_within_one_of_each_share(weights in prop::collection::vec(0u32..2000, 1..40), length in 1usize..3000) {
            let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
            let sum: f64 = weights.iter().sum();
            prop_assume!(sum > 0.0);
            let mut counts = vec![0.0; weights.len()];
            for (at, member) in FairSequence::new(&weights).take(length).enumerate() {
                counts[member] += 1.0;
                for (count, weight) in counts.iter().zip(&weights) {
                    let share = (at + 1) as f64 * weight / sum;
                    prop_assert!((count - share).abs() < 1.0 + 1e-9, "{count} of {share} after {at}");
                }
            }
            prop_assert!((counts.iter().sum::<f64>() - length as f64).abs() < 0.5);
        }
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(FairSequence::new(&[1.0, 0.0, 1.0]).take(4).collect::<Vec<_>>(), [0, 2, 0, 2]);
        assert_eq!(FairSequence::new(&[0.0]).next(), None);
    }
}
