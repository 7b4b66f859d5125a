//! The inputs of attention, their shapes, and the sizes that both versions work with.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use crate::window::TokenWindow;

/// Inputs of [`attention`](super::attention): T tokens, and the tokens of the window's first sample that precede it
/// ([`TokenWindow::num_before`]).
#[derive(Debug, Clone, Copy)]
pub struct AttentionInputs<'a> {
    /// Queries, `[T, heads, width]`.
    pub q: &'a Tensor,
    /// Keys, `[before + T, groups, width]`. Each group serves `heads / groups` heads.
    pub k: &'a Tensor,
    /// Values, `[before + T, groups, width]`.
    pub v: &'a Tensor,
}

/// Numbers of heads, and their width.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadSizes {
    pub(super) num_heads: usize,
    pub(super) num_groups: usize,
    pub(super) width: usize,
}

impl AttentionInputs<'_> {
    /// Checks the shapes against each other and against a window.
    pub(super) fn check(&self, window: &TokenWindow) -> Result<HeadSizes> {
        let (num_queries, num_heads, width) = self.q.dims3()?;
        let (num_keys, num_groups, _) = self.k.dims3()?;
        let expected_keys = window.num_before() + window.num_tokens();
        if num_queries != window.num_tokens() || num_keys != expected_keys {
            bail!(
                "{num_queries} queries and {num_keys} keys, expected {} and {expected_keys} for the window",
                window.num_tokens()
            );
        }
        if num_groups == 0 || !num_heads.is_multiple_of(num_groups) {
            bail!("{num_heads} heads are not a multiple of {num_groups} groups of keys");
        }
        if self.k.dims() != [num_keys, num_groups, width] || self.v.dims() != self.k.dims() {
            let [q, k, v] = [self.q.dims(), self.k.dims(), self.v.dims()];
            bail!("queries {q:?}, keys {k:?} and values {v:?} do not fit together");
        }
        Ok(HeadSizes { num_heads, num_groups, width })
    }
}

impl HeadSizes {
    /// Heads that share a group of keys and values.
    pub(super) fn heads_per_group(self) -> usize {
        self.num_heads / self.num_groups
    }

    /// What scores are multiplied by: 1/√width.
    pub(super) fn scale(self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// A block of consecutive queries of one sample, and where the sample's keys are.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryBlock {
    /// Its first query in the window.
    pub(super) first_query: usize,
    pub(super) num_queries: usize,
    /// The first key of the sample, among all keys.
    pub(super) first_key: usize,
    /// Tokens of the sample before the first query.
    pub(super) num_earlier: usize,
}

impl QueryBlock {
    /// The queries of a window in order, in blocks of at most `max_queries` (at least 1).
    pub(super) fn all(window: &TokenWindow, max_queries: usize) -> Vec<Self> {
        let mut blocks = Vec::new();
        for (tokens, num_before) in window.samples() {
            // The keys of the first sample begin before the window, those of the others follow the keys before them.
            let first_key = tokens.start + window.num_before() - num_before;
            for first_query in tokens.clone().step_by(max_queries) {
                let num_queries = max_queries.min(tokens.end - first_query);
                let num_earlier = num_before + first_query - tokens.start;
                blocks.push(Self { first_query, num_queries, first_key, num_earlier });
            }
        }
        blocks
    }

    /// Keys of the sample that the last query sees.
    pub(super) fn num_keys(self) -> usize {
        self.num_earlier + self.num_queries
    }

    /// How many of a range of the sample's keys a query of the block sees.
    pub(super) fn num_seen(self, query: usize, keys: &Range<usize>) -> usize {
        (self.num_earlier + query + 1).saturating_sub(keys.start).min(keys.len())
    }
}
