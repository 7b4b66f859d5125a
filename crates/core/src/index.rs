//! One row per record that could be read: what samplers see. Metadata only, fixed size, no text and no pixels.

use crate::{Cost, Layout, RecordId};

/// A record as samplers and the planner see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexRow {
    /// Identity; unique within a plan.
    pub id: RecordId,
    /// Position of the source in the pipeline file.
    pub source: u32,
    /// Exact tokens and images under the pipeline's dialect and tokenizer.
    pub cost: Cost,
    /// Which layout its sample will have.
    pub layout: Layout,
    /// Number of turns.
    pub num_turns: u32,
    /// Number of characters of text in all turns.
    pub num_chars: u64,
    /// Bytes its sample will take in a shard, roughly.
    pub estimated_bytes: u64,
    /// Equal for records that might be duplicates: same text, and media of the same sizes.
    pub signature: u64,
}
