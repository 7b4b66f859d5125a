//! From a located video to bytes that FFmpeg can read, as often as needed and from any thread.
//!
//! ```text
//! Located ──open_input──▶ VideoInput::Container(ByteSource) ──reader──▶ SourceReader ──▶ FFmpeg
//!                         VideoInput::Frames      (a directory of images: FFmpeg takes no part)
//! ```
//!
//! A [`ByteSource`] is a range of a file that is read by position: there is no shared seek position. FFmpeg never opens a path
//! itself, so whatever a file refers to by name or address stays closed.
//!
//! While an index is built, the payload of an MP4 is not read. Its sample tables hold everything that an index needs; where
//! the demuxer passes over payload it gets zeros, without touching the disk, also where a file that was cut short has none.
//!
//! A reader stops at the [`Deadline`] of what it reads for: no file is read forever.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use manyframe_base::InputFile;
use manyframe_core::RejectCode;

use super::deadline::Deadline;
use crate::error::MediaError;
use crate::located::{ArchiveFile, Located};

/// Bytes at the start of an FLV or ASF file that hold its description.
pub(super) const HEAD_BYTES: usize = 1 << 13;

/// Size of the buffer for inflating and searching, in bytes.
const COPY_BYTES: usize = 1 << 16;

/// An open video. It may be indexed and decoded any number of times, from any thread.
#[derive(Debug, Clone)]
pub enum VideoInput {
    /// A container file: MP4, WebM, AVI, GIF …
    Container(ByteSource),
    /// A directory of images, one per frame, in natural order. `None` where its numbers leave one out.
    Frames(Vec<Option<Located>>),
}

/// The bytes of a container file, which are a range of a file: a whole file, a member stored in an archive, or a member that was inflated.
#[derive(Debug, Clone)]
pub struct ByteSource {
    pub(super) file: Arc<ArchiveFile>,
    /// First byte in `file`.
    pub(super) offset: u64,
    pub(super) num_bytes: u64,
    /// CRC-32 of the bytes, where an archive has it, and nobody compared it yet.
    pub(super) crc32: Option<u32>,
}

/// Opens a video. A compressed member of a zip is inflated to a temporary file, which lives as long as the input.
///
/// # Errors
/// [`MediaError::Storage`] if a file cannot be opened, or a rejection if a compressed member is damaged.
pub fn open_input(located: &Located) -> Result<VideoInput, MediaError> {
    let source = match located {
        Located::File(path) => {
            let file = InputFile::open(path).map_err(|error| MediaError::storage(path, error))?;
            source_of_file(&file)
        }
        Located::Range { archive, offset, num_bytes, crc32 } => {
            ByteSource { file: archive.apart(), offset: *offset, num_bytes: *num_bytes, crc32: *crc32 }
        }
        Located::Deflated { archive, offset, num_compressed_bytes, num_bytes, crc32 } => {
            let (file, num_packed) = (archive.apart(), *num_compressed_bytes);
            let packed = ByteSource { file, offset: *offset, num_bytes: num_packed, crc32: None };
            inflate(&packed, *num_bytes, *crc32)?
        }
        Located::Directory { frames, absent } => return Ok(VideoInput::Frames(with_absent(frames, absent))),
    };
    Ok(VideoInput::Container(source))
}

/// The frames of a directory, and nothing at these positions among them.
fn with_absent(frames: &[Located], absent: &[usize]) -> Vec<Option<Located>> {
    let mut there = frames.iter().cloned();
    let all = 0..frames.len() + absent.len();
    all.map(|position| if absent.binary_search(&position).is_ok() { None } else { there.next() }).collect()
}

