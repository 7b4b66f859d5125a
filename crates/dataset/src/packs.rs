//! `pack-DIGEST.parquet`: training sequences as an index over the samples of a dataset. Its columns are in `schemas/pack.schema.json`.
//!
//! It does not decide which samples form a sequence.

use std::collections::BTreeMap;
use std::path::Path;

use manyframe_base::InputFile;
use manyframe_columnar::{columns_of, schema_of_row, table};
use manyframe_core::RecordId;
use manyframe_pipeline::PackTable;
use manyframe_samplers::{ConcatLoss, PackReport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::ledger::SamplePlace;
use crate::shard_name::ShardName;
use crate::table_file::{TableDigest, TableFileWriter, read_rows, read_table_file};

/// How samples are packed, and what that costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PackSummary {
    /// The settings.
    pub settings: PackTable,
    /// Maximum pack length in tokens.
    pub capacity_tokens: u32,
    /// Lengths are padded to a multiple of this.
    pub pad_to_multiple: u32,
    /// What the packs cost.
    pub report: PackReport,
    /// Samples that fit into no pack, by source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub too_long: BTreeMap<String, u64>,
    /// What LongLLaVA's packer would have lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditSummary>,
}

/// What LongLLaVA's released packer would have made of the same samples, in the same order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditSummary {
    /// Maximum number of tokens of a pack, as that packer counts them.
    pub limit_tokens: u64,
    /// Packs that would reach the trainer.
    pub num_packs: u64,
    /// Tokens trained on, over the length of all packs, from 0 to 1.
    pub fill: f64,
    /// What would be lost of each source.
    pub sources: BTreeMap<String, ConcatLoss>,
}

/// A pack: the samples of one training sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRow {
    /// Its number, from 0.
    pub pack: u64,
    /// The training step that it belongs to.
    pub step: u64,
    /// The data-parallel rank that trains on it.
    pub rank: u64,
    /// The samples, in the order of the sequence.
    pub samples: Vec<RecordId>,
    /// The shard of each.
    pub shards: Vec<ShardName>,
    /// The number of each among the samples of its shard.
    pub shard_rows: Vec<u64>,
    /// The file that holds each, below the dataset's directory: of the first format whose shards are tars, or else of the first
    /// format. Empty in an index of an earlier version.
    pub shard_files: Vec<String>,
    /// The first byte of each in its file, if that is a tar. Empty if the ledger does not say.
    pub shard_offsets: Vec<u64>,
    /// The number of bytes of each in its file, if that is a tar. Empty if the ledger does not say.
    pub shard_num_bytes: Vec<u64>,
    /// The source of each. Empty in an index of an earlier version.
    pub sources: Vec<String>,
    /// Sample k takes the positions `cu_seqlens[k] .. cu_seqlens[k + 1]`; position ids restart with each.
    pub cu_seqlens: Vec<u64>,
    /// Sample k has the images `cu_images[k] .. cu_images[k + 1]` of the sequence.
    pub cu_images: Vec<u64>,
    /// Sample k has the visuals `cu_visuals[k] .. cu_visuals[k + 1]` of the sequence. Empty if the ledger does not say.
    pub cu_visuals: Vec<u64>,
    /// The visual tokens of each visual. Empty if the ledger does not say.
    pub tokens_per_visual: Vec<u64>,
    /// Tokens of the samples.
    pub num_tokens: u64,
    /// Those of them that images take.
    pub visual_tokens: u64,
    /// Tokens of the sequence with its padding.
    pub padded_tokens: u64,
    /// With sequence parallelism: its rank r encodes the images `rank_images[r] .. rank_images[r + 1]` of the sequence.
    pub rank_images: Vec<u64>,
    /// With sequence parallelism: first token, and one past the last, of each chunk, rank after rank and ascending in each.
    /// Every rank has the same number of chunks.
    pub rank_tokens: Vec<u64>,
}

impl PackRow {
    /// Where its samples are, in order.
    pub fn places(&self) -> impl Iterator<Item = SamplePlace> {
        let offsets = self.shard_offsets.iter().copied().map(Some).chain(std::iter::repeat(None));
        let places = self.samples.iter().zip(&self.shards).zip(self.shard_rows.iter().zip(offsets));
        places.map(|((&id, &shard), (&shard_row, shard_offset))| SamplePlace { id, shard, shard_row, shard_offset })
    }
}

