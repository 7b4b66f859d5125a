//! `pack.parquet`: training sequences as an index over the samples of a dataset. Its columns are in `schemas/pack.schema.json`.
//!
//! Made from the ledger alone, so that another length or strategy rewrites neither shards nor ledger.

use std::path::Path;

use manyframe_base::{AtomicFile, write_atomic, write_json};
use manyframe_columnar::{Cursor, RowColumn, RowWriter, read_rows, schema_of_rows};
use manyframe_core::{Digest, RecordId, SourceIndex, TypedIndex};
use manyframe_pipeline::{PackTable, PipelineFile, SequenceParallel};
use manyframe_plan::{PackSample, Packing, pack_samples};
use manyframe_samplers::Boundaries;

use crate::card;
use crate::commit::digest_of_file;
use crate::error::EngineError;
use crate::ledger::{LedgerRow, Status, read_ledger};
use crate::manifest::{Manifest, PackEntry};

/// A pack: the samples of one training sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRow {
    /// Its number, from 0.
    pub pack: u64,
    /// The training step that it belongs to.
    pub step: u64,
    /// The data-parallel rank that trains on it.
    pub rank: u64,
    /// The samples, in the order in which they stand in the sequence.
    pub samples: Vec<RecordId>,
    /// The shard of each, without format and extension.
    pub shards: Vec<String>,
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
        RowColumn::texts("shards", "shard of each, without format and extension", |row: &PackRow| row.shards.clone()),
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

/// Reads the pack index of a dataset.
pub fn read_packs(path: &Path) -> Result<impl Iterator<Item = Result<PackRow, EngineError>> + use<>, EngineError> {
    let rows = read_rows(path, &columns(), row_at).map_err(EngineError::table(path))?;
    let path = path.to_owned();
    Ok(rows.map(move |row| row.map_err(EngineError::table(&path))))
}

fn row_at(cursor: &mut Cursor) -> Option<PackRow> {
    Some(PackRow {
        pack: cursor.number()?,
        step: cursor.number()?,
        rank: cursor.number()?,
        samples: cursor.texts()?.iter().map(|id| id.parse().ok()).collect::<Option<_>>()?,
        shards: cursor.texts()?,
        shard_rows: cursor.numbers()?,
        cu_seqlens: cursor.numbers()?,
        cu_images: cursor.numbers()?,
        num_tokens: cursor.number()?,
        padded_tokens: cursor.number()?,
        rank_images: cursor.numbers()?,
        rank_tokens: cursor.numbers()?,
    })
}

/// Packs a committed dataset anew, with other settings. Shards and ledger stay as they are; the manifest names the new
/// index last. A crash before that leaves a dataset that `verify` complains of, and packing it again mends.
pub fn repack(dataset: &Path, table: &PackTable) -> Result<Manifest, EngineError> {
    let mut manifest = Manifest::read(dataset)?;
    let mut file = manifest.pipeline_file(dataset)?;
    file.pack = Some(table.clone());
    manifest.pack = write(&file, dataset)?;
    if let Some(fields) = manifest.pipeline.as_object_mut() {
        fields.insert("pack".to_owned(), serde_json::json!(table));
    }
    manifest.pipeline_digest = Digest::of(manifest.pipeline.to_string().as_bytes());
    write_atomic(&dataset.join("README.md"), card::dataset_card(&manifest).as_bytes())?;
    write_json(&dataset.join("manifest.json"), &manifest)?;
    Ok(manifest)
}

/// A delivered sample, as the ledger has it.
struct Delivered {
    id: RecordId,
    place: u64,
    shard: u32,
    shard_row: u64,
    sample: PackSample,
}

