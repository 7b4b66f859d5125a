//! Packs the samples of a dataset into training sequences.
//!
//! Made from the ledger alone, so that another length or strategy rewrites neither shards nor ledger.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use manyframe_base::files::{json_text, parent_directory, work_directory};
use manyframe_base::{FileError, StagedDirectory};
use manyframe_core::{Digest, RecordId, SourceIndex, TypedIndex};
use manyframe_dataset::{
    DatasetError, DatasetReader, LedgerRow, MANIFEST_FILE, Manifest, PackEntry, PackRow, PackWriter, ShardName, Status,
};
use manyframe_format::PromptOverhead;
use manyframe_pipeline::{PackTable, PipelineFile, SequenceParallel};
use manyframe_plan::{PackSample, PackSamples, Packing, pack_samples};
use manyframe_samplers::Boundaries;
use manyframe_shards::ShardFormat;
use manyframe_storage::{Condition, Version, Written};

use crate::content_file::ContentFile;
use crate::current::{FileCheck, check_current, if_current};
use crate::error::EngineError;
use crate::local_place::local_place;
use crate::verify::tokens::open_formatter;

/// The pack index of a dataset, which its manifest names.
const PACK_INDEX: ContentFile = ContentFile { stem: "pack", extension: "parquet" };

/// Packs a committed dataset again, with other settings. Shards, ledger and data card stay as they are. The new index has a
/// name of its own: until the manifest is switched in one step, the dataset is the old one.
///
/// # Errors
///
/// [`EngineError::Dataset`] if it cannot be read or written, [`EngineError::Overtaken`] if its manifest was replaced meanwhile.
pub fn repack(dataset: &DatasetReader, table: &PackTable) -> Result<Manifest, EngineError> {
    if_current(dataset, repack_opened(dataset, table))
}

fn repack_opened(dataset: &DatasetReader, table: &PackTable) -> Result<Manifest, EngineError> {
    let mut manifest = dataset.manifest().clone();
    let mut file = manifest.pipeline_with(&BTreeMap::new())?.file;
    file.pack = Some(table.clone());
    let overhead = table.audit.map(|_| overhead_of(dataset)).transpose()?;
    let before = dataset.storage().state(MANIFEST_FILE)?.and_then(|state| state.version);
    // The version is that of the manifest that was read.
    check_current(dataset)?;
    FileCheck::of(dataset).check(&manifest.ledger.path, manifest.ledger.digest)?;
    let scratch = StagedDirectory::beside(&work_directory(&local_place(dataset)).join("pack"))?;
    let ledger = (dataset.ledger()?, &*dataset.location().join(&manifest.ledger.path));
    manifest.pack = write(&file, ledger, scratch.path(), overhead)?;
    // Nothing is put beside another dataset.
    check_current(dataset)?;
    if let Some(pack) = &manifest.pack {
        dataset.storage().copy_in(&scratch.path().join(&pack.path), &pack.path)?;
    }
    let work = parent_directory(scratch.path()).to_owned();
    drop(scratch);
    // Work of a build may be in it.
    _ = fs::remove_dir(work);
    if let Some(fields) = manifest.pipeline.as_object_mut() {
        fields.insert("pack".to_owned(), serde_json::json!(table));
    }
    manifest.pipeline_digest = Digest::of(manifest.pipeline.to_string().as_bytes());
    switch(dataset, &manifest, before)?;
    Ok(manifest)
}

/// Replaces the manifest of a dataset, if nobody else did, and removes the packs that it does not name.
fn switch(dataset: &DatasetReader, manifest: &Manifest, before: Option<Version>) -> Result<(), EngineError> {
    let storage = dataset.storage();
    let location = || dataset.location().join(MANIFEST_FILE);
    let text = json_text(manifest).map_err(FileError::write(location()))?;
    match before {
        None => {
            // A directory has no conditions.
            check_current(dataset)?;
            storage.write(MANIFEST_FILE, &text)?;
        }
        Some(version) => {
            if storage.write_if(MANIFEST_FILE, &text, &Condition::Unchanged(version))? == Written::Refused {
                return Err(EngineError::Overtaken { path: location() });
            }
        }
    }
    let kept = manifest.pack.as_ref().map_or("", |pack| pack.path.as_str());
    PACK_INDEX.remove_others(storage, kept)
}

