//! The operations that a dataset needs of the place where it is: no more than what object stores can do.
//!
//! Files are named by paths relative to the storage, with `/` between their parts, so they work both as paths and as object
//! keys. Reads may ask for a range, and a write makes a whole file visible at once.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use manyframe_base::{FileError, InputFile};
use manyframe_core::Digest;

use crate::flow::Flow;

/// A file, as a storage lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredFile {
    /// Its path relative to the storage.
    pub path: String,
    /// Its size.
    pub num_bytes: u64,
}

/// What a storage says of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// Its size.
    pub num_bytes: u64,
    /// Its BLAKE3 digest, if whoever wrote it left it beside the file, and the storage keeps such facts.
    pub digest: Option<Digest>,
    /// Changes whenever the file is written; `None` if the storage has no such thing.
    pub version: Option<Version>,
}

/// A version of a file, as its storage names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The entity tag.
    pub(crate) tag: String,
    /// What the storage calls a version besides, which Google's asks for.
    pub(crate) generation: Option<String>,
}

/// What must hold for a file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is not there.
    Absent,
    /// It is still this version.
    Unchanged(Version),
}

/// What became of a write with a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The file is written.
    Done,
    /// The condition does not hold, and the file is as it was.
    Refused,
}

/// The files of a dataset.
///
/// Every path is relative, with `/` between its parts; `..`, `.`, empty parts and a leading `/` are errors
/// ([`io::ErrorKind::InvalidInput`]). Errors name the file by its full path or URL.
pub trait Storage: fmt::Debug + Send + Sync {
    /// What the storage is, for messages: a path or URL.
    fn location(&self) -> &Path;

    /// Size, digest and version of a file; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If that cannot be found out.
    fn state(&self, path: &str) -> Result<Option<FileState>, FileError>;

    /// Reads a file whole.
    ///
    /// # Errors
    ///
    /// If it does not exist ([`io::ErrorKind::NotFound`]), or cannot be read.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;

    /// Reads the bytes of a range.
    ///
    /// # Errors
    ///
    /// As [`Storage::read`], or if the file ends before the range does ([`io::ErrorKind::UnexpectedEof`]).
    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, FileError>;

    /// Opens a file, to read parts of it.
    ///
    /// # Errors
    ///
    /// If it does not exist ([`io::ErrorKind::NotFound`]), or cannot be read.
    fn open(&self, path: &str) -> Result<InputFile, FileError>;

    /// All files below a directory, in the order of their paths; below the whole storage if it is empty. None if the
    /// directory is not there.
    ///
    /// # Errors
    ///
    /// If they cannot be listed ([`io::ErrorKind::Unsupported`] if the storage has no listing).
    fn list(&self, directory: &str) -> Result<Vec<StoredFile>, FileError>;

