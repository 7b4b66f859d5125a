//! Where the files of a dataset are: a local directory today.
//!
//! Files are named by paths relative to the dataset, with `/` between their parts, so they work both as paths and
//! as object keys. Reads may ask for a range, and a write makes a whole file visible at once:
//! no more than what object stores can do. Calls block.
//!
//! Tables and shards are read by readers that need a file: for those, [`Storage::local_path`] says where it is. A store
//! that has no local files will have to fetch a copy there first.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use manyframe_base::files::publish_file;
use manyframe_base::{AtomicFile, FileAction, FileError, write_atomic};
use manyframe_core::Digest;

/// A file, as a storage lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredFile {
    /// Its path relative to the storage.
    pub path: String,
    /// Its size.
    pub num_bytes: u64,
}

/// The files of a dataset.
///
/// Every path is relative, with `/` between its parts; `..`, `.`, empty parts and a leading `/` are errors
/// ([`io::ErrorKind::InvalidInput`]). Errors name the file by its full path or URL.
pub trait Storage: fmt::Debug + Send + Sync {
    /// What the storage is, for messages: a path or URL.
    fn location(&self) -> &Path;

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

    /// The size of a file in bytes; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If that cannot be found out.
    fn num_bytes(&self, path: &str) -> Result<Option<u64>, FileError>;

    /// All files below a directory, in the order of their paths; below the whole storage if it is empty. None if the
    /// directory is not there.
    ///
    /// # Errors
    ///
    /// If they cannot be listed.
    fn list(&self, directory: &str) -> Result<Vec<StoredFile>, FileError>;

    /// Writes a file, replacing any existing one. Readers see the old file or the new one, never a part of one.
    ///
    /// # Errors
    ///
    /// If it cannot be written; an existing file is then unchanged.
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), FileError>;

    /// Makes a finished local file a file of the storage, replacing any existing one. The local file no longer
    /// exists afterwards.
    ///
    /// # Errors
    ///
    /// If it cannot be moved or copied.
    fn publish(&self, finished: &Path, path: &str) -> Result<(), FileError>;

    /// Where a file is on this machine, for readers that need one; it need not exist.
    ///
    /// # Errors
    ///
    /// If the storage cannot provide a local file.
    fn local_path(&self, path: &str) -> Result<PathBuf, FileError>;

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

/// A directory of this machine, or of a file system that it mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDirectory {
    root: PathBuf,
}

impl LocalDirectory {
    /// The files in a directory. It need not exist before the first write.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn open(&self, path: &str) -> Result<(File, PathBuf), FileError> {
        let path = self.local_path(path)?;
        let file = File::open(&path).map_err(FileError::read(&path))?;
        Ok((file, path))
    }

    fn add_files(&self, directory: &str, files: &mut Vec<StoredFile>) -> Result<(), FileError> {
        let path = if directory.is_empty() { self.root.clone() } else { self.local_path(directory)? };
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(FileError::read(path)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(FileError::read(&path))?;
            let no_text = || io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8");
            let name = entry.file_name().into_string().map_err(|_name| no_text());
            let name = name.map_err(FileError::read(entry.path()))?;
            let below = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            let metadata = fs::metadata(entry.path()).map_err(FileError::read(entry.path()))?;
            if metadata.is_dir() {
                self.add_files(&below, files)?;
            } else {
                files.push(StoredFile { path: below, num_bytes: metadata.len() });
            }
        }
        Ok(())
    }
}

impl Storage for LocalDirectory {
    fn location(&self) -> &Path {
        &self.root
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let path = self.local_path(path)?;
        fs::read(&path).map_err(FileError::read(&path))
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, FileError> {
        let (mut file, path) = self.open(path)?;
        let num_bytes = range.end.saturating_sub(range.start);
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.take(num_bytes).read_to_end(&mut bytes));
        read.map_err(FileError::read(&path))?;
        if bytes.len() as u64 == num_bytes {
            return Ok(bytes);
        }
        Err(FileError::read(path)(io::ErrorKind::UnexpectedEof.into()))
    }

