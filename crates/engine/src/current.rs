//! Whether a dataset is still the one that was opened, and the one that was built: a build may replace it while it is read, and what is
//! read then is of two; files may have been changed since.

use std::collections::BTreeSet;
use std::path::Path;

use manyframe_base::files::work_directory;
use manyframe_core::Digest;
use manyframe_dataset::{
    BUILD_FACTS_FILE, CARD_FILE, DatasetReader, FilesBeside, MANIFEST_FILE, NotesByShard, ShardName,
};
use manyframe_plan::{ShardDigests, StatedShard, keep_shard_digests};
use manyframe_storage::digest_of_file;

use crate::committed::Committed;
use crate::error::EngineError;

/// Checks that nobody replaced a dataset since it was opened, before what was made of it is written.
///
/// # Errors
///
/// [`EngineError::Overtaken`] if somebody did, or [`EngineError::Dataset`].
pub fn check_current(dataset: &DatasetReader) -> Result<(), EngineError> {
    if dataset.is_replaced()? {
        return Err(EngineError::Overtaken { path: dataset.location().join(MANIFEST_FILE) });
    }
    Ok(())
}

/// What was made of a dataset, unless somebody replaced it since it was opened: what was missing or damaged then is so in neither of
/// the two.
///
/// # Errors
///
/// [`EngineError::Overtaken`] if somebody did, or that of the result.
pub(crate) fn if_current<T>(dataset: &DatasetReader, made: Result<T, EngineError>) -> Result<T, EngineError> {
    if made.is_err() {
        check_current(dataset)?;
    }
    made
}

/// Keeps what the files of a dataset are that was just published in a directory, so that the next build need not read them to find out.
/// The manifest, which packing again replaces, is none of them.
pub(crate) fn keep_digests(committed: &Committed, work: &Path) -> Result<(), EngineError> {
    let Committed { dataset, manifest, .. } = committed;
    let named = StatedShard::all_of(manifest, |path| dataset.join(path));
    let beside = FilesBeside::of(manifest, &NotesByShard::default())?;
    let beside = beside.paths().chain([CARD_FILE, BUILD_FACTS_FILE]).map(|path| dataset.join(path));
    let beside = beside.filter_map(|path| Some(StatedShard { digest: digest_of_file(&path).ok()?, path }));
    Ok(keep_shard_digests(work, named.into_iter().chain(beside))?)
}

/// Compares files of a dataset with its manifest, before something is made of them under digests of its own, or without any.
pub(crate) struct FileCheck<'d> {
    dataset: &'d DatasetReader,
    digests: ShardDigests,
}

impl<'d> FileCheck<'d> {
    /// What the build of the dataset knows of its files need not be read.
    pub(crate) fn of(dataset: &'d DatasetReader) -> Self {
        Self { dataset, digests: ShardDigests::open(&work_directory(dataset.location())) }
    }

    /// Checks one of its files, by its path there.
    ///
    /// # Errors
    ///
    /// [`EngineError::OtherFile`] if it has other bytes than the manifest says.
    pub(crate) fn check(&self, path: &str, digest: Digest) -> Result<(), EngineError> {
        let file = StatedShard { path: self.dataset.storage().full_path(path), digest };
        if self.digests.is_damaged(&file) { Err(EngineError::OtherFile { path: file.path }) } else { Ok(()) }
    }

    /// Checks the pack index, and the file of each shard that packs are read from.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub(crate) fn check_packs(&self) -> Result<(), EngineError> {
        let manifest = self.dataset.manifest();
        let index = manifest.pack.iter().map(|pack| (pack.path.clone(), pack.digest));
        let names: BTreeSet<ShardName> = manifest.shards.iter().map(|shard| shard.path.name).collect();
        let shards = names.into_iter().filter_map(|name| self.dataset.shard(name).ok());
        let shards = shards.map(|shard| (shard.path.to_string(), shard.digest));
        index.chain(shards).try_for_each(|(path, digest)| self.check(&path, digest))
    }
}
