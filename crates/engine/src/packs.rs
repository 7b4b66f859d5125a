//! Packs the samples of a dataset into training sequences.
//!
//! Made from the ledger alone, so that another length or strategy rewrites neither shards nor ledger.

use std::collections::BTreeMap;
use std::path::Path;

use manyframe_base::write_json;
use manyframe_core::{Digest, RecordId, SourceIndex, TypedIndex};
use manyframe_dataset::{
    DatasetError, DatasetReader, LEDGER_FILE, LedgerRow, LocalDirectory, MANIFEST_FILE, Manifest, PACK_FILE, PackEntry,
    PackRow, PackWriter, ShardName, Status, Storage, read_ledger, write_card,
};
use manyframe_pipeline::{PackTable, PipelineFile, SequenceParallel};
use manyframe_plan::{PackSample, Packing, pack_samples};
use manyframe_samplers::Boundaries;

use crate::error::EngineError;

/// Packs a committed dataset again, with other settings. Shards and ledger stay as they are. The manifest is written last:
/// `verify` reports a crash before that, and packing again repairs it.
///
/// # Errors
///
/// [`EngineError::Dataset`] if there is no dataset, or it cannot be written.
pub fn repack(dataset: &Path, table: &PackTable) -> Result<Manifest, EngineError> {
    let mut manifest = DatasetReader::open(dataset)?.manifest().clone();
    let mut file = manifest.pipeline_with(&BTreeMap::new())?.file;
    file.pack = Some(table.clone());
    manifest.pack = write(&file, dataset)?;
    if let Some(fields) = manifest.pipeline.as_object_mut() {
        fields.insert("pack".to_owned(), serde_json::json!(table));
    }
    manifest.pipeline_digest = Digest::of(manifest.pipeline.to_string().as_bytes());
    write_card(&manifest, dataset)?;
    write_json(&dataset.join(MANIFEST_FILE), &manifest)?;
    Ok(manifest)
}

/// A delivered sample, as the ledger lists it.
struct DeliveredSample {
    id: RecordId,
    position: u64,
    shard: ShardName,
    shard_row: u64,
    sample: PackSample,
}

/// Packs the samples in the ledger of a dataset's directory, and writes the index beside it.
pub(crate) fn write(file: &PipelineFile, directory: &Path) -> Result<Option<PackEntry>, EngineError> {
    if file.pack.is_none() {
        return Ok(None);
    }
    let delivered = read_delivered(file, &directory.join(LEDGER_FILE))?;
    let samples: Vec<PackSample> = delivered.iter().map(|delivered| delivered.sample).collect();
    let Some(packing) = pack_samples(file, &samples)? else { return Ok(None) };
    write_rows(&directory.join(PACK_FILE), &packing, &delivered)?;
    let digest = LocalDirectory::new(directory).digest(PACK_FILE)?;
    Ok(Some(PackEntry { path: PACK_FILE.to_owned(), digest, summary: packing.summary }))
}

/// Delivered samples in the order of delivery.
fn read_delivered(file: &PipelineFile, ledger: &Path) -> Result<Vec<DeliveredSample>, EngineError> {
    let mut delivered = Vec::new();
    for row in read_ledger(ledger)? {
        let row = row?;
        if row.status == Status::Delivered {
            let incomplete = || DatasetError::NotADataset {
                path: ledger.to_owned(),
                detail: "a delivered record lacks its source, cost, shard or position".to_owned(),
            };
            delivered.push(delivered_from_row(file, &row).ok_or_else(incomplete)?);
        }
    }
    delivered.sort_unstable_by_key(|delivered| delivered.position);
    Ok(delivered)
}

fn delivered_from_row(file: &PipelineFile, row: &LedgerRow) -> Option<DeliveredSample> {
    let (cost, _) = row.measured?;
    let source = file.source.iter().position(|table| table.name == row.source)?;
    let sample = PackSample {
        source: SourceIndex::from_position(source),
        num_tokens: cost.num_tokens(),
        text_tokens: cost.text_tokens,
        num_images: cost.num_images,
        num_turns: row.num_turns?,
    };
    Some(DeliveredSample { id: row.id, position: row.position?, shard: row.shard?, shard_row: row.shard_row?, sample })
}

fn write_rows(path: &Path, packing: &Packing, delivered: &[DeliveredSample]) -> Result<(), EngineError> {
    let mut writer = PackWriter::create(path)?;
    let ranks = u64::from(packing.options.ranks.get());
    let layout = packing.summary.settings.sequence_parallel.map(SequenceParallel::layout);
    let padding = packing.options.padding;
    for (number, members) in (0u64..).zip(packing.packs.iter()) {
        #[expect(clippy::indexing_slicing, reason = "the packer saw the same samples, in the same order")]
        let of_pack = || members.iter().map(|&member| &delivered[member as usize]);
        let boundaries = Boundaries::of(members, &packing.lengths, &packing.options);
        // Without sequence parallelism, no rank has a separate part.
        let of_ranks = layout.map(|layout| boundaries.of_ranks(&layout, padding)).unwrap_or_default();
        let Boundaries { cu_seqlens, cu_images, padded_tokens } = boundaries;
        let row = PackRow {
            pack: number,
            step: number / ranks,
            rank: number % ranks,
            samples: of_pack().map(|sample| sample.id).collect(),
            shards: of_pack().map(|sample| sample.shard).collect(),
            shard_rows: of_pack().map(|sample| sample.shard_row).collect(),
            cu_seqlens: cu_seqlens.into_iter().map(u64::from).collect(),
            cu_images: cu_images.into_iter().map(u64::from).collect(),
            num_tokens: of_pack().map(|sample| sample.sample.num_tokens).sum(),
            padded_tokens: u64::from(padded_tokens),
            rank_images: of_ranks.images,
            rank_tokens: of_ranks.tokens,
        };
        writer.write(&row)?;
    }
    Ok(writer.finish()?)
}