table! {
    /// The columns of the pack index.
    pub struct PackIndexTable<'r>(row: &'r PackRow) -> PackRow {
        /// number of the pack, from 0
        pack: u64 = row.pack,
        /// training step that it belongs to
        step: u64 = row.step,
        /// data-parallel rank that trains on it
        rank: u64 = row.rank,
        /// ids of its samples, in order
        samples: Vec<String> = &row.samples.iter().map(ToString::to_string).collect::<Vec<_>>(),
        /// shard of each, without format and extension
        shards: Vec<String> = &row.shards.iter().map(ToString::to_string).collect::<Vec<_>>(),
        /// number of each within its shard
        shard_rows: Vec<u64> = &row.shard_rows,
        /// file of each, below the dataset's directory: a tar, if one of the formats is tars
        shard_files: Option<Vec<String>> = Some(&row.shard_files),
        /// first byte of each in its tar; else empty
        shard_offsets: Option<Vec<u64>> = Some(&row.shard_offsets),
        /// bytes of each in its tar, where they are a tar without an end; else empty
        shard_num_bytes: Option<Vec<u64>> = Some(&row.shard_num_bytes),
        /// source of each
        sources: Option<Vec<String>> = Some(&row.sources),
        /// tokens before each sample, and of all; with padding = "samples", their padding included
        cu_seqlens: Vec<u64> = &row.cu_seqlens,
        /// images before each sample, and of all
        cu_images: Vec<u64> = &row.cu_images,
        /// visuals (images, tiled images, videos) before each sample, and of all
        cu_visuals: Option<Vec<u64>> = Some(&row.cu_visuals),
        /// tokens of each visual
        tokens_per_visual: Option<Vec<u64>> = Some(&row.tokens_per_visual),
        /// tokens of its samples
        num_tokens: u64 = row.num_tokens,
        /// those of them that images take
        visual_tokens: u64 = row.visual_tokens,
        /// tokens with padding
        padded_tokens: u64 = row.padded_tokens,
        /// images before each sequence-parallel rank, which encodes those up to the next, and of all; else empty
        rank_images: Vec<u64> = &row.rank_images,
        /// start and end of each chunk of tokens, sequence-parallel rank after rank, the same number each; else empty
        rank_tokens: Vec<u64> = &row.rank_tokens,
    }
    read {
        let id = |text: &String| text.parse().map_err(|error| format!("{text:?} is no record id: {error}"));
        let samples = samples.iter().map(id).collect::<Result<_, String>>()?;
        let name = |text: &String| text.parse().map_err(|error| format!("{text:?} is no shard: {error}"));
        let shards = shards.iter().map(name).collect::<Result<_, String>>()?;
        Ok(PackRow {
            pack, step, rank, samples, shards, shard_rows,
            shard_files: shard_files.unwrap_or_default(),
            shard_offsets: shard_offsets.unwrap_or_default(),
            shard_num_bytes: shard_num_bytes.unwrap_or_default(),
            sources: sources.unwrap_or_default(),
            cu_seqlens, cu_images,
            cu_visuals: cu_visuals.unwrap_or_default(),
            tokens_per_visual: tokens_per_visual.unwrap_or_default(),
            num_tokens, visual_tokens, padded_tokens, rank_images, rank_tokens,
        })
    }
}

/// The JSON Schema of a row of the pack index.
pub fn pack_schema() -> serde_json::Value {
    let description = "A row of pack-DIGEST.parquet: the samples of one training sequence.";
    schema_of_row("PackRow", description, &columns_of::<PackIndexTable>())
}

/// Writes packs.
pub type PackWriter = TableFileWriter<PackIndexTable>;
/// The digest of the index of some packs.
pub type PackDigest = TableDigest<PackIndexTable>;

/// Reads the packs of a dataset, in order.
///
/// # Errors
///
/// If the file cannot be read, or a row is no pack; there are no rows after an error.
pub fn read_packs(path: &Path) -> Result<impl Iterator<Item = Result<PackRow, DatasetError>> + use<>, DatasetError> {
    read_table_file::<PackIndexTable>(path)
}

/// Reads the packs of an open index, in order.
pub(crate) fn read_packs_of(
    file: InputFile,
) -> Result<impl Iterator<Item = Result<PackRow, DatasetError>> + use<>, DatasetError> {
    read_rows::<PackIndexTable>(file)
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::check_round_trip;

    use super::*;

    #[test]
    fn every_column_holds_its_own_field() {
        let row = PackRow {
            pack: 1,
            step: 2,
            rank: 3,
            samples: vec![RecordId([4; 16])],
            shards: vec!["image/000000".parse().unwrap()],
            shard_rows: vec![5],
            shard_files: vec!["webdataset/image/000000.tar".into()],
            shard_offsets: vec![13],
            shard_num_bytes: vec![14],
            sources: vec!["source".into()],
            cu_seqlens: vec![0, 6],
            cu_images: vec![0, 7],
            cu_visuals: vec![0, 2],
            tokens_per_visual: vec![15, 16],
            num_tokens: 8,
            visual_tokens: 12,
            padded_tokens: 9,
            rank_images: vec![0, 10],
            rank_tokens: vec![0, 11],
        };
        let folder = tempfile::tempdir().unwrap();
        check_round_trip::<PackIndexTable, _>(folder.path(), &[row]).unwrap();
    }
}