/// What the prompts of a dataset have besides the texts of their turns.
fn overhead_of(dataset: &DatasetReader) -> Result<PromptOverhead, EngineError> {
    let formatter = open_formatter(dataset, &BTreeMap::new());
    let overhead = formatter.and_then(|formatter| PromptOverhead::of(&formatter).map_err(|error| error.to_string()));
    overhead.map_err(|detail| EngineError::NoAudit { path: dataset.location().to_owned(), detail })
}

/// A delivered sample, as the ledger lists it.
struct DeliveredSample {
    id: RecordId,
    position: u64,
    shard: ShardName,
    shard_row: u64,
    shard_bytes: Option<Range<u64>>,
    /// Its visuals, among those of all samples.
    visuals: Range<usize>,
    sample: PackSample,
}

/// The delivered samples of a ledger, in the order of delivery.
struct DeliveredSamples {
    samples: Vec<DeliveredSample>,
    /// The visual tokens of each of their visuals; `None` if the ledger does not say.
    tokens_per_visual: Option<Vec<u64>>,
}

/// The rows of a ledger, and where it is.
type Ledger<'l, R> = (R, &'l Path);

/// Packs the samples in a ledger, and writes the index into a directory.
pub(crate) fn write(
    file: &PipelineFile,
    ledger: Ledger<'_, impl Iterator<Item = Result<LedgerRow, DatasetError>>>,
    directory: &Path,
    overhead: Option<PromptOverhead>,
) -> Result<Option<PackEntry>, EngineError> {
    if file.pack.is_none() {
        return Ok(None);
    }
    let Some(packed) = PackedDataset::of_ledger(file, ledger, overhead)? else { return Ok(None) };
    let temporary = PACK_INDEX.temporary(directory)?;
    let mut writer = PackWriter::create(&temporary)?;
    for row in packed.rows() {
        writer.write(&row)?;
    }
    writer.finish()?;
    let (path, digest) = PACK_INDEX.publish(directory, &temporary)?;
    Ok(Some(PackEntry { path, digest, summary: packed.packing.summary }))
}

/// The samples of a ledger in packs.
pub(crate) struct PackedDataset {
    pub(crate) packing: Packing,
    delivered: DeliveredSamples,
    /// The names of the sources.
    sources: Vec<String>,
    /// The format of the files that rows name.
    format: Option<ShardFormat>,
}

impl PackedDataset {
    /// Packs the samples in a ledger; `None` if the pipeline file does not ask for it.
    pub(crate) fn of_ledger(
        file: &PipelineFile,
        ledger: Ledger<'_, impl Iterator<Item = Result<LedgerRow, DatasetError>>>,
        overhead: Option<PromptOverhead>,
    ) -> Result<Option<Self>, EngineError> {
        let delivered = read_delivered(file, ledger)?;
        let samples: PackSamples = delivered.samples.iter().map(|delivered| delivered.sample).collect();
        let sources = file.source.iter().map(|table| table.name.clone()).collect();
        let formats = || file.output.formats.iter().copied();
        let format = ShardFormat::first_tar(formats()).or_else(|| formats().min());
        Ok(pack_samples(file, samples, overhead)?.map(|packing| Self { packing, delivered, sources, format }))
    }

    /// The rows of the pack index.
    pub(crate) fn rows(&self) -> impl Iterator<Item = PackRow> {
        (0u64..).zip(self.packing.packs.iter()).map(|(number, members)| self.row(number, members))
    }

