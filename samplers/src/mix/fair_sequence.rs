//! A sequence over weighted members in which every prefix is in proportion.
//!
//! Largest remainders also yield counts that add up and are within one of their share, but there a larger total can lower
//! a count. Here the counts are those of a prefix of one sequence, which a larger total only extends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An endless sequence of positions of weights. Among the first t, each position has its share of t, to within one.
///
/// The n-th turn (from 0) of a member with share s comes after time n/s and not later than ⌈(n+1)/s⌉. Such turns exist
/// (Tijdeman 1980, the chairman assignment problem), and serving the member that is due first finds them. Members of
/// weight 0 have no turn. Ties go to the first member.
#[derive(Debug, Clone)]
pub(crate) struct FairSequence {
    members: Vec<FairMember>,
    /// (time from which the next turn can come, member).
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    /// (time by which the next turn must have come, member).
    ready: BinaryHeap<Reverse<(u64, usize)>>,
    time: u64,
}

#[derive(Debug, Clone, Copy)]
struct FairMember {
    /// One over its share: the mean time between turns.
    interval: f64,
    num_turns: u64,
}

impl FairSequence {
    /// The sequence for finite weights of at least 0.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let with_turns = weights.iter().enumerate().filter(|&(_, &weight)| weight > 0.0 && (sum / weight).is_finite());
        Self {
            members: weights.iter().map(|weight| FairMember { interval: sum / weight, num_turns: 0 }).collect(),
            waiting: with_turns.map(|(member, _)| Reverse((1, member))).collect(),
            ready: BinaryHeap::with_capacity(weights.len()),
            time: 0,
        }
    }
}

impl Iterator for FairSequence {
    type Item = usize;

    #[expect(clippy::indexing_slicing, reason = "both heaps contain positions of members only")]
    fn next(&mut self) -> Option<usize> {
        self.time += 1;
        while let Some(&Reverse((from, member))) = self.waiting.peek()
            && from <= self.time
        {
            self.waiting.pop();
            let FairMember { interval, num_turns } = self.members[member];
            let due = ((num_turns + 1) as f64 * interval).ceil() as u64;
            self.ready.push(Reverse((due, member)));
        }
        // One member can always be served. Rounding of floats can only make it one that is still waiting.
        let Reverse((_, member)) = self.ready.pop().or_else(|| self.waiting.pop())?;
        let served = &mut self.members[member];
        served.num_turns += 1;
        let from = (served.num_turns as f64 * served.interval).floor() as u64 + 1;
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