    /// Writes a file, replacing any existing one. Readers see the old file or the new one, never a part of one.
    ///
    /// # Errors
    ///
    /// If it cannot be written; an existing file is then unchanged.
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), FileError>;

    /// As [`Storage::write`], with what becomes of the bytes on their way.
    ///
    /// # Errors
    ///
    /// As there.
    fn write_in(&self, flow: &Flow<'_>, path: &str, bytes: &[u8]) -> Result<(), FileError> {
        flow.hold(bytes.len() as u64);
        self.write(path, bytes)
    }

    /// Writes a file if a condition holds: of several writers with the same condition, one succeeds.
    ///
    /// # Errors
    ///
    /// As [`Storage::write`].
    fn write_if(&self, path: &str, bytes: &[u8], condition: &Condition) -> Result<Written, FileError>;

    /// Copies a local file into the storage, replacing any existing one.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written.
    fn copy_in(&self, local: &Path, path: &str) -> Result<(), FileError>;

    /// Copies a file of the same store, which is not read here: one with this [`Storage::full_path`], also of another storage.
    /// An existing file is replaced; what the store keeps beside the original, such as its digest, is copied, too.
    ///
    /// # Errors
    ///
    /// If it does not exist ([`io::ErrorKind::NotFound`]), is in another store ([`io::ErrorKind::Unsupported`]), or cannot be
    /// copied.
    fn copy_from(&self, original: &Path, path: &str) -> Result<(), FileError>;

    /// Removes a file; one that is not there needs no removal.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    fn remove(&self, path: &str) -> Result<(), FileError>;

    /// Sends large files part by part; `None` if the storage takes files as a whole.
    fn parts(&self) -> Option<&dyn Parts> {
        None
    }

    /// Where a file is on this machine, for what works on local files only; it need not exist.
    ///
    /// # Errors
    ///
    /// If the storage has no local files ([`io::ErrorKind::Unsupported`]).
    fn local_path(&self, path: &str) -> Result<PathBuf, FileError>;

    /// The full path or URL of a file; it need not exist.
    fn full_path(&self, path: &str) -> PathBuf {
        self.location().join(path)
    }

    /// The size of a file in bytes; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If that cannot be found out.
    fn num_bytes(&self, path: &str) -> Result<Option<u64>, FileError> {
        Ok(self.state(path)?.map(|state| state.num_bytes))
    }

    /// The BLAKE3 digest of a file, read piece by piece.
    ///
    /// # Errors
    ///
    /// As [`Storage::read`].
    fn digest(&self, path: &str) -> Result<Digest, FileError> {
        const PIECE_BYTES: u64 = 8 << 20;
        let not_found = || FileError::read(self.location().join(path))(io::ErrorKind::NotFound.into());
        let num_bytes = self.num_bytes(path)?.ok_or_else(not_found)?;
        let mut hasher = blake3::Hasher::new();
        let mut start = 0;
        while start < num_bytes {
            let end = num_bytes.min(start + PIECE_BYTES);
            hasher.update(&self.read_range(path, start..end)?);
            start = end;
        }
        Ok(Digest(*hasher.finalize().as_bytes()))
    }
}

/// A part of a file.
#[derive(Clone)]
pub struct Part<'a> {
    /// Its number among the parts, from 0.
    pub index: usize,
    /// What is in it.
    pub bytes: Bytes,
    /// What becomes of them on their way.
    pub flow: Flow<'a>,
}

/// Sends a file part by part. What was sent of an unfinished file is visible to nobody, and stays until the file is finished or
/// abandoned.
pub trait Parts: Send + Sync {
    /// Starts a file with this digest; returns the id of the transfer.
    ///
    /// # Errors
    ///
    /// If nothing can be written there.
    fn begin(&self, path: &str, digest: Digest) -> Result<String, FileError>;

    /// Sends a part, in any order; all but the last must have the same size, 5 MiB or more. Returns its id. The store checks
    /// the bytes, if it can.
    ///
    /// # Errors
    ///
    /// If it cannot be sent; [`io::ErrorKind::NotFound`] if the store knows no such transfer any more,
    /// [`io::ErrorKind::InvalidData`] if it refuses what arrived.
    fn send(&self, path: &str, transfer: &str, part: Part<'_>) -> Result<String, FileError>;

    /// Makes the file visible, of parts in this order.
    ///
    /// # Errors
    ///
    /// If a part is missing, or the transfer is not known any more.
    fn finish(&self, path: &str, transfer: &str, parts: Vec<String>) -> Result<(), FileError>;

    /// Forgets what was sent.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    fn abandon(&self, path: &str, transfer: &str) -> Result<(), FileError>;
}

/// Makes sure that a path is one below a storage.
pub(crate) fn check_path(location: &Path, path: &str) -> Result<(), FileError> {
    let is_relative = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let is_plain = path.split('/').all(|part| !part.is_empty() && part != ".");
    if is_relative && is_plain {
        return Ok(());
    }
    let invalid = io::Error::new(io::ErrorKind::InvalidInput, "not a path below the dataset");
    Err(FileError::read(location.join(path))(invalid))
}
