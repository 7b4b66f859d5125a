//! Which records are chosen, in which order, and which of them share a sequence or a shard: pure functions over index
//! rows.
//!
//! ```text
//! rows ──make_ids_unique──▶ ──duplicates, near and exact──▶ ──mix──▶ ──order──▶ ──pack──▶ sequences ──forecast──▶ cluster
//!                                                                       └──ShardFill───▶ tasks
//! ```
//!
//! **Invariant:** nothing here sees text or pixels, performs I/O, or depends on the order of reading beyond what is stated.
//! **Invariant:** draws are consistent: a larger share keeps what a smaller one chose, and the draw of one source
//! depends on another only through the size of its target, where both are weighted.
//!
//! `samplers/README.md` describes the mixing laws, and where to add one.

mod alike;
mod audit;
mod balance;
mod cut;
mod duplicates;
mod identity;
mod mix;
mod near_duplicates;
mod order;
mod pack;
#[cfg(test)]
mod reference;
mod rows;
pub mod sequence_parallel;

pub use audit::{Amount, ConcatAudit, ConcatLoss, ConcatOptions, ConcatSample, audit_concat};
pub use balance::Balance;
pub use cut::{ShardFill, ShardLimits};
pub use duplicates::{Duplicate, candidate_groups, duplicates_in_group};
pub use identity::{make_ids_unique, sample_id};
pub use mix::{
    Difference, Drawn, DrawnShare, Law, MAX_REPETITIONS, MixError, MixTotal, Mixture, OnExhausted, Replacement,
    SourceShare, Stratify, StratumSplit, Unit, mix,
};
pub use near_duplicates::{ContaminatedRow, contaminated_rows, near_duplicates};
pub use order::Order;
pub use pack::{
    Boundaries, PackBalance, PackOptions, PackReport, PackingStrategy, Packs, Padding, RankBoundaries, SampleLength,
    TooManySamples, epoch_order, pack,
};
pub use rows::Rows;
