//! A directory of this machine, or of a file system that it mounts.
//!
//! It has no versions of files and takes files as a whole. Copies appear under their names when they are on the disk.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use manyframe_base::files::temporary_beside;
use manyframe_base::{AtomicFile, FileAction, FileError, InputFile, open_regular, read_regular, write_atomic};
use manyframe_core::Digest;

use crate::storage::{Condition, FileState, Storage, StoredFile, Written, check_path};

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

    fn state(&self, path: &str) -> Result<Option<FileState>, FileError> {
        let path = self.local_path(path)?;
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => Ok(Some(FileState { num_bytes: found.len(), digest: None, version: None })),
            Ok(_directory) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::read(path)(error)),
        }
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let path = self.local_path(path)?;
        read_regular(&path).map_err(FileError::read(&path))
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, FileError> {
        let path = self.local_path(path)?;
        let mut file = open_regular(&path).map_err(FileError::read(&path))?;
        let num_bytes = range.end.saturating_sub(range.start);
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.take(num_bytes).read_to_end(&mut bytes));
        read.map_err(FileError::read(&path))?;
        if bytes.len() as u64 == num_bytes {
            return Ok(bytes);
        }
        Err(FileError::read(path)(io::ErrorKind::UnexpectedEof.into()))
    }

    fn open(&self, path: &str) -> Result<InputFile, FileError> {
        let path = self.local_path(path)?;
        InputFile::open(&path).map_err(FileError::read(&path))
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

    fn write_if(&self, path: &str, bytes: &[u8], condition: &Condition) -> Result<Written, FileError> {
        let path = self.local_path(path)?;
        if let Condition::Unchanged(_) = condition {
            let unsupported = io::Error::new(io::ErrorKind::Unsupported, "a directory has no versions of files");
            return Err(FileError::write(path)(unsupported));
        }
        let temporary = temporary_beside(&path)?;
        write_atomic(&temporary, bytes)?;
        // Unlike a rename, a link never replaces a file.
        let linked = fs::hard_link(&temporary, &path);
        fs::remove_file(&temporary).map_err(FileError::when(FileAction::Remove, &temporary))?;
        match linked {
            Ok(()) => Ok(Written::Done),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Written::Refused),
            Err(error) => Err(FileError::write(path)(error)),
        }
    }

    fn copy_in(&self, local: &Path, path: &str) -> Result<(), FileError> {
        let path = self.local_path(path)?;
        let mut original = open_regular(local).map_err(FileError::read(local))?;
        let mut copy = AtomicFile::create(&path)?;
        io::copy(&mut original, &mut copy).map_err(FileError::write(&path))?;
        copy.publish()
    }

    fn copy_from(&self, original: &Path, path: &str) -> Result<(), FileError> {
        self.copy_in(original, path)
    }

    fn remove(&self, path: &str) -> Result<(), FileError> {
        let path = self.local_path(path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::when(FileAction::Remove, path)(error))
            }
            _ => Ok(()),
        }
    }

    fn local_path(&self, path: &str) -> Result<PathBuf, FileError> {
        check_path(&self.root, path)?;
        Ok(self.root.join(path))
    }

    fn digest(&self, path: &str) -> Result<Digest, FileError> {
        digest_of_file(&self.local_path(path)?)
    }
}

/// The digest of a file of this machine.
///
/// # Errors
///
/// If it cannot be read.
pub fn digest_of_file(path: &Path) -> Result<Digest, FileError> {
    let mut hasher = blake3::Hasher::new();
    let read = open_regular(path).and_then(|file| hasher.update_reader(file).map(drop));
    read.map_err(FileError::read(path))?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}