    fn row(&self, number: u64, members: &[u32]) -> PackRow {
        let Packing { options, lengths, summary, .. } = &self.packing;
        #[expect(clippy::indexing_slicing, reason = "the packer saw the same samples, in the same order")]
        let of_pack = || members.iter().map(|&member| &self.delivered.samples[member as usize]);
        let ranks = u64::from(options.ranks.get());
        let boundaries = Boundaries::of(members, lengths, options);
        // Without sequence parallelism, no rank has a separate part.
        let layout = summary.settings.sequence_parallel.map(SequenceParallel::layout);
        let of_ranks = layout.map(|layout| boundaries.of_ranks(&layout, options)).unwrap_or_default();
        let Boundaries { cu_seqlens, cu_images, padded_tokens, cu_visual_tokens: _ } = boundaries;
        let load = self.packing.load(members);
        let bytes = of_pack().map(|sample| sample.shard_bytes.clone()).collect::<Option<Vec<_>>>().unwrap_or_default();
        let (cu_visuals, tokens_per_visual) = self.delivered.visuals(of_pack()).unwrap_or_default();
        PackRow {
            pack: number,
            step: number / ranks,
            rank: number % ranks,
            samples: of_pack().map(|sample| sample.id).collect(),
            shards: of_pack().map(|sample| sample.shard).collect(),
            shard_rows: of_pack().map(|sample| sample.shard_row).collect(),
            shard_files: of_pack().filter_map(|sample| Some(sample.shard.path(self.format?).to_string())).collect(),
            shard_offsets: bytes.iter().map(|bytes| bytes.start).collect(),
            shard_num_bytes: bytes.iter().map(|bytes| bytes.end - bytes.start).collect(),
            sources: of_pack()
                .filter_map(|sample| self.sources.get(sample.sample.source.position()).cloned())
                .collect(),
            cu_seqlens: cu_seqlens.into_iter().map(u64::from).collect(),
            cu_images: cu_images.into_iter().map(u64::from).collect(),
            cu_visuals,
            tokens_per_visual,
            num_tokens: load.tokens,
            visual_tokens: load.visual_tokens,
            padded_tokens: u64::from(padded_tokens),
            rank_images: of_ranks.images,
            rank_tokens: of_ranks.tokens,
        }
    }
}

impl DeliveredSamples {
    /// The visuals before each of some samples, and of all; and the tokens of each.
    fn visuals<'s>(&self, samples: impl Iterator<Item = &'s DeliveredSample>) -> Option<(Vec<u64>, Vec<u64>)> {
        let all = self.tokens_per_visual.as_ref()?;
        let (mut cu_visuals, mut tokens_per_visual) = (vec![0], Vec::new());
        for sample in samples {
            tokens_per_visual.extend(all.get(sample.visuals.clone())?);
            cu_visuals.push(tokens_per_visual.len() as u64);
        }
        Some((cu_visuals, tokens_per_visual))
    }

    /// Appends the sample of a row; `None` if the row is incomplete.
    fn push(&mut self, file: &PipelineFile, row: &LedgerRow) -> Option<()> {
        let (cost, _) = row.measured?;
        let source = file.source.iter().position(|table| table.name == row.source)?;
        let first_visual = self.num_visuals();
        match (&mut self.tokens_per_visual, &row.tokens_per_visual) {
            (Some(all), Some(of_sample)) => all.extend(of_sample),
            _ => self.tokens_per_visual = None,
        }
        self.samples.push(DeliveredSample {
            id: row.id,
            position: row.position?,
            shard: row.shard?,
            shard_row: row.shard_row?,
            shard_bytes: row.shard_bytes.clone(),
            visuals: first_visual..self.num_visuals(),
            sample: PackSample::new(SourceIndex::from_position(source), &cost, row.num_turns?),
        });
        Some(())
    }

    fn num_visuals(&self) -> usize {
        self.tokens_per_visual.as_ref().map_or(0, Vec::len)
    }
}

/// Delivered samples in the order of delivery.
fn read_delivered(
    file: &PipelineFile,
    (rows, ledger): Ledger<'_, impl Iterator<Item = Result<LedgerRow, DatasetError>>>,
) -> Result<DeliveredSamples, EngineError> {
    let mut delivered = DeliveredSamples { samples: Vec::new(), tokens_per_visual: Some(Vec::new()) };
    for row in rows {
        let row = row?;
        if row.status == Status::Delivered {
            let incomplete = || DatasetError::NotADataset {
                path: ledger.to_owned(),
                detail: "a delivered record lacks its source, cost, shard or position".to_owned(),
            };
            delivered.push(file, &row).ok_or_else(incomplete)?;
        }
    }
    delivered.samples.sort_unstable_by_key(|delivered| delivered.position);
    Ok(delivered)
}
