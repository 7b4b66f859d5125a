//! A row of the ledger as commands print it: in JSON, one object each.

use manyframe_core::{Layout, RecordId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::ledger::{LedgerRow, Status};

/// What happened to a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RecordJson {
    /// Identity; the key of its sample in shards.
    pub id: RecordId,
    /// Name of its source.
    pub source: String,
    /// Part of the source; may be empty.
    pub subset: String,
    /// Its id in the upstream dataset; may be empty.
    pub upstream_id: String,
    /// What happened to it.
    pub status: Status,
    /// Why it was rejected: a stable code.
    pub reason: Option<String>,
    /// Why it was rejected, or what it shares with the record that is kept, as text for people.
    pub detail: Option<String>,
    /// The record that is kept instead.
    pub duplicate_of: Option<RecordId>,
    /// How it was shortened to fit the length limit, as text for people.
    pub shortened: Option<String>,
    /// How many frames of its videos are missing or damaged, as text for people.
    pub damage: Option<String>,
    /// What is delivered of its videos where they are to be delivered as files, as text for people.
    pub videos: Option<String>,
    /// How many times it was delivered before: 0 is the first.
    pub repetition: u32,
    /// The shard that holds it, without format and extension.
    pub shard: Option<String>,
    /// Its number among the samples of that shard, from 0.
    pub shard_row: Option<u64>,
    /// Its position in the order of delivery, from 0.
    pub position: Option<u64>,
    /// The layout of its sample; null if it was rejected before it was measured, as the numbers below.
    pub layout: Option<Layout>,
    /// Turns of its conversation.
    pub num_turns: Option<u32>,
    /// Tokens of its sample.
    pub num_tokens: Option<u64>,
    /// Those of text, delimiters and template included.
    pub text_tokens: Option<u64>,
    /// Those of images and videos.
    pub visual_tokens: Option<u64>,
    /// Images, frames and tiles of its sample.
    pub num_images: Option<u64>,
    /// Those of them that are frames.
    pub num_frames: Option<u64>,
    /// Where it was read from.
    pub origin: String,
}

impl RecordJson {
    /// The names of its fields.
    pub fn fields() -> Vec<String> {
        let schema = schemars::schema_for!(Self);
        let names = schema.get("properties").and_then(|properties| properties.as_object());
        names.into_iter().flat_map(|names| names.keys().cloned()).collect()
    }
}

impl From<LedgerRow> for RecordJson {
    fn from(row: LedgerRow) -> Self {
        let cost = row.measured.map(|(cost, _)| cost);
        Self {
            id: row.id,
            status: row.status,
            duplicate_of: row.duplicate_of,
            repetition: row.repetition,
            shard: row.shard.map(|shard| shard.to_string()),
            shard_row: row.shard_row,
            position: row.position,
            layout: row.measured.map(|(_, layout)| layout),
            num_turns: row.num_turns,
            num_tokens: cost.map(|cost| cost.num_tokens()),
            text_tokens: cost.map(|cost| cost.text_tokens),
            visual_tokens: cost.map(|cost| cost.visual_tokens),
            num_images: cost.map(|cost| cost.num_images),
            num_frames: cost.map(|cost| cost.num_frames),
            origin: row.origin.to_string(),
            source: row.source,
            subset: row.subset,
            upstream_id: row.upstream_id,
            reason: row.reason,
            detail: row.detail,
            shortened: row.shortened,
            damage: row.damage,
            videos: row.videos,
        }
    }
}
