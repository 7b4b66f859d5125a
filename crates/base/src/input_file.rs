//! Files that are read at any position: on a disk of this machine, or wherever a storage keeps them.
//!
//! Readers of tables and shards take an [`InputFile`] and do not know which it is.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes that can be read at any position, by several threads at a time.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// How many there are.
    fn num_bytes(&self) -> u64;

    /// Fills a buffer with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// If there are fewer ([`io::ErrorKind::UnexpectedEof`]), or they cannot be read.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Reads bytes from `offset` on, as far as there are any; returns how many.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.num_bytes().saturating_sub(offset)).unwrap_or(usize::MAX);
        let num_bytes = left.min(buffer.len());
        let (wanted, _) = buffer.split_at_mut(num_bytes);
        self.read_exact_at(wanted, offset).map(|()| num_bytes)
    }

    /// The same bytes for a reader of its own, if what is read ahead for one disturbs others.
    fn apart(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }
}

/// An open file, and what errors call it. Clones share it.
#[derive(Debug, Clone)]
pub struct InputFile {
    path: Arc<Path>,
    bytes: Arc<dyn ReadAt>,
}

/// Opens a file of this machine that others may have put there.
///
/// # Errors
///
/// If there is none, or it is a directory, a pipe or another thing without positions.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Asked before it is opened: that of a pipe waits for whoever writes to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}

/// The bytes of such a file.
///
/// # Errors
///
/// As [`open_regular`], and if they cannot be read.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl InputFile {
    /// Opens a file of this machine.
    ///
    /// # Errors
    ///
    /// If there is none, or it is a directory, a pipe or another thing without positions.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of_file(path, open_regular(path)?)
    }

    /// A file of this machine that is open already.
    ///
    /// # Errors
    ///
    /// If its size is unknown.
    pub fn of_file(path: &Path, file: File) -> io::Result<Self> {
        let num_bytes = file.metadata()?.len();
        Ok(Self::new(path, Arc::new(LocalFile { file, num_bytes })))
    }

    /// Bytes under a name.
    pub fn new(path: &Path, bytes: Arc<dyn ReadAt>) -> Self {
        Self { path: path.into(), bytes }
    }

    /// Its path or URL.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    pub fn num_bytes(&self) -> u64 {
        self.bytes.num_bytes()
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    /// Reads it from a position onwards.
    pub fn reader(&self, position: u64) -> InputReader {
        InputReader { bytes: Arc::clone(&self.bytes), position }
    }
}

#[derive(Debug)]
struct LocalFile {
    file: File,
    num_bytes: u64,
}

impl ReadAt for LocalFile {
    fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

/// Reads a file from a position onwards. Readers of one file share no position.
#[derive(Debug)]
pub struct InputReader {
    bytes: Arc<dyn ReadAt>,
    position: u64,
}

impl Read for InputReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.num_bytes().saturating_sub(self.position)).unwrap_or(usize::MAX);
        let num_bytes = left.min(buffer.len());
        let (wanted, _) = buffer.split_at_mut(num_bytes);
        self.bytes.read_exact_at(wanted, self.position)?;
        self.position += num_bytes as u64;
        Ok(num_bytes)
    }
}

impl Seek for InputReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let before_start = || io::Error::new(io::ErrorKind::InvalidInput, "a position before the start");
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::End(distance) => self.bytes.num_bytes().checked_add_signed(distance).ok_or_else(before_start)?,
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance).ok_or_else(before_start)?,
        };
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_atomic;

    #[test]
    fn a_file_is_read_at_any_position() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        write_atomic(&path, b"0123456789").unwrap();
        let file = InputFile::open(&path).unwrap();
        assert_eq!((file.path(), file.num_bytes()), (&*path, 10));
        let mut text = String::new();
        let mut reader = file.reader(7);
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "789");
        assert_eq!(reader.seek(SeekFrom::Current(-4)).unwrap(), 6);
        assert_eq!(reader.seek(SeekFrom::End(-1)).unwrap(), 9);
        assert!(reader.seek(SeekFrom::Current(-10)).is_err());
        let error = file.bytes().read_exact_at(&mut [0; 3], 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_directory_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(InputFile::open(directory.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
