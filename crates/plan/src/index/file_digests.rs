//! Digests of input files: an index is reused as long as the contents of its file are the same, wherever the file is copied.
//!
//! The digest of a file is computed once, and kept with the identity of the file. Files too large to be read for that alone, such
//! as Parquet and tars with images in them, are identified by that identity, and the bytes at both ends. A directory is identified by the names and
//! identities of its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use manyframe_base::files::write_unflushed;
use manyframe_base::{FileAccess, FileError, is_url};
use manyframe_core::Digest;
use manyframe_media::MediaIdentity;
use manyframe_sources::walk_samples;
use serde::{Deserialize, Serialize};

use crate::error::PlanError;

/// Reading more than this would take longer than making the index.
const MOST_DIGESTED_BYTES: u64 = 4 << 30;
/// Bytes at either end of a larger file.
const END_BYTES: u64 = 1 << 20;
/// Digests that took longer are kept at once.
const KEPT_AT_ONCE: Duration = Duration::from_secs(1);

/// The digests of files that were read before.
pub(crate) struct FileDigests {
    path: PathBuf,
    access: FileAccess,
    known: Mutex<BTreeMap<PathBuf, KnownDigest>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KnownDigest {
    /// The [`MediaIdentity`] of the file.
    identity: u64,
    digest: Digest,
}

impl FileDigests {
    /// The digests that are kept in a directory. A damaged file of digests counts as empty: digests can be computed again.
    pub(crate) fn open(directory: &Path, access: FileAccess) -> Self {
        let path = directory.join("digests.json");
        let text = std::fs::read(&path).ok();
        let known = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { path, access, known: Mutex::new(known) }
    }

    /// A text that is equal for equal contents.
    pub(crate) fn of(&self, path: &Path) -> Result<String, PlanError> {
        if path.is_dir() {
            return digest_of_directory(path);
        }
        let read_error = |source| PlanError::Read { path: path.to_owned(), source };
        let num_bytes = self.access.num_bytes(path).map_err(read_error)?;
        // A file that may not be opened is another one once it may, and not what it was when it still might.
        if !is_url(path) && matches!(File::open(path), Err(error) if error.kind() == ErrorKind::PermissionDenied) {
            return Ok(format!("{num_bytes} unreadable"));
        }
        let MediaIdentity(identity) = MediaIdentity::of_file(&self.access, path).map_err(PlanError::Storage)?;
        let before = self.lock().get(path).filter(|known| known.identity == identity).cloned();
        let digest = if let Some(known) = before {
            known.digest
        } else {
            let started = Instant::now();
            let digest = self.digest_of(path).map_err(read_error)?;
            self.lock().insert(path.to_owned(), KnownDigest { identity, digest });
            // A process that is killed later need not have read it in vain.
            if started.elapsed() > KEPT_AT_ONCE {
                self.save()?;
            }
            digest
        };
        if num_bytes <= MOST_DIGESTED_BYTES && !holds_media(path) {
            return Ok(format!("{num_bytes} {digest}"));
        }
        Ok(format!("{num_bytes} {identity:x} {digest}"))
    }

    fn digest_of(&self, path: &Path) -> std::io::Result<Digest> {
        let file = self.access.open(path)?;
        let mut hasher = blake3::Hasher::new();
        if file.num_bytes() <= MOST_DIGESTED_BYTES && !holds_media(path) {
            hasher.update_reader(file.reader(0))?;
        } else {
            hasher.update_reader(file.reader(0).take(END_BYTES))?;
            hasher.update_reader(file.reader(file.num_bytes().saturating_sub(END_BYTES)).take(END_BYTES))?;
        }
        Ok(Digest(*hasher.finalize().as_bytes()))
    }

    /// Keeps the digests for the next build.
    pub(crate) fn save(&self) -> Result<(), PlanError> {
        let text = serde_json::to_vec(&*self.lock()).map_err(|error| FileError::write(&self.path)(error.into()))?;
        Ok(write_unflushed(&self.path, &text)?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, KnownDigest>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Equal for the same files: their names below the directory and their identities. Nothing of them is read.
fn digest_of_directory(path: &Path) -> Result<String, PlanError> {
    let mut hasher = blake3::Hasher::new();
    // What cannot be listed is no part of the source until it can be.
    for entry in walk_samples(path).filter_map(Result::ok).filter(|entry| entry.file_type().is_file()) {
        let identity = MediaIdentity::of_file(&FileAccess::default(), entry.path()).map_err(PlanError::Storage)?;
        let below = entry.path().strip_prefix(path).unwrap_or(entry.path());
        hasher.update(below.as_os_str().as_encoded_bytes()).update(&[0]).update(&identity.0.to_le_bytes());
    }
    Ok(format!("directory {}", Digest(*hasher.finalize().as_bytes())))
}

fn holds_media(path: &Path) -> bool {
    let is_any =
        |endings: [&str; 2]| path.extension().is_some_and(|it| endings.iter().any(|end| it.eq_ignore_ascii_case(end)));
    is_any(["parquet", "tar"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_file_is_the_same_and_a_change_of_one_byte_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            std::fs::File::create(&path).and_then(|mut file| std::io::Write::write_all(&mut file, bytes)).unwrap();
            path
        };
        let digests = FileDigests::open(directory.path(), FileAccess::default());
        let first = digests.of(&write("a.json", b"[1]")).unwrap();
        assert_eq!(digests.of(&write("b.json", b"[1]")).unwrap(), first);
        assert_ne!(digests.of(&write("c.json", b"[2]")).unwrap(), first);
        digests.save().unwrap();
        assert_eq!(*FileDigests::open(directory.path(), FileAccess::default()).lock(), *digests.lock());
    }
}
