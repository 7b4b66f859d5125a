//! Positional reads of a file, for the Parquet reader.
//!
//! Unlike the library's own reader over `File`, clones share no file position, so that threads do not disturb each
//! other, and a range that the file does not have is refused before memory is set aside for it.

use std::io::BufReader;

use bytes::Bytes;
use manyframe_base::{InputFile, InputReader};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// An open file. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct FileChunks(pub(crate) InputFile);

impl FileChunks {
    fn check(&self, start: u64, length: u64) -> Result<(), ParquetError> {
        match start.checked_add(length) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(ParquetError::EOF(format!(
                "{length} bytes at {start} were expected in a file of {} bytes",
                self.len()
            ))),
        }
    }
}

impl Length for FileChunks {
    fn len(&self) -> u64 {
        self.0.num_bytes()
    }
}

impl ChunkReader for FileChunks {
    type T = BufReader<InputReader>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.check(start, 0)?;
        // Page headers are read through this, a few dozen bytes each: a small buffer wastes less of the page behind it.
        Ok(BufReader::with_capacity(512, self.0.reader(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.check(start, length as u64)?;
        let mut bytes = vec![0; length];
        self.0.bytes().read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}
