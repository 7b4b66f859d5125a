//! Positional reads of a file, for the Parquet reader.
//!
//! Unlike the library's own reader over `File`, clones share no file position, so that threads do not disturb each
//! other, and a range that the file does not have is refused before memory is set aside for it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// An open file of known length. Clones share the handle.
#[derive(Debug, Clone)]
pub(crate) struct FileChunks {
    file: Arc<File>,
    num_bytes: u64,
}

/// Reads a file from a position onwards.
#[derive(Debug)]
pub(crate) struct ReadFrom {
    file: Arc<File>,
    position: u64,
}

impl FileChunks {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Asked before it is opened: that of a pipe waits for whoever writes to it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(path)?;
        let num_bytes = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), num_bytes })
    }

    fn check(&self, start: u64, length: u64) -> Result<(), ParquetError> {
        match start.checked_add(length) {
            Some(end) if end <= self.num_bytes => Ok(()),
            _ => Err(ParquetError::EOF(format!(
                "{length} bytes at {start} were expected in a file of {} bytes",
                self.num_bytes
            ))),
        }
    }
}

impl Length for FileChunks {
    fn len(&self) -> u64 {
        self.num_bytes
    }
}

impl ChunkReader for FileChunks {
    type T = BufReader<ReadFrom>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.check(start, 0)?;
        // Page headers are read through this, a few dozen bytes each: a small buffer wastes less of the page behind it.
        Ok(BufReader::with_capacity(512, ReadFrom { file: Arc::clone(&self.file), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.check(start, length as u64)?;
        let mut bytes = vec![0; length];
        ReadFrom { file: Arc::clone(&self.file), position: start }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

impl Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let num_bytes = read_at(&self.file, buffer, self.position)?;
        self.position += num_bytes as u64;
        Ok(num_bytes)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, position)
}
