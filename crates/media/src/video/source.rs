//! The bytes of a container file, as FFmpeg reads them: a range of a file, positioned reads, no shared seek position.
//!
//! FFmpeg never opens a path itself: whatever a file refers to by name or address stays closed.
//!
//! While an index is made, the payload of an MP4 is not read at all. Its sample tables say everything that an index
//! needs; where the demuxer passes over payload it gets zeros, without touching the disk.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::MediaError;
use crate::located::ArchiveFile;

/// A container file: all of a file, or a member that is stored inside of an archive, or an unpacked member.
#[derive(Debug, Clone)]
pub(super) struct ByteSource {
    pub(super) file: Arc<ArchiveFile>,
    /// First byte in `file`.
    pub(super) offset: u64,
    pub(super) num_bytes: u64,
}

/// What the reader and its owner share while FFmpeg holds the reader.
#[derive(Debug, Default)]
pub(super) struct ReadState {
    /// The first failure of the storage. FFmpeg would report it as bad data.
    failure: OnceLock<io::Error>,
    hides_payload: AtomicBool,
}

/// A reader over a [`ByteSource`], for FFmpeg.
pub(super) struct SourceReader {
    source: ByteSource,
    position: u64,
    /// Ranges that read as zeros once the payload is hidden, ascending and disjoint.
    payload: Vec<Range<u64>>,
    state: Arc<ReadState>,
}

impl ByteSource {
    /// Fills `buffer` from `position`, or as much of it as there are bytes.
    pub(super) fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.num_bytes.saturating_sub(position);
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..wanted).filter(|rest| !rest.is_empty()) {
            match self.file.handle.read_at(rest, self.offset + position + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// A reader whose `payload` ranges can be hidden, and what is shared with it.
    pub(super) fn reader(&self, payload: Vec<Range<u64>>) -> (SourceReader, Arc<ReadState>) {
        let state = Arc::new(ReadState::default());
        let reader = SourceReader { source: self.clone(), position: 0, payload, state: Arc::clone(&state) };
        (reader, state)
    }

    /// The failure of the storage behind what FFmpeg reported, if that is what happened.
    pub(super) fn storage_error(&self, state: &ReadState) -> Option<MediaError> {
        let failure = state.failure.get()?;
        // An `io::Error` cannot be cloned: its number or its kind is what matters.
        let copy = failure.raw_os_error().map_or_else(|| failure.kind().into(), io::Error::from_raw_os_error);
        Some(MediaError::storage(self.file.path(), copy))
    }
}

impl ReadState {
    /// From now on payload ranges read as zeros.
    pub(super) fn hide_payload(&self) {
        self.hides_payload.store(true, Ordering::Relaxed);
    }
}

impl SourceReader {
    /// Bytes from the position to the end of the payload range around it; 0 outside of payload.
    fn hidden_bytes(&self) -> u64 {
        if !self.state.hides_payload.load(Ordering::Relaxed) {
            return 0;
        }
        let next = self.payload.partition_point(|range| range.end <= self.position);
        match self.payload.get(next) {
            Some(range) if range.start <= self.position => range.end - self.position,
            _ => 0,
        }
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let hidden = usize::try_from(self.hidden_bytes()).unwrap_or(usize::MAX).min(buffer.len());
        let num_bytes = match buffer.get_mut(..hidden).filter(|zeros| !zeros.is_empty()) {
            Some(zeros) => {
                zeros.fill(0);
                hidden
            }
            None => self.source.read_at(self.position, buffer).inspect_err(|error| {
                // Only the first failure is kept: FFmpeg may go on reading after it.
                let _ = self
                    .state
                    .failure
                    .set(error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error));
            })?,
        };
        self.position += num_bytes as u64;
        Ok(num_bytes)
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => self.source.num_bytes.checked_add_signed(delta),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn source(bytes: &[u8], offset: u64, num_bytes: u64) -> ByteSource {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let file = ArchiveFile { path: "x".into(), handle: file, num_bytes: bytes.len() as u64 };
        ByteSource { file: Arc::new(file), offset, num_bytes }
    }

    #[test]
    fn a_reader_sees_its_range_only() {
        let (mut reader, _) = source(b"0123456789", 3, 4).reader(vec![]);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"3456");
        assert_eq!(reader.seek(SeekFrom::End(-1)).unwrap(), 3);
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 1);
        reader.seek(SeekFrom::Start(100)).unwrap();
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    }

    #[test]
    fn hidden_payload_reads_as_zeros() {
        let (mut reader, state) = source(b"abcdefgh", 0, 8).reader(vec![2..4, 6..8]);
        let mut read = [1; 2];
        reader.seek(SeekFrom::Start(2)).unwrap();
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"cd");
        state.hide_payload();
        reader.seek(SeekFrom::Start(0)).unwrap();
        let mut all = Vec::new();
        while all.len() < 8 {
            let mut one = [9];
            reader.read_exact(&mut one).unwrap();
            all.extend(one);
        }
        assert_eq!(all, b"ab\0\0ef\0\0");
    }

    #[test]
    fn a_file_shorter_than_its_range_just_ends() {
        let (mut reader, _) = source(b"abc", 1, 100).reader(vec![]);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"bc");
    }
}