/// Packs the samples of the dataset in `directory` by its ledger, and writes the index beside it.
pub(crate) fn write(file: &PipelineFile, directory: &Path) -> Result<Option<PackEntry>, EngineError> {
    if file.pack.is_none() {
        return Ok(None);
    }
    let (delivered, shards) = read_delivered(file, &directory.join("ledger.parquet"))?;
    let samples: Vec<PackSample> = delivered.iter().map(|delivered| delivered.sample).collect();
    let Some(packing) = pack_samples(file, &samples)? else { return Ok(None) };
    let name = "pack.parquet";
    let path = directory.join(name);
    write_rows(&path, &packing, &delivered, &shards)?;
    Ok(Some(PackEntry { path: name.to_owned(), digest: digest_of_file(&path)?, summary: packing.summary }))
}

/// Delivered samples in the order of delivery, and the names of the shards that they are in.
fn read_delivered(file: &PipelineFile, ledger: &Path) -> Result<(Vec<Delivered>, Vec<String>), EngineError> {
    let mut shards: Vec<String> = Vec::new();
    let mut delivered = Vec::new();
    for row in read_ledger(ledger)? {
        let row = row?;
        if row.status == Status::Delivered {
            let incomplete = || EngineError::NotADataset {
                path: ledger.to_owned(),
                detail: "a delivered record has no place".to_owned(),
            };
            delivered.push(delivered_from_row(file, row, &mut shards).ok_or_else(incomplete)?);
        }
    }
    delivered.sort_unstable_by_key(|delivered| delivered.place);
    Ok((delivered, shards))
}

fn delivered_from_row(file: &PipelineFile, row: LedgerRow, shards: &mut Vec<String>) -> Option<Delivered> {
    let (cost, _) = row.measured?;
    let source = file.source.iter().position(|table| table.name == row.source)?;
    let name = row.shard?;
    let shard = shards.iter().rposition(|known| *known == name).unwrap_or_else(|| {
        shards.push(name);
        shards.len() - 1
    });
    let sample = PackSample {
        source: SourceIndex::from_position(source),
        num_tokens: cost.num_tokens(),
        text_tokens: cost.text_tokens,
        num_images: cost.num_images,
        num_turns: row.num_turns?,
    };
    Some(Delivered { id: row.id, place: row.place?, shard: shard as u32, shard_row: row.shard_row?, sample })
}

fn write_rows(path: &Path, packing: &Packing, delivered: &[Delivered], shards: &[String]) -> Result<(), EngineError> {
    let mut writer = RowWriter::new(AtomicFile::create(path)?, columns()).map_err(EngineError::table(path))?;
    let ranks = u64::from(packing.options.ranks.get());
    let layout = packing.summary.settings.sequence_parallel.map(SequenceParallel::layout);
    let padding = packing.options.padding;
    for (number, members) in (0u64..).zip(packing.packs.iter()) {
        let of_pack = || members.iter().filter_map(|&member| delivered.get(member as usize));
        let boundaries = Boundaries::of(members, &packing.lengths, &packing.options);
        let ranks_have = layout.map(|layout| boundaries.of_ranks(&layout, padding)).unwrap_or_default();
        let Boundaries { cu_seqlens, cu_images, padded_tokens } = boundaries;
        let row = PackRow {
            pack: number,
            step: number / ranks,
            rank: number % ranks,
            samples: of_pack().map(|sample| sample.id).collect(),
            shards: of_pack().filter_map(|sample| shards.get(sample.shard as usize).cloned()).collect(),
            shard_rows: of_pack().map(|sample| sample.shard_row).collect(),
            cu_seqlens: cu_seqlens.into_iter().map(u64::from).collect(),
            cu_images: cu_images.into_iter().map(u64::from).collect(),
            num_tokens: of_pack().map(|sample| sample.sample.num_tokens).sum(),
            padded_tokens: u64::from(padded_tokens),
            rank_images: ranks_have.images,
            rank_tokens: ranks_have.tokens,
        };
        writer.write(row).map_err(EngineError::table(path))?;
    }
    Ok(writer.finish().map_err(EngineError::table(path))?.publish()?)
}
