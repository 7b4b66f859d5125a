//! Whether shards of a dataset, and the tables beside them, are those that its manifest names. What is reused, replayed or exported is
//! copied into new files, and damage would be covered by their digests.
//!
//! A file that is as stated is read once for that, and then as long as its identity stays what it was (`WORK/shards.json`). A build keeps
//! those of its own files, so that the next one reads none. Of files that no manifest names, such as the data card, what it kept is all
//! that states a digest. Files at stores are not looked at: stores compare digests themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use manyframe_base::files::write_json_unflushed;
use manyframe_base::{Executor, FileAccess, FileError, is_url, open_regular};
use manyframe_core::Digest;
use manyframe_dataset::{DatasetReader, Manifest, named_files};
use manyframe_media::MediaIdentity;
use serde::{Deserialize, Serialize};

use crate::error::PlanError;

/// A shard, or a file beside it, and the digest that a manifest or its build states of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedShard {
    /// Its file.
    pub path: PathBuf,
    /// The digest of the bytes that it should have.
    pub digest: Digest,
}

impl StatedShard {
    /// All files that a manifest names, at their full paths.
    pub fn all_of(manifest: &Manifest, full_path: impl Fn(&str) -> PathBuf) -> Vec<Self> {
        let named = named_files(manifest).into_iter();
        named.map(|(path, stated)| Self { path: full_path(&path), digest: stated.digest }).collect()
    }
}

/// The digests of shards that are known, or were computed.
pub struct ShardDigests {
    path: PathBuf,
    known: Mutex<BTreeMap<PathBuf, KnownShard>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct KnownShard {
    /// The [`MediaIdentity`] of the file.
    identity: u64,
    digest: Digest,
}

fn known_path(work: &Path) -> PathBuf {
    work.join("shards.json")
}

/// Keeps the digests of shards that a build has just written, as they are now.
///
/// # Errors
///
/// If the work directory cannot be written.
pub fn keep_shard_digests(work: &Path, shards: impl Iterator<Item = StatedShard>) -> Result<(), FileError> {
    let digests = ShardDigests::open(work);
    for StatedShard { path, digest } in shards {
        // One that is gone already is nothing to know of.
        let Ok(MediaIdentity(identity)) = MediaIdentity::of_file(&FileAccess::default(), &path) else { continue };
        digests.lock().insert(path, KnownShard { identity, digest });
    }
    digests.save()
}

impl ShardDigests {
    /// What a work directory knows. A damaged list counts as empty: digests can be computed again.
    pub fn open(work: &Path) -> Self {
        let path = known_path(work);
        let text = path.is_file().then(|| std::fs::read(&path).ok()).flatten();
        let known = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { path, known: Mutex::new(known) }
    }

    /// All files that the manifest of a dataset names, and what its build kept of others in it.
    pub fn files_of(&self, dataset: &DatasetReader) -> Vec<StatedShard> {
        let location = dataset.location();
        let known = self.lock();
        let kept = known.range(location.to_owned()..).take_while(|(path, _)| path.starts_with(location));
        let mut files: BTreeMap<PathBuf, Digest> = kept.map(|(path, known)| (path.clone(), known.digest)).collect();
        let named = StatedShard::all_of(dataset.manifest(), |path| dataset.storage().full_path(path));
        files.extend(named.into_iter().map(|StatedShard { path, digest }| (path, digest)));
        files.into_iter().map(|(path, digest)| StatedShard { path, digest }).collect()
    }

    /// Those of some files on this machine that have other bytes than stated, and keeps what was read for that. What cannot be read is left
    /// to whoever needs it.
    ///
    /// # Errors
    ///
    /// If the work directory cannot be written.
    pub fn damaged(&self, files: Vec<StatedShard>, executor: Executor<'_>) -> Result<Vec<StatedShard>, PlanError> {
        let damaged = self.find_damaged(files, executor)?;
        self.save()?;
        Ok(damaged)
    }

    /// As [`Self::damaged`]; nothing is written.
    ///
    /// # Errors
    ///
    /// None of its own.
    pub fn find_damaged(&self, files: Vec<StatedShard>, executor: Executor<'_>) -> Result<Vec<StatedShard>, PlanError> {
        let mut damaged = Vec::new();
        let compare = |file: StatedShard| {
            let is_damaged = self.is_damaged(&file);
            is_damaged.then_some(file)
        };
        executor.ordered_map(2).run(files.into_iter().map(Ok), compare, |file| {
            damaged.extend(file);
            Ok::<_, PlanError>(())
        })?;
        Ok(damaged)
    }

    /// Whether a file on this machine has other bytes than stated.
    pub fn is_damaged(&self, file: &StatedShard) -> bool {
        !is_url(&file.path) && self.is_as_stated(file).is_some_and(|is_as_stated| !is_as_stated)
    }

    /// `None` if it cannot be read.
    fn is_as_stated(&self, StatedShard { path, digest }: &StatedShard) -> Option<bool> {
        let MediaIdentity(identity) = MediaIdentity::of_file(&FileAccess::default(), path).ok()?;
        let known = self.lock().get(path).copied();
        if let Some(known) = known.filter(|known| known.identity == identity) {
            return Some(known.digest == *digest);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(open_regular(path).ok()?).ok()?;
        let is_as_stated = hasher.finalize().as_bytes() == &digest.0;
        // What a damaged file has now takes the place of nothing that is kept.
        if is_as_stated {
            self.lock().insert(path.to_owned(), KnownShard { identity, digest: *digest });
        }
        Some(is_as_stated)
    }

    /// Keeps what is known of shards that are still there.
    fn save(&self) -> Result<(), FileError> {
        let mut known = self.lock();
        known.retain(|path, _| path.exists());
        if known.is_empty() && !self.path.exists() {
            return Ok(());
        }
        write_json_unflushed(&self.path, &*known)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, KnownShard>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use manyframe_base::{NoProgress, write_atomic};

    use super::*;

    #[test]
    fn a_shard_is_read_again_only_if_it_is_another_file_or_was_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.tar");
        write_atomic(&path, b"abc").unwrap();
        let stated = || StatedShard { path: path.clone(), digest: Digest::of(b"abc") };
        let pool = rayon::ThreadPoolBuilder::new().build().unwrap();
        let executor = Executor { pool: &pool, progress: &NoProgress };
        let damaged = |stated: StatedShard| ShardDigests::open(folder.path()).damaged(vec![stated], executor).unwrap();
        assert_eq!(damaged(stated()), []);
        // What is kept counts as long as the identity does.
        let other = StatedShard { digest: Digest::of(b"abd"), ..stated() };
        keep_shard_digests(folder.path(), [other.clone()].into_iter()).unwrap();
        assert_eq!(damaged(other.clone()), []);
        write_atomic(&path, b"abc").unwrap();
        assert_eq!(damaged(other.clone()), [other]);
        assert_eq!(damaged(stated()), []);
        let gone = StatedShard { path: folder.path().join("1.tar"), ..stated() };
        assert_eq!(damaged(gone), []);
    }
}
