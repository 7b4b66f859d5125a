//! `pack.parquet`: training sequences as an index over the samples of a dataset. Its columns are in `schemas/pack.schema.json`.
//!
//! It does not decide which samples form a sequence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_base::AtomicFile;
use manyframe_columnar::{Cursor, RowColumn, RowWriter, read_rows, schema_of_rows};
use manyframe_core::RecordId;
use manyframe_pipeline::PackTable;
use manyframe_samplers::{ConcatLoss, PackReport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::shard_name::ShardName;

/// The file name of a dataset's packs.
pub const PACK_FILE: &str = "pack.parquet";

/// How samples are packed, and what that costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PackSummary {
    /// The settings.
    pub settings: PackTable,
    /// Longest pack, in tokens.
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
    /// Most tokens of a pack, as that packer counts them.
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
    /// Sample k takes the positions `cu_seqlens[k] .. cu_seqlens[k + 1]`; position ids restart with each.
    pub cu_seqlens: Vec<u64>,
    /// Sample k has the images `cu_images[k] .. cu_images[k + 1]` of the sequence.
    pub cu_images: Vec<u64>,
    /// Tokens of the samples.
    pub num_tokens: u64,
    /// Tokens of the sequence with its padding.
    pub padded_tokens: u64,
    /// With sequence parallelism: its rank r encodes the images `rank_images[r] .. rank_images[r + 1]` of the sequence.
    pub rank_images: Vec<u64>,
    /// With sequence parallelism: first token, and one past the last, of each chunk, rank after rank and ascending in each.
    /// Every rank has as many chunks.
    pub rank_tokens: Vec<u64>,
}

fn columns() -> Vec<RowColumn<PackRow>> {
    vec![
        RowColumn::number("pack", "number of the pack, from 0", |row: &PackRow| Some(row.pack)),
        RowColumn::number("step", "training step that it belongs to", |row: &PackRow| Some(row.step)),
        RowColumn::number("rank", "data-parallel rank that trains on it", |row: &PackRow| Some(row.rank)),
        RowColumn::texts("samples", "ids of its samples, in order", |row: &PackRow| {
            row.samples.iter().map(ToString::to_string).collect()
        }),
        RowColumn::texts("shards", "shard of each, without format and extension", |row: &PackRow| {
            row.shards.iter().map(ToString::to_string).collect()
        }),
        RowColumn::numbers("shard_rows", "number of each within its shard", |row: &PackRow| row.shard_rows.clone()),
        RowColumn::numbers(
            "cu_seqlens",
            "tokens before each sample, and of all; with padding = \"samples\", their padding included",
            |row: &PackRow| row.cu_seqlens.clone(),
        ),
        RowColumn::numbers("cu_images", "images before each sample, and of all", |row: &PackRow| row.cu_images.clone()),
        RowColumn::number("num_tokens", "tokens of its samples", |row: &PackRow| Some(row.num_tokens)),
        RowColumn::number("padded_tokens", "tokens with padding", |row: &PackRow| Some(row.padded_tokens)),
        RowColumn::numbers(
            "rank_images",
            "images before each sequence-parallel rank, which encodes those up to the next, and of all; else empty",
            |row: &PackRow| row.rank_images.clone(),
        ),
        RowColumn::numbers(
            "rank_tokens",
            "start and end of each chunk of tokens, sequence-parallel rank after rank; as many chunks each; else empty",
            |row: &PackRow| row.rank_tokens.clone(),
        ),
    ]
}

/// The JSON Schema of a row of the pack index.
pub fn pack_schema() -> serde_json::Value {
    schema_of_rows("PackRow", "A row of pack.parquet: the samples of one training sequence.", &columns())
}

/// Writes packs row by row. They appear under their name when they are finished.
pub struct PackWriter {
    rows: RowWriter<AtomicFile, PackRow>,
    path: PathBuf,
}

impl PackWriter {
    /// Starts a table of packs that will be `path`.
    ///
    /// # Errors
    ///
    /// If nothing can be written there.
    pub fn create(path: &Path) -> Result<Self, DatasetError> {
        let rows = RowWriter::new(AtomicFile::create(path)?, columns()).map_err(DatasetError::table(path))?;
        Ok(Self { rows, path: path.to_owned() })
    }

    /// Appends a pack.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&mut self, row: PackRow) -> Result<(), DatasetError> {
        self.rows.write(row).map_err(DatasetError::table(&self.path))
    }

    /// Makes the packs visible under their name.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn finish(self) -> Result<(), DatasetError> {
        Ok(self.rows.finish().map_err(DatasetError::table(&self.path))?.publish()?)
    }
}

/// Reads the packs of a dataset, in order.
///
/// # Errors
///
/// If the file cannot be read, or a row is no pack; there are no rows after an error.
pub fn read_packs(path: &Path) -> Result<impl Iterator<Item = Result<PackRow, DatasetError>> + use<>, DatasetError> {
    let rows = read_rows(path, &columns(), row_at).map_err(DatasetError::table(path))?;
    let path = path.to_owned();
    Ok(rows.map(move |row| row.map_err(DatasetError::table(&path))))
}

fn row_at(cursor: &mut Cursor) -> Option<PackRow> {
    Some(PackRow {
        pack: cursor.number()?,
        step: cursor.number()?,
        rank: cursor.number()?,
        samples: cursor.texts()?.iter().map(|id| id.parse().ok()).collect::<Option<_>>()?,
        shards: cursor.texts()?.iter().map(|name| name.parse().ok()).collect::<Option<_>>()?,
        shard_rows: cursor.numbers()?,
        cu_seqlens: cursor.numbers()?,
        cu_images: cursor.numbers()?,
        num_tokens: cursor.number()?,
        padded_tokens: cursor.number()?,
        rank_images: cursor.numbers()?,
        rank_tokens: cursor.numbers()?,
    })
}
