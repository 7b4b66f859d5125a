//! Sequence parallelism over images and tokens (MM-SP, LongVILA, arXiv 2408.10188): which rank encodes which images, and
//! which rank holds which tokens, so that a dataset can be padded for it and its cost is known before a cluster is
//! booked.
//!
//! ```text
//! stage one: images of a sequence ──contiguous, sizes differing by at most one──▶ ranks (vision tower)
//! stage two: tokens ──chunks, by scheme──▶ ranks (language model)
//! ```
//!
//! **Invariant:** every chunk and every image belongs to exactly one rank.

mod forecast;
mod layout;
#[cfg(test)]
mod tests;

pub use forecast::{Cluster, ClusterForecast, SequenceLoad, forecast};
pub use layout::{RankLayout, Scheme};
