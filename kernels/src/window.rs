//! Where samples begin and end in a packed sequence, and the windows in which a long one is worked on.

use std::ops::Range;

/// Samples that stand one after another in one sequence; what attention kernels call `cu_seqlens`.
///
/// # Invariants
/// * `ends` grow strictly: a sample without tokens takes no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    ends: Vec<usize>,
}

/// A stretch of a packing: whole samples, the end of one that began before it, the beginning of one that goes on after it.
///
/// # Invariants
/// * `lengths` are positive and add up to the number of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    start: usize,
    num_before: usize,
    lengths: Vec<usize>,
}

impl Packing {
    /// A packing of samples with these numbers of tokens.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut end = 0_usize;
        let ends = lengths.into_iter().filter(|&length| length > 0).map(|length| {
            end = end.saturating_add(length);
            end
        });
        Self { ends: ends.collect() }
    }

    /// One past the last token of each sample.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Tokens of all samples.
    pub fn num_tokens(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The stretch of these tokens; what lies beyond the end is left out.
    pub fn window(&self, tokens: Range<usize>) -> Window {
        let end = tokens.end.min(self.num_tokens());
        let start = tokens.start.min(end);
        let first = self.ends.partition_point(|&sample_end| sample_end <= start);
        let sample_start = first.checked_sub(1).and_then(|previous| self.ends.get(previous)).copied().unwrap_or(0);
        let mut lengths = Vec::new();
        let mut position = start;
        for &sample_end in self.ends.iter().skip(first) {
            if position >= end {
                break;
            }
            lengths.push(sample_end.min(end) - position);
            position = sample_end.min(end);
        }
        Window { start, num_before: start - sample_start, lengths }
    }

    /// The whole as windows of at most `max_tokens` tokens (at least 1), in order.
    pub fn windows(&self, max_tokens: usize) -> impl Iterator<Item = Window> {
        let step = max_tokens.max(1);
        (0..self.num_tokens()).step_by(step).map(move |start| self.window(start..start.saturating_add(step)))
    }
}

impl Window {
    /// A window that is one whole sample.
    pub fn of_one(num_tokens: usize) -> Self {
        Packing::from_lengths([num_tokens]).window(0..num_tokens)
    }

    /// Its first token in the packing.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Tokens of its first sample that stood before it: 0 if that sample begins here.
    pub fn num_before(&self) -> usize {
        self.num_before
    }

    /// Tokens of each sample that stand here.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Tokens that stand here.
    pub fn num_tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Tokens of its last sample that stood up to its end, those before the window included.
    pub fn num_open(&self) -> usize {
        let before = if self.lengths.len() > 1 { 0 } else { self.num_before };
        self.lengths.last().map_or(0, |length| length + before)
    }

    /// The samples as ranges of its tokens, each with the number of its tokens that stood before the window.
    pub fn samples(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let mut start = 0;
        self.lengths.iter().enumerate().map(move |(index, length)| {
            let range = start..start + length;
            start += length;
            (range, if index == 0 { self.num_before } else { 0 })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_knows_what_of_its_samples_stood_before() {
        let packing = Packing::from_lengths([3, 0, 5, 2]);
        assert_eq!(packing.ends(), [3, 8, 10]);
        let window = packing.window(5..9);
        assert_eq!((window.start(), window.num_before(), window.lengths()), (5, 2, &[3, 1][..]));
        assert_eq!(window.num_open(), 1);
        assert_eq!(packing.window(4..6).num_open(), 3);
        assert_eq!(window.samples().collect::<Vec<_>>(), [(0..3, 2), (3..4, 0)]);
    }

    proptest! {
        #[test]
        fn windows_cover_every_token_once(lengths in prop::collection::vec(0_usize..9, 0..8), step in 1_usize..7) {
            let packing = Packing::from_lengths(lengths);
            let mut next = 0;
            for window in packing.windows(step) {
                prop_assert_eq!(window.start(), next);
                prop_assert!(window.num_tokens() <= step && window.lengths().iter().all(|&length| length > 0));
                next += window.num_tokens();
            }
            prop_assert_eq!(next, packing.num_tokens());
        }
    }
}
