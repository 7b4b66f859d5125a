//! Choices that are the same on every machine: ranks of names, from the one source of randomness.

use manyframe_core::{Digest, RecordId, rank};

/// The choices of a question, each a function of the seed, what the question is, and what is chosen.
#[derive(Debug, Clone)]
pub(crate) struct Chance {
    seed: u64,
    key: String,
}

impl Chance {
    pub(crate) fn new(seed: u64, key: impl Into<String>) -> Self {
        Self { seed, key: key.into() }
    }

    /// The order of `count` things in which those of lowest rank come first.
    pub(crate) fn order(&self, purpose: &str, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_cached_key(|&number| (self.rank(purpose, number), number));
        order
    }

    /// `count` of the numbers below `below`, ascending; all if there are no more.
    pub(crate) fn places(&self, purpose: &str, count: usize, below: u32) -> Vec<u32> {
        let chosen = self.order(purpose, below as usize).into_iter().take(count);
        let mut places: Vec<u32> = chosen.map(|place| place as u32).collect();
        places.sort_unstable();
        places
    }

    /// A number below `below`; 0 if that is 0.
    pub(crate) fn number(&self, purpose: &str, below: u32) -> u32 {
        (self.rank(purpose, 0) % u64::from(below.max(1))) as u32
    }

    fn rank(&self, purpose: &str, number: usize) -> u64 {
        let id = RecordId::from_digest(Digest::of_fields([self.key.as_bytes(), &(number as u64).to_le_bytes()]));
        rank(self.seed, purpose, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_distinct_and_ascend() {
        for number in 0..50 {
            let places = Chance::new(number, "key").places("p", 4, 9);
            assert!(places.len() == 4 && places.is_sorted_by(|a, b| a < b) && places.iter().all(|&place| place < 9));
        }
        assert_eq!(Chance::new(1, "key").places("p", 4, 2), [0, 1]);
    }

    #[test]
    fn an_order_has_each_number_once() {
        let mut order = Chance::new(1, "key").order("o", 20);
        assert_ne!(order, Chance::new(2, "key").order("o", 20));
        order.sort_unstable();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }
}
