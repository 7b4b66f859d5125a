//! Which records are chosen, in which order, and which share a sequence or a shard: pure functions over index rows.
//!
//! ```text
//! rows ──make_ids_unique──▶ ──duplicates, near and exact──▶ ──mix──▶ ──order──▶ ──pack──▶ sequences ──forecast──▶ cluster
//!                                                                       └──────cut──▶ tasks
//! ```
//!
//! **Invariant:** nothing here sees text or pixels, does I/O, or depends on the order of reading beyond what is stated.
//! **Invariant:** draws are consistent: a larger share keeps what a smaller one chose, and one source's draw does not
//! depend on another source, but through the size of its target where both are weighted.

mod audit;
mod cut;
#[cfg(test)]
mod draw;
mod duplicates;
mod identity;
mod mix;
mod near;
mod order;
mod pack;
pub mod parallel;

pub use audit::{Amount, ConcatAudit, ConcatLoss, ConcatOptions, ConcatSample, audit_concat};
pub use cut::{CutLimits, cut};
pub use duplicates::{Duplicate, candidate_groups, duplicates_in_group};
pub use identity::make_ids_unique;
pub use mix::{
    Difference, Drawn, DrawnShare, Law, MAX_REPETITIONS, MixError, Mixture, OnExhausted, Replacement, Share, Stratify,
    StratumSplit, Total, Unit, mix,
};
pub use near::{Match, matches, near_duplicates};
pub use order::{Order, order};
pub use pack::{
    Balance, Boundaries, Length, OfRanks, PackOptions, PackReport, Packs, Padding, Strategy, TooManySamples, pack,
};