/// Opens a video that is a range of an open file or object.
///
/// # Errors
/// A rejection if the range reaches beyond the end of the file, or [`MediaError::Storage`].
pub fn open_range(file: &InputFile, offset: u64, num_bytes: u64) -> Result<VideoInput, MediaError> {
    let source = source_of_file(file);
    if offset.checked_add(num_bytes).is_none_or(|end| end > source.num_bytes) {
        let found = source.num_bytes;
        let detail = format!("{num_bytes} bytes at {offset} are beyond the end of the file, which has {found} bytes");
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    Ok(VideoInput::Container(ByteSource { offset, num_bytes, ..source }))
}

/// Opens a video whose bytes are in memory, by way of a temporary file, which lives as long as the input.
///
/// # Errors
/// [`MediaError::Storage`] if the file cannot be written.
pub fn open_bytes(bytes: &[u8]) -> Result<VideoInput, MediaError> {
    let directory = std::env::temp_dir();
    let written = tempfile::tempfile().and_then(|mut file| file.write_all(bytes).map(|()| file));
    let file = written.and_then(|file| ArchiveFile::of_file(&directory, file));
    let file = file.map_err(|source| MediaError::Storage { path: directory.clone(), source })?;
    Ok(VideoInput::Container(ByteSource {
        file: Arc::new(file),
        offset: 0,
        num_bytes: bytes.len() as u64,
        crc32: None,
    }))
}

fn source_of_file(file: &InputFile) -> ByteSource {
    ByteSource { file: Arc::new(ArchiveFile::of(file)).apart(), offset: 0, num_bytes: file.num_bytes(), crc32: None }
}

/// Inflates a member into a temporary file without a name, which disappears with its last handle.
#[expect(clippy::indexing_slicing, reason = "`read` never returns more than the length of the buffer")]
fn inflate(packed: &ByteSource, num_bytes: u64, crc32: u32) -> Result<ByteSource, MediaError> {
    let directory = std::env::temp_dir();
    // The medium has no part in it, whatever the failure is.
    let failed = |source| MediaError::Storage { path: directory.clone(), source };
    let mut handle = tempfile::tempfile().map_err(failed)?;
    let (reader, state) = packed.reader(Vec::new(), Deadline::of_reading(num_bytes));
    // Reading one byte more than claimed exposes a member that lies about its size.
    let mut inflated = CrcReader::new(DeflateDecoder::new(reader).take(num_bytes.saturating_add(1)));
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = inflated.read(&mut buffer).map_err(|error| {
            packed.reading_error(&state).unwrap_or_else(|| {
                MediaError::rejected(RejectCode::MediaCorrupt, format!("the compressed bytes are damaged: {error}"))
            })
        })?;
        if read == 0 {
            break;
        }
        handle.write_all(&buffer[..read]).map_err(failed)?;
    }
    let found = handle.metadata().map_err(failed)?.len();
    if found != num_bytes {
        let detail = format!("inflates to {found} bytes or more, {num_bytes} were claimed");
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    let sum = inflated.crc().sum();
    if sum != crc32 {
        let detail = format!("the checksum of the archive's member is {sum:08x}, expected {crc32:08x}");
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    let file = ArchiveFile::of_file(packed.file.path(), handle).map_err(failed)?;
    Ok(ByteSource { file: Arc::new(file), offset: 0, num_bytes, crc32: None })
}

impl ByteSource {
    /// Fills `buffer` from `position` on, as far as there are bytes. Returns the number of bytes read.
    #[expect(
        clippy::indexing_slicing,
        reason = "`filled` never exceeds `wanted`, nor `wanted` the length of the buffer"
    )]
    pub(super) fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.num_bytes.saturating_sub(position);
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < wanted {
            match self.file.handle.read_at(&mut buffer[filled..wanted], self.offset + position + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Whether these bytes are somewhere after a position.
    pub(super) fn contains_after(&self, mut start: u64, bytes: &[u8]) -> io::Result<bool> {
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let num_bytes = self.read_at(start, &mut buffer)?;
            let (filled, _) = buffer.split_at(num_bytes);
            if memchr::memmem::find(filled, bytes).is_some() {
                return Ok(true);
            }
            if num_bytes < COPY_BYTES {
                return Ok(false);
            }
            start += (COPY_BYTES - bytes.len() + 1) as u64;
        }
    }

    /// Whether there is anything but zeros after a position.
    pub(super) fn has_data_after(&self, mut start: u64) -> io::Result<bool> {
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let num_bytes = self.read_at(start, &mut buffer)?;
            if buffer.split_at(num_bytes).0.iter().any(|byte| *byte > 0) {
                return Ok(true);
            }
            if num_bytes < COPY_BYTES {
                return Ok(false);
            }
            start += COPY_BYTES as u64;
        }
    }

    /// All bytes.
    pub(super) fn read_all(&self) -> Result<Vec<u8>, MediaError> {
        let mut bytes = vec![0; usize::try_from(self.num_bytes).unwrap_or(usize::MAX)];
        let filled = self.read_at(0, &mut bytes).map_err(|error| MediaError::storage(self.file.path(), error))?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// A reader whose `payload` ranges (ascending, disjoint) can be hidden, and the state shared with it.
    pub(super) fn reader(&self, payload: Vec<Range<u64>>, deadline: Deadline) -> (SourceReader, Arc<ReadState>) {
        let state = Arc::new(ReadState { failure: OnceLock::new(), hides_payload: AtomicBool::new(false), deadline });
        let reader = SourceReader { source: self.clone(), position: 0, payload, state: Arc::clone(&state) };
        (reader, state)
    }

    /// What is behind an error that FFmpeg reported, if it is not the bytes: failing storage, or the deadline.
    pub(super) fn reading_error(&self, state: &ReadState) -> Option<MediaError> {
        let stalled = || state.deadline.check().err();
        state.failure.get().map(|error| MediaError::storage(self.file.path(), copy_of(error))).or_else(stalled)
    }
}

/// An `io::Error` cannot be cloned; its number, or its kind and text, is what matters.
fn copy_of(error: &io::Error) -> io::Error {
    let copy = || io::Error::new(error.kind(), error.to_string());
    error.raw_os_error().map_or_else(copy, io::Error::from_raw_os_error)
}

/// State that a reader shares with its owner while FFmpeg holds the reader.
#[derive(Debug)]
pub(super) struct ReadState {
    /// The first storage failure. FFmpeg would report it as bad data.
    failure: OnceLock<io::Error>,
    hides_payload: AtomicBool,
    /// When reading stops.
    pub(super) deadline: Deadline,
}

impl ReadState {
    /// From now on payload ranges read as zeros.
    pub(super) fn hide_payload(&self) {
        self.hides_payload.store(true, Ordering::Relaxed);
    }

    /// Whether payload ranges read as zeros.
    pub(super) fn hides_payload(&self) -> bool {
        self.hides_payload.load(Ordering::Relaxed)
    }
}

/// A reader over a [`ByteSource`], for FFmpeg.
pub(super) struct SourceReader {
    source: ByteSource,
    position: u64,
    /// Ranges that read as zeros once the payload is hidden, ascending and disjoint.
    payload: Vec<Range<u64>>,
    state: Arc<ReadState>,
}

impl SourceReader {
    /// Number of bytes from the position to the end of the hidden payload range around it; 0 outside hidden payload.
    fn num_hidden_bytes(&self) -> u64 {
        if !self.state.hides_payload() {
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
    #[expect(clippy::indexing_slicing, reason = "`num_hidden` is cut to the length of the buffer")]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.state.deadline.has_passed() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let num_hidden = usize::try_from(self.num_hidden_bytes()).unwrap_or(usize::MAX).min(buffer.len());
        let num_bytes = if num_hidden > 0 {
            buffer[..num_hidden].fill(0);
            num_hidden
        } else {
            self.source.read_at(self.position, buffer).inspect_err(|error| {
                // Only the first failure is kept: FFmpeg may continue reading after it.
                let _ = self.state.failure.set(copy_of(error));
            })?
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
    use std::path::Path;

    use super::*;

    fn later() -> Deadline {
        Deadline::of_reading(0)
    }

    fn source(bytes: &[u8], offset: u64, num_bytes: u64) -> ByteSource {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let file = ArchiveFile::of_file(Path::new("x"), file).unwrap();
        ByteSource { file: Arc::new(file), offset, num_bytes, crc32: None }
    }

    #[test]
    fn a_reader_sees_its_range_only() {
        let (mut reader, _) = source(b"0123456789", 3, 4).reader(vec![], later());
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
        let (mut reader, state) = source(b"abcdefgh", 0, 8).reader(vec![2..4, 6..9], later());
        let mut read = [1; 2];
        reader.seek(SeekFrom::Start(2)).unwrap();
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"cd");
        state.hide_payload();
        reader.seek(SeekFrom::Start(0)).unwrap();
        let mut all = Vec::new();
        while all.len() < 9 {
            let mut one = [9];
            reader.read_exact(&mut one).unwrap();
            all.extend(one);
        }
        assert_eq!(all, b"ab\0\0ef\0\0\0");
    }

    #[test]
    fn nothing_is_read_after_the_deadline() {
        let (mut reader, state) = source(b"abc", 0, 3).reader(vec![], Deadline::passed());
        assert_eq!(reader.read(&mut [0; 3]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let error = reader.source.reading_error(&state);
        assert!(
            matches!(&error, Some(MediaError::Rejected(rejection)) if rejection.code == RejectCode::DecoderStalled),
            "{error:?}"
        );
    }

    #[test]
    fn a_file_shorter_than_its_range_just_ends() {
        let (mut reader, _) = source(b"abc", 1, 100).reader(vec![], later());
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"bc");
    }
}
