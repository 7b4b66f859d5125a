//! Where samples begin and end in a packed sequence, and the windows in which a long sequence is processed.

use std::ops::Range;

/// Samples packed one after another into one sequence; `ends` is what attention kernels call `cu_seqlens`, without the 0.
///
/// # Invariants
/// * `ends` are strictly increasing: samples without tokens are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedSamples {
    ends: Vec<usize>,
}

/// A range of tokens of a packing. Its first sample may begin before it, and its last may continue after it.
///
/// # Invariants
/// * `lengths` are positive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWindow {
    start: usize,
    num_before: usize,
    lengths: Vec<usize>,
}

impl PackedSamples {
    /// Packs samples of these lengths, in tokens.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut end = 0_usize;
        let ends = lengths.into_iter().filter(|&length| length > 0).map(|length| {
            end = end.saturating_add(length);
            end
        });
        Self { ends: ends.collect() }
    }

    /// One past the last token of each sample, increasing.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Tokens of all samples together.
    pub fn num_tokens(&self) -> usize {
        self.ends.last().map_or(0, |end| *end)
    }

    /// The window over these tokens, cut off at the end of the packing.
    pub fn window(&self, tokens: Range<usize>) -> TokenWindow {
        let end = tokens.end.min(self.num_tokens());
        let start = tokens.start.min(end);
        let (earlier, later) = self.ends.split_at(self.ends.partition_point(|&sample_end| sample_end <= start));
        let sample_start = earlier.last().map_or(0, |previous_end| *previous_end);
        let mut lengths = Vec::new();
        let mut position = start;
        for &sample_end in later {
            if position >= end {
                break;
            }
            lengths.push(sample_end.min(end) - position);
            position = sample_end.min(end);
        }
        TokenWindow { start, num_before: start - sample_start, lengths }
    }

    /// The packing cut into windows of `max_tokens` tokens, in order; the last may be shorter. 0 counts as 1.
    pub fn windows(&self, max_tokens: usize) -> impl Iterator<Item = TokenWindow> {
        let step = max_tokens.max(1);
        (0..self.num_tokens()).step_by(step).map(move |start| self.window(start..start.saturating_add(step)))
    }
}

impl TokenWindow {
    /// A window over one whole sample.
    pub fn of_one(num_tokens: usize) -> Self {
        PackedSamples::from_lengths([num_tokens]).window(0..num_tokens)
    }

    /// Index of its first token in the packing.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Tokens of its first sample that precede the window; 0 if that sample begins with it.
    pub fn num_before(&self) -> usize {
        self.num_before
    }

    /// Tokens of each sample inside the window.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Tokens in the window.
    pub fn num_tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Tokens of its last sample up to the end of the window, including those that precede the window.
    pub fn num_open(&self) -> usize {
        let before = if self.lengths.len() > 1 { 0 } else { self.num_before };
        self.lengths.last().map_or(0, |length| length + before)
    }

    /// The samples as ranges of the window's tokens, each with the number of its tokens that precede the window.
    pub fn samples(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let mut start = 0;
        self.lengths.iter().enumerate().map(move |(index, length)| {
            let range = start..start + length;
            start += length;
            (range, if index == 0 { self.num_before } else { 0 })
        })
    }

    /// For each token of the window, the tokens of its sample before it; 0 for the first token of a sample.
    pub(crate) fn num_earlier(&self) -> impl Iterator<Item = usize> {
        self.samples().flat_map(|(tokens, num_before)| (num_before..).take(tokens.len()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_knows_how_much_of_its_first_sample_precedes_it() {
        let packing = PackedSamples::from_lengths([3, 0, 5, 2]);
        assert_eq!(packing.ends(), [3, 8, 10]);
        let window = packing.window(5..9);
        assert_eq!((window.start(), window.num_before(), window.lengths()), (5, 2, &[3, 1][..]));
        assert_eq!(window.num_earlier().collect::<Vec<_>>(), [2, 3, 4, 0]);
        assert_eq!(window.num_open(), 1);
        assert_eq!(packing.window(4..6).num_open(), 3);
        assert_eq!(window.samples().collect::<Vec<_>>(), [(0..3, 2), (3..4, 0)]);
    }

    proptest! {
        #[test]
        fn windows_cover_every_token_once(lengths in prop::collection::vec(0_usize..9, 0..8), step in 1_usize..7) {
            let packing = PackedSamples::from_lengths(lengths);
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
