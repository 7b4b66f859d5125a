//! Packs the samples of the ledger again, and compares the packs and what the manifest says of them.

use std::path::Path;

use manyframe_core::Digest;
use manyframe_dataset::{DatasetError, DatasetReader, PackDigest, PackEntry, PackRow};
use manyframe_format::PromptOverhead;
use manyframe_pipeline::PipelineFile;

use crate::error::{EngineError, with_causes};
use crate::packs::PackedDataset;
use crate::verify::files::Bytes;
use crate::verify::findings::{Findings, differences};

/// Checks the pack index; returns what the manifest has to say of it.
pub(super) fn check_packs(
    dataset: &DatasetReader,
    file: &PipelineFile,
    overhead: Option<PromptOverhead>,
    bytes: &Bytes,
    findings: &mut Findings,
) -> Result<Option<PackEntry>, EngineError> {
    let stated = dataset.manifest().pack.as_ref();
    let storage = dataset.storage();
    if let Some(pack) = stated
        && (storage.num_bytes(&pack.path)?.is_none() || storage.digest(&pack.path)? != pack.digest)
    {
        findings.problem(format!("{} is not the file that the manifest names", pack.path));
        return Ok(stated.cloned());
    }
    if stated.is_none() && file.pack.is_none() {
        return Ok(None);
    }
    let ledger = dataset.location().join(&dataset.manifest().ledger.path);
    let rows = dataset.ledger().map_err(EngineError::from);
    let packed = match rows.and_then(|rows| PackedDataset::of_ledger(file, (rows, &ledger), overhead)) {
        Ok(packed) => packed,
        Err(error) => {
            findings.problem(format!("the samples of the ledger cannot be packed again: {}", with_causes(&error)));
            return Ok(stated.cloned());
        }
    };
    let (Some(stated), Some(packed)) = (stated, &packed) else {
        if stated.is_some() != packed.is_some() {
            findings.problem("packs: the manifest has some exactly if its pipeline file asks for none".to_owned());
        }
        return Ok(stated.cloned());
    };
    let index = Index { path: &stated.path, is_of_other_version: bytes.is_of_other_version() };
    match compare_index(dataset, &index, packed, findings) {
        Ok(again) => bytes.compare(&stated.path, stated.digest, again, findings),
        Err(error) => findings.problem(format!("{}: {}", stated.path, with_causes(&error))),
    }
    let mut expected = PackEntry { summary: packed.packing.summary.clone(), ..stated.clone() };
    if overhead.is_none() {
        // The audit counts with the tokenizer.
        expected.summary.audit.clone_from(&stated.summary.audit);
    }
    Ok(Some(expected))
}

/// The pack index of a dataset.
struct Index<'d> {
    path: &'d str,
    is_of_other_version: bool,
}

impl Index<'_> {
    /// The row that is expected in place of another: without the columns that an index of an earlier version lacks.
    fn expected(&self, found: &PackRow, expected: PackRow) -> PackRow {
        if !(self.is_of_other_version && found.sources.is_empty()) {
            return expected;
        }
        PackRow {
            shard_files: Vec::new(),
            shard_offsets: Vec::new(),
            shard_num_bytes: Vec::new(),
            sources: Vec::new(),
            cu_visuals: Vec::new(),
            tokens_per_visual: Vec::new(),
            ..expected
        }
    }
}

/// Compares the rows; returns the digest that they have when they are written again.
fn compare_index(
    dataset: &DatasetReader,
    index: &Index<'_>,
    packed: &PackedDataset,
    findings: &mut Findings,
) -> Result<Digest, DatasetError> {
    let path = index.path;
    let mut expected = packed.rows();
    let mut again = PackDigest::new(Path::new(path))?;
    for row in dataset.packs()? {
        let row = row?;
        let expected = expected.next().map(|expected| index.expected(&row, expected));
        compare_rows(path, &row, expected, findings);
        again.write(&row)?;
    }
    if let Some(missing) = expected.next() {
        findings.problem(format!("{path}: pack {} is missing", missing.pack));
    }
    again.finish()
}

fn compare_rows(path: &str, found: &PackRow, expected: Option<PackRow>, findings: &mut Findings) {
    let Some(expected) = expected else {
        findings.problem(format!("{path}: pack {} is not one of the packs of the ledger", found.pack));
        return;
    };
    let names = differences!(
        found,
        &expected,
        PackRow {
            pack,
            step,
            rank,
            samples,
            shards,
            shard_rows,
            shard_files,
            shard_offsets,
            shard_num_bytes,
            sources,
            cu_seqlens,
            cu_images,
            cu_visuals,
            tokens_per_visual,
            num_tokens,
            visual_tokens,
            padded_tokens,
            rank_images,
            rank_tokens,
        }
    );
    if !names.is_empty() {
        findings.problem(format!(
            "{path}: pack {}: {} differ from those of the ledger",
            expected.pack,
            names.join(", ")
        ));
    }
}