    fn num_bytes(&self, path: &str) -> Result<Option<u64>, FileError> {
        let path = self.local_path(path)?;
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::read(path)(error)),
        }
    }

    fn list(&self, directory: &str) -> Result<Vec<StoredFile>, FileError> {
        let mut files = Vec::new();
        self.add_files(directory, &mut files)?;
        files.sort_unstable();
        Ok(files)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), FileError> {
        write_atomic(&self.local_path(path)?, bytes)
    }

    fn publish(&self, finished: &Path, path: &str) -> Result<(), FileError> {
        let path = self.local_path(path)?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(FileError::write(directory))?;
        }
        match publish_file(finished, &path) {
            // On another file system a file cannot be renamed; a copy of it can.
            Err(error) if error.source.kind() == io::ErrorKind::CrossesDevices => {
                let mut original = File::open(finished).map_err(FileError::read(finished))?;
                let mut copy = AtomicFile::create(&path)?;
                io::copy(&mut original, &mut copy).map_err(FileError::write(&path))?;
                copy.publish()?;
                fs::remove_file(finished).map_err(FileError::when(FileAction::Remove, finished))
            }
            published => published,
        }
    }

    fn local_path(&self, path: &str) -> Result<PathBuf, FileError> {
        let is_relative = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let is_plain = path.split('/').all(|part| !part.is_empty() && part != ".");
        if is_relative && is_plain {
            return Ok(self.root.join(path));
        }
        let invalid = io::Error::new(io::ErrorKind::InvalidInput, "not a path below the dataset");
        Err(FileError::read(path)(invalid))
    }

    fn digest(&self, path: &str) -> Result<Digest, FileError> {
        let (file, path) = self.open(path)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(FileError::read(&path))?;
        Ok(Digest(*hasher.finalize().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, LocalDirectory) {
        let directory = tempfile::tempdir().unwrap();
        let storage = LocalDirectory::new(directory.path().join("dataset"));
        (directory, storage)
    }

    #[test]
    fn what_is_written_is_read_whole_and_in_ranges() {
        let (_directory, storage) = directory();
        assert_eq!(storage.num_bytes("a/b.txt").unwrap(), None);
        storage.write("a/b.txt", b"before").unwrap();
        storage.write("a/b.txt", b"0123456789").unwrap();
        assert_eq!(storage.num_bytes("a/b.txt").unwrap(), Some(10));
        assert_eq!(storage.num_bytes("a").unwrap(), None);
        assert_eq!(storage.read("a/b.txt").unwrap(), b"0123456789");
        assert_eq!(storage.read_range("a/b.txt", 3..6).unwrap(), b"345");
        assert_eq!(storage.read_range("a/b.txt", 10..10).unwrap(), b"");
        assert_eq!(storage.digest("a/b.txt").unwrap(), Digest::of(b"0123456789"));
    }

    #[test]
    fn a_range_beyond_the_end_and_a_missing_file_are_errors() {
        let (_directory, storage) = directory();
        storage.write("a.txt", b"0123").unwrap();
        assert_eq!(storage.read_range("a.txt", 2..5).unwrap_err().source.kind(), io::ErrorKind::UnexpectedEof);
        for error in [storage.read("b.txt").unwrap_err(), storage.digest("b.txt").unwrap_err()] {
            assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
            assert_eq!(error.path, storage.location().join("b.txt"));
        }
    }

    #[test]
    fn files_are_listed_in_order_with_their_sizes() {
        let (_directory, storage) = directory();
        assert_eq!(storage.list("").unwrap(), []);
        for (path, bytes) in [("z.txt", &b"1"[..]), ("a/c.txt", b"22"), ("a/b/d.txt", b"")] {
            storage.write(path, bytes).unwrap();
        }
        let paths = |directory| -> Vec<(String, u64)> {
            storage.list(directory).unwrap().into_iter().map(|file| (file.path, file.num_bytes)).collect()
        };
        let all = [("a/b/d.txt", 0), ("a/c.txt", 2), ("z.txt", 1)].map(|(path, size)| (path.to_owned(), size));
        assert_eq!(paths(""), all);
        assert_eq!(paths("a"), all[..2]);
        assert_eq!(paths("none"), []);
    }

    #[test]
    fn a_finished_file_is_moved_to_its_name() {
        let (directory, storage) = directory();
        let finished = directory.path().join("finished");
        write_atomic(&finished, b"shard").unwrap();
        storage.publish(&finished, "webdataset/text/000000.tar").unwrap();
        assert_eq!(storage.read("webdataset/text/000000.tar").unwrap(), b"shard");
        assert!(!finished.exists());
    }

    #[test]
    fn paths_that_leave_the_dataset_are_refused() {
        let (_directory, storage) = directory();
        for path in ["", "/etc/passwd", "../a", "a/../b", "a//b", "./a", "a/"] {
            let error = storage.write(path, b"").unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
    }

    #[test]
    fn a_digest_made_of_ranges_is_that_of_the_whole() {
        /// Has no digest of its own.
        #[derive(Debug)]
        struct Ranges(LocalDirectory);
        impl Storage for Ranges {
            fn location(&self) -> &Path {
                self.0.location()
            }
            fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
                self.0.read(path)
            }
            fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, FileError> {
                self.0.read_range(path, range)
            }
            fn num_bytes(&self, path: &str) -> Result<Option<u64>, FileError> {
                self.0.num_bytes(path)
            }
            fn list(&self, directory: &str) -> Result<Vec<StoredFile>, FileError> {
                self.0.list(directory)
            }
            fn write(&self, path: &str, bytes: &[u8]) -> Result<(), FileError> {
                self.0.write(path, bytes)
            }
            fn publish(&self, finished: &Path, path: &str) -> Result<(), FileError> {
                self.0.publish(finished, path)
            }
            fn local_path(&self, path: &str) -> Result<PathBuf, FileError> {
                self.0.local_path(path)
            }
        }
        let (_directory, storage) = directory();
        let bytes = vec![7; (17 << 20) + 3];
        storage.write("a", &bytes).unwrap();
        assert_eq!(Ranges(storage.clone()).digest("a").unwrap(), Digest::of(&bytes));
        assert_eq!(Ranges(storage).digest("b").unwrap_err().source.kind(), io::ErrorKind::NotFound);
    }
}
