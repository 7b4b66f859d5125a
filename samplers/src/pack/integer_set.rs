//! A set of small integers that answers "the smallest member not below this" in a few instructions: 64-ary bitmaps.

/// A set of integers below a bound.
///
/// # Invariants
/// A bit of a level is set if and only if the word below it is not zero. The bits of the lowest level are the members.
#[derive(Debug, Clone)]
pub(super) struct IntegerSet {
    levels: Vec<Vec<u64>>,
}

impl IntegerSet {
    /// An empty set of integers below `bound`.
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

    /// Adds a number, which must be below the bound.
    #[expect(clippy::indexing_slicing, reason = "a level has a bit for each number below the bound, shifted to it")]
    pub(super) fn insert(&mut self, number: usize) {
        let mut at = number;
        for level in &mut self.levels {
            level[at >> 6] |= 1 << (at & 63);
            at >>= 6;
        }
    }

    /// Removes a number, which must be below the bound.
    #[expect(clippy::indexing_slicing, reason = "a level has a bit for each number below the bound, shifted to it")]
    pub(super) fn remove(&mut self, number: usize) {
        let mut at = number;
        for level in &mut self.levels {
            let word = &mut level[at >> 6];
            *word &= !(1 << (at & 63));
            if *word != 0 {
                return;
            }
            at >>= 6;
        }
    }

    /// The smallest member that is not below `number`, which may be any number.
    pub(super) fn at_least(&self, number: usize) -> Option<usize> {
        let mut at = number;
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(at >> 6)? & (u64::MAX << (at & 63));
            if word != 0 {
                let position = (at & !63) | word.trailing_zeros() as usize;
                return Some(self.first_below(height, position));
            }
            at = (at >> 6) + 1;
        }
        None
    }

    /// The smallest member below a bit of a level that is set.
    #[expect(clippy::indexing_slicing, reason = "below a bit that is set there is a word that is not zero")]
    fn first_below(&self, height: usize, position: usize) -> usize {
        let levels = self.levels[..height].iter().rev();
        levels.fold(position, |position, level| (position << 6) | level[position].trailing_zeros() as usize)
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
            let (mut set, mut expected) = (IntegerSet::new(bound), BTreeSet::new());
            for (insert, number) in steps {
                let number = number % bound;
                if insert {
                    set.insert(number);
                    expected.insert(number);
                } else {
                    set.remove(number);
                    expected.remove(&number);
                }
                prop_assert_eq!(set.at_least(number), expected.range(number..).next().copied());
                prop_assert_eq!(set.at_least(0), expected.first().copied());
            }
            prop_assert_eq!(set.at_least(bound + 64), None);
        }
    }
}
