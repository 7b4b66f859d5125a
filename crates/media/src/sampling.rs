//! How many frames of a video are shown, and at which positions. These rules need no decoder.

/// How frames are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// One frame per interval.
    Interval {
        /// Seconds from one frame to the next. Default: 1.
        interval_s: f64,
        /// Upper bound on the number of frames. If there are more, this many are taken at even positions, including the
        /// first and the last. Default: 128.
        max_frames: u32,
    },
    /// All frames: the model's processor chooses among them.
    All,
    /// A fixed number of frames at even positions, including the first and the last; all frames if there are fewer.
    Uniform {
        /// Number of frames.
        num_frames: u32,
    },
}

impl Sampling {
    /// The same rule with at most this many frames.
    #[must_use]
    pub fn at_most(self, most: u32) -> Self {
        match self {
            Self::All => self,
            Self::Interval { interval_s, max_frames } => {
                Self::Interval { interval_s, max_frames: max_frames.min(most) }
            }
            Self::Uniform { num_frames } => Self::Uniform { num_frames: num_frames.min(most) },
        }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self::Interval { interval_s: 1.0, max_frames: 128 }
    }
}

/// `num_wanted` of the items, at even positions `floor(i × (n − 1) ÷ (num_wanted − 1))`; all if there are no more than that.
///
/// A single item is the first one, and 0 counts as 1.
pub fn spread<T: Clone>(items: &[T], num_wanted: u32) -> Vec<T> {
    spread_positions(items.len(), num_wanted).filter_map(|position| items.get(position)).cloned().collect()
}

/// The positions that [`spread`] takes of so many items.
pub fn spread_positions(num_items: usize, num_wanted: u32) -> impl Iterator<Item = usize> {
    let num_wanted = num_items.min(num_wanted.max(1) as usize);
    // In integers: the product of a position and a count below 2³² fits.
    let (last, steps) = (num_items.saturating_sub(1) as u128, num_wanted.saturating_sub(1).max(1) as u128);
    (0..num_wanted).map(move |i| (i as u128 * last / steps) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_item_are_among_the_spread_ones() {
        let items: Vec<usize> = (0..10).collect();
        assert_eq!(spread(&items, 4), [0, 3, 6, 9]);
        assert_eq!(spread(&items, 9), [0, 1, 2, 3, 4, 5, 6, 7, 9]);
        assert_eq!(spread(&items, 2), [0, 9]);
    }

    #[test]
    fn few_items_are_all_taken_and_a_single_one_is_the_first() {
        assert_eq!(spread(&[5, 6, 7], 3), [5, 6, 7]);
        assert_eq!(spread(&[5, 6, 7], u32::MAX), [5, 6, 7]);
        assert_eq!(spread(&[5, 6, 7], 1), [5]);
        assert_eq!(spread(&[5, 6, 7], 0), [5]);
        assert!(spread::<u8>(&[], 3).is_empty());
    }

    #[test]
    fn fewer_frames_leave_the_rule_as_it_is() {
        assert_eq!(Sampling::default().at_most(7), Sampling::Interval { interval_s: 1.0, max_frames: 7 });
        assert_eq!(Sampling::Uniform { num_frames: 4 }.at_most(7), Sampling::Uniform { num_frames: 4 });
    }
}
