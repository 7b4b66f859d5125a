//! Which version of its media each sample was made of: a table in the directory of a plan, kept in the work directory for the
//! dataset that the plan became.
//!
//! ```text
//! WORK/plan-KEY/media.parquet ──commit──▶ WORK/media-SHARDS.parquet        SHARDS: a digest of all shards of the dataset
//! ```
//!
//! Identities of media are specific to a machine, so that they are no part of a dataset. Of a dataset at a URL, the table is also
//! beside it: sources at URLs are the same for every machine.

use std::path::{Path, PathBuf};

use manyframe_base::files::{publish_file, temporary_beside, write_atomic};
use manyframe_base::{FileAction, FileError};
use manyframe_columnar::table;
use manyframe_core::{Digest, RecordId};
use manyframe_dataset::{DatasetError, Manifest, TableFileWriter, read_table_file};
use manyframe_storage::Storage;

use crate::index::media::RecordMedia;

const PREFIX: &str = "media-";

/// The media of a record that is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SampleMedia {
    /// Its record.
    pub(crate) id: RecordId,
    /// Their names, for messages.
    pub(crate) names: Vec<String>,
    /// Their identities, and what is shown of them.
    pub(crate) identities: Vec<u64>,
}

impl SampleMedia {
    pub(crate) fn of(id: RecordId, media: &RecordMedia) -> Self {
        let identities = media.identities.iter().copied().chain([media.shown]).collect();
        Self { id, names: media.names().cloned().collect(), identities }
    }
}

table! {
    /// The columns of the table.
    pub(crate) struct SampleMediaTable<'r>(sample: &'r SampleMedia) -> SampleMedia {
        id: [u8; 16] as Distinct = sample.id.0,
        names: Vec<String> as Distinct = &sample.names,
        identities: Vec<u64> as Distinct = &sample.identities,
    }
    read {
        Ok(SampleMedia { id: RecordId(id), names, identities })
    }
}

/// Writes the table of a plan.
pub(crate) type SampleMediaWriter = TableFileWriter<SampleMediaTable>;

/// The table in the directory of a plan.
pub(crate) fn sample_media_path(plan: &Path) -> PathBuf {
    plan.join("media.parquet")
}

/// The rows of a table, in order.
pub(crate) fn read_sample_media(
    path: &Path,
) -> Result<impl Iterator<Item = Result<SampleMedia, DatasetError>> + use<>, DatasetError> {
    read_table_file::<SampleMediaTable>(path)
}

/// The table that is kept for a dataset. Packing it again does not change the name.
pub(crate) fn kept_media_path(work: &Path, manifest: &Manifest) -> PathBuf {
    let shards = serde_json::json!(manifest.shards).to_string();
    let digest = Digest::of(shards.as_bytes()).to_string();
    work.join(format!("{PREFIX}{}.parquet", digest.get(..16).unwrap_or(&digest)))
}

/// Keeps the table of a plan for the dataset that the plan becomes, before that is visible. Returns where it is.
///
/// # Errors
///
/// If the table cannot be copied.
pub fn keep_sample_media(plan: &Path, work: &Path, manifest: &Manifest) -> Result<PathBuf, FileError> {
    let kept = kept_media_path(work, manifest);
    let temporary = temporary_beside(&kept)?;
    std::fs::copy(sample_media_path(plan), &temporary).map_err(FileError::write(&temporary))?;
    publish_file(&temporary, &kept)?;
    Ok(kept)
}

/// Fetches the table that is kept beside a dataset at a URL, if it is missing here and is there.
pub(crate) fn fetch_sample_media(beside: &dyn Storage, kept: &Path) -> Result<(), FileError> {
    let name = kept.file_name().unwrap_or_default().to_string_lossy();
    if kept.exists() || beside.num_bytes(&name)?.is_none() {
        return Ok(());
    }
    write_atomic(kept, &beside.read(&name)?)
}

/// Removes the tables that were kept for other datasets, which this one replaced.
///
/// # Errors
///
/// If one of them cannot be removed.
pub fn remove_other_sample_media(work: &Path, manifest: &Manifest) -> Result<(), FileError> {
    let kept = kept_media_path(work, manifest);
    for entry in std::fs::read_dir(work).map_err(FileError::read(work))? {
        let path = entry.map_err(FileError::read(work))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path != kept && name.starts_with(PREFIX) && name.ends_with(".parquet") {
            std::fs::remove_file(&path).map_err(FileError::when(FileAction::Remove, &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::check_round_trip;

    use super::*;

    #[test]
    fn every_column_holds_its_own_field() {
        let sample = SampleMedia { id: RecordId([1; 16]), names: vec!["a.jpg".into()], identities: vec![2, 3] };
        let folder = tempfile::tempdir().unwrap();
        check_round_trip::<SampleMediaTable, _>(folder.path(), &[sample]).unwrap();
    }
}
