//! A set of small numbers that answers "the smallest member not below this" in a few instructions: 64-ary bitmaps.

/// A set of numbers below a bound.
///
/// # Invariants
/// A bit of a level is set if the word below it is not zero; the bits of the lowest level are the members.
#[derive(Debug, Clone)]
pub(super) struct Levels {
    levels: Vec<Vec<u64>>,
}

impl Levels {
    /// An empty set of numbers below `bound`.
    pub(super) fn new(bound: usize) -> Self {
        let mut levels = Vec::new();
        let mut num_bits = bound.max(1);
        loop {
            num_bits = num_bits.div_ceil(64);
            levels.push(vec![0; num_bits]);
            if num_bits == 1 {
                return Self { levels };
            }
        }
    }

    pub(super) fn insert(&mut self, number: usize) {
        let mut at = number;
        for level in &mut self.levels {
            if let Some(word) = level.get_mut(at >> 6) {
                *word |= 1 << (at & 63);
            }
            at >>= 6;
        }
    }

    pub(super) fn remove(&mut self, number: usize) {
        let mut at = number;
        for level in &mut self.levels {
            let Some(word) = level.get_mut(at >> 6) else { return };
            *word &= !(1 << (at & 63));
            if *word != 0 {
                return;
            }
            at >>= 6;
        }
    }

    /// The smallest member that is not below `number`.
    pub(super) fn at_least(&self, number: usize) -> Option<usize> {
        let mut at = number;
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(at >> 6)? & (u64::MAX << (at & 63));
            if word != 0 {
                let found = (at & !63) | word.trailing_zeros() as usize;
                return self
                    .levels
                    .get(..height)?
                    .iter()
                    .rev()
                    .try_fold(found, |found, below| Some((found << 6) | below.get(found)?.trailing_zeros() as usize));
            }
            at = (at >> 6) + 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_answers_as_an_ordered_set_does(bound in 1usize..9000, steps in prop::collection::vec((any::<bool>(), 0usize..9000), 0..300)) {
            let (mut levels, mut expected) = (Levels::new(bound), BTreeSet::new());
            for (insert, number) in steps {
                let number = number % bound;
                if insert {
                    levels.insert(number);
                    expected.insert(number);
                } else {
                    levels.remove(number);
                    expected.remove(&number);
                }
                prop_assert_eq!(levels.at_least(number), expected.range(number..).next().copied());
                prop_assert_eq!(levels.at_least(0), expected.first().copied());
            }
            prop_assert_eq!(levels.at_least(bound + 64), None);
        }
    }
}
