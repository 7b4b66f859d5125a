//! A medium that was located: where its bytes are, and how to read them. Claimed sizes are checked before memory is
//! allocated.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use manyframe_base::files::free_bytes;
use manyframe_base::{InputFile, ReadAt};
use manyframe_core::RejectCode;

use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::probe::{ImageHeader, probe_growing};

/// Initial capacity for a member whose size is only claimed; it grows with the bytes that arrive.
const INITIAL_BYTES: u64 = 1 << 20;

/// Size of the chunks that a medium is read in, in bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// Where the bytes of a medium are. [`crate::MediaStore::locate`] returns it, so the bytes are inside a media root.
#[derive(Debug, Clone)]
pub enum Located {
    /// A file below a directory root, links resolved.
    File(PathBuf),
    /// An uncompressed range of an archive: a member of a tar, or an uncompressed member of a zip. An object of a store is a
    /// range, too, of itself.
    Range {
        /// The archive.
        archive: Arc<ArchiveFile>,
        /// First byte of the member.
        offset: u64,
        /// Size of the member, which is inside the archive.
        num_bytes: u64,
        /// CRC-32 of the member where the archive has one; checked when the whole member is read.
        crc32: Option<u32>,
    },
    /// A compressed member of a zip.
    Deflated {
        /// The archive.
        archive: Arc<ArchiveFile>,
        /// First byte of the compressed bytes.
        offset: u64,
        /// Number of compressed bytes, which are inside the archive.
        num_compressed_bytes: u64,
        /// Size of the member as the archive claims it; more is never inflated.
        num_bytes: u64,
        /// CRC-32 of the member, checked when it is read.
        crc32: u32,
    },
    /// A directory of frames.
    Directory {
        /// The frames in natural order, `frame2` before `frame10`; none of them is a directory.
        frames: Vec<Located>,
        /// Where their numbers leave out frames: positions, ascending, among these and those that are absent.
        absent: Vec<usize>,
    },
}

/// An open archive, or an object of a store. Every read states its position, so threads share it.
#[derive(Debug)]
pub struct ArchiveFile {
    pub(crate) path: PathBuf,
    pub(crate) handle: Arc<dyn ReadAt>,
    pub(crate) num_bytes: u64,
}

impl ArchiveFile {
    pub(crate) fn of(file: &InputFile) -> Self {
        Self { path: file.path().to_owned(), handle: Arc::clone(file.bytes()), num_bytes: file.num_bytes() }
    }

    /// A file of this machine that is open already.
    #[cfg(any(test, feature = "video"))]
    pub(crate) fn of_file(path: &Path, file: File) -> io::Result<Self> {
        Ok(Self::of(&InputFile::of_file(path, file)?))
    }

    /// The same for a reader that reads from end to end, whatever others do meanwhile.
    #[cfg(feature = "video")]
    pub(crate) fn apart(self: &Arc<Self>) -> Arc<Self> {
        let apart = |handle| Arc::new(Self { path: self.path.clone(), handle, num_bytes: self.num_bytes });
        self.handle.apart().map_or_else(|| Arc::clone(self), apart)
    }

    /// The file, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes when it was opened.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes
    }
}

/// A member of an archive that inflates to more than this many times its size, and to more than [`MAX_INFLATED_FREELY`], is no
/// video: videos hardly compress.
const MAX_INFLATION: u64 = 100;
const MAX_INFLATED_FREELY: u64 = 1 << 30;

impl Located {
    /// Checks that a video may be inflated into a directory, if it is a compressed member of an archive. Others need no space.
    ///
    /// # Errors
    /// A rejection if it is larger than `max_bytes` or than what is free there, or inflates as no video does.
    pub fn check_inflation(&self, max_bytes: u64, directory: &Path) -> Result<(), MediaError> {
        let Self::Deflated { num_bytes, num_compressed_bytes, .. } = self else { return Ok(()) };
        if *num_bytes > max_bytes {
            return Err(too_large(*num_bytes, max_bytes));
        }
        if *num_bytes > MAX_INFLATED_FREELY && num_bytes / MAX_INFLATION > *num_compressed_bytes {
            let detail = format!("{num_compressed_bytes} compressed bytes inflate to {num_bytes}, as no video does");
            return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
        }
        // Whatever is unknown is found out while it is inflated.
        let free = free_bytes(directory).unwrap_or(u64::MAX);
        if *num_bytes > free {
            let detail = format!("inflates to {num_bytes} bytes; {free} are free for temporary files (TMPDIR)");
            return Err(MediaError::rejected(RejectCode::MediaUnreadable, detail));
        }
        Ok(())
    }

    /// Size in bytes; of a directory of frames, the sum over its frames.
    ///
    /// # Errors
    /// [`MediaError::Storage`] if a file is gone or cannot be inspected.
    pub fn num_bytes(&self) -> Result<u64, MediaError> {
        match self {
            Self::File(path) => {
                path.metadata().map(|metadata| metadata.len()).map_err(|source| MediaError::storage(path, source))
            }
            Self::Range { num_bytes, .. } | Self::Deflated { num_bytes, .. } => Ok(*num_bytes),
            Self::Directory { frames, .. } => {
                frames.iter().try_fold(0_u64, |sum, frame| Ok(sum.saturating_add(frame.num_bytes()?)))
            }
        }
    }

    /// Reads all bytes and verifies the checksum of an archive's member.
    ///
    /// # Errors
    /// A rejection if there are more than `max_bytes` or they are damaged, or [`MediaError::Storage`].
    pub fn read(&self, max_bytes: u64) -> Result<Vec<u8>, MediaError> {
        let num_bytes = self.num_bytes()?;
        if num_bytes > max_bytes {
            return Err(too_large(num_bytes, max_bytes));
        }
        match self {
            Self::File(path) => read_file_head(path, max_bytes),
            Self::Range { archive, offset, num_bytes, crc32 } => {
                let bytes = read_archive(archive, *offset, *num_bytes)?;
                match crc32 {
                    Some(crc32) => check_crc32(&bytes, *crc32).map(|()| bytes),
                    None => Ok(bytes),
                }
            }
            Self::Deflated { archive, offset, num_compressed_bytes, num_bytes, crc32 } => {
                let member = DeflatedMember { archive, offset: *offset, num_compressed_bytes: *num_compressed_bytes };
                // Reading one byte more than claimed exposes a member that lies about its size.
                let bytes = member.inflate_head(num_bytes.saturating_add(1), *num_bytes)?;
                if bytes.len() as u64 != *num_bytes {
                    return Err(other_size(bytes.len() as u64, *num_bytes));
                }
                check_crc32(&bytes, *crc32).map(|()| bytes)
            }
            Self::Directory { .. } => Err(directory_found()),
        }
    }

    /// Reads the first `num_bytes` bytes, or all if there are fewer. Checksums are not verified.
    pub fn read_head(&self, num_bytes: u64) -> Result<Vec<u8>, MediaError> {
        match self {
            Self::File(path) => read_file_head(path, num_bytes),
            Self::Range { archive, offset, num_bytes: all, .. } => read_archive(archive, *offset, num_bytes.min(*all)),
            Self::Deflated { archive, offset, num_compressed_bytes, num_bytes: all, .. } => {
                let member = DeflatedMember { archive, offset: *offset, num_compressed_bytes: *num_compressed_bytes };
                member.inflate_head(num_bytes, *all)
            }
            Self::Directory { .. } => Err(directory_found()),
        }
    }

    /// Passes all bytes to `consume`, chunk by chunk and at most `max_bytes`. Checksums are verified for compressed members only.
    #[expect(clippy::indexing_slicing, reason = "`read` never returns more than the length of the buffer")]
    pub fn read_chunks(&self, max_bytes: u64, consume: &mut dyn FnMut(&[u8])) -> Result<(), MediaError> {
        let (path, reader): (&Path, &mut dyn Read) = match self {
            Self::File(path) => {
                (path, &mut File::open(path).map_err(|source| MediaError::storage(path, source))?.take(max_bytes))
            }
            Self::Range { archive, offset, num_bytes, .. } => {
                let end = offset + num_bytes.min(&max_bytes);
                (archive.path(), &mut ArchiveReader { archive, position: *offset, end, failure: None })
            }
            Self::Deflated { archive, offset, num_compressed_bytes, num_bytes, crc32 } => {
                if *num_bytes > max_bytes {
                    return Err(too_large(*num_bytes, max_bytes));
                }
                let member = DeflatedMember { archive, offset: *offset, num_compressed_bytes: *num_compressed_bytes };
                return member.inflate_chunks(*num_bytes, *crc32, consume);
            }
            Self::Directory { .. } => return Err(directory_found()),
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(num_bytes) => consume(&chunk[..num_bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(MediaError::storage(path, source)),
            }
        }
    }

    /// Reads the header of an image: the first 64 KiB, and more only if the header is longer.
    pub fn probe_image(&self, limits: &MediaLimits) -> Result<ImageHeader, MediaError> {
        if let Self::Directory { .. } = self {
            return Err(directory_found());
        }
        let num_bytes = self.num_bytes()?;
        limits.check_bytes(num_bytes)?;
        // What it takes to read from the middle of the medium, kept from the first such read on.
        let (handle, inflated) = (OnceCell::new(), OnceCell::new());
        probe_growing(num_bytes, limits, &|start, length| match self {
            _ if start == 0 => self.read_head(length),
            Self::File(path) => {
                let failed = |source| MediaError::storage(path, source);
                if handle.get().is_none() {
                    let _set_once = handle.set(File::open(path).map_err(failed)?);
                }
                let mut bytes = vec![0; length as usize];
                let read = handle.get().map(|handle| handle.read_exact_at(&mut bytes, start));
                read.transpose().map(|_read| bytes).map_err(failed)
            }
            Self::Range { archive, offset, .. } => read_archive(archive, offset + start, length),
            Self::Deflated { .. } | Self::Directory { .. } => {
                if inflated.get().is_none() {
                    let _set_once = inflated.set(self.read_head(num_bytes)?);
                }
                let range = start as usize..(start + length) as usize;
                Ok(inflated.get().and_then(|bytes| bytes.get(range)).unwrap_or_default().to_vec())
            }
        })
    }
}

/// Reads a range of an open file or object.
///
/// # Errors
/// A rejection if the range reaches beyond the end of the file, or [`MediaError::Storage`].
pub fn read_range(file: &InputFile, offset: u64, num_bytes: u64) -> Result<Vec<u8>, MediaError> {
    let file_bytes = file.num_bytes();
    if offset.checked_add(num_bytes).is_none_or(|end| end > file_bytes) {
        let detail =
            format!("{num_bytes} bytes at {offset} are beyond the end of the file, which has {file_bytes} bytes");
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    let mut bytes = vec![0; num_bytes as usize];
    let read = file.bytes().read_exact_at(&mut bytes, offset);
    read.map(|()| bytes).map_err(|source| MediaError::storage(file.path(), source))
}

fn read_file_head(path: &Path, num_bytes: u64) -> Result<Vec<u8>, MediaError> {
    let failed = |source| MediaError::storage(path, source);
    let handle = File::open(path).map_err(failed)?;
    let file_bytes = handle.metadata().map_err(failed)?.len();
    let mut bytes = Vec::with_capacity(file_bytes.min(num_bytes) as usize);
    handle.take(num_bytes).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Reads a range of an archive, which must be inside it.
fn read_archive(archive: &ArchiveFile, offset: u64, num_bytes: u64) -> Result<Vec<u8>, MediaError> {
    let mut bytes = vec![0; num_bytes as usize];
    archive.handle.read_exact_at(&mut bytes, offset).map_err(|source| MediaError::storage(archive.path(), source))?;
    Ok(bytes)
}

/// A compressed member of a zip.
struct DeflatedMember<'a> {
    archive: &'a ArchiveFile,
    offset: u64,
    num_compressed_bytes: u64,
}

impl DeflatedMember<'_> {
    /// Passes all bytes to `consume` in chunks; there must be `num_bytes` of them, with this checksum.
    #[expect(clippy::indexing_slicing, reason = "`read` never returns more than the length of the buffer")]
    fn inflate_chunks(&self, num_bytes: u64, crc32: u32, consume: &mut dyn FnMut(&[u8])) -> Result<(), MediaError> {
        let (position, end) = (self.offset, self.offset + self.num_compressed_bytes);
        let mut source = ArchiveReader { archive: self.archive, position, end, failure: None };
        // Reading one byte more than claimed exposes a member that lies about its size.
        let mut inflated = DeflateDecoder::new(&mut source).take(num_bytes.saturating_add(1));
        let (mut crc, mut num_inflated, mut chunk) = (Crc::new(), 0, vec![0; CHUNK_BYTES]);
        let damage = loop {
            match inflated.read(&mut chunk) {
                Ok(0) => break None,
                Ok(length) => {
                    num_inflated += length as u64;
                    crc.update(&chunk[..length]);
                    consume(&chunk[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error),
            }
        };
        drop(inflated);
        if let Some(failure) = source.failure {
            return Err(MediaError::storage(self.archive.path(), failure));
        }
        match damage {
            Some(error) => Err(damaged(num_inflated, &error)),
            None if num_inflated != num_bytes => Err(other_size(num_inflated, num_bytes)),
            None => check_sum(&crc, crc32),
        }
    }

    /// Inflates the first `max_bytes` bytes, of `num_claimed_bytes` according to the archive.
    fn inflate_head(&self, max_bytes: u64, num_claimed_bytes: u64) -> Result<Vec<u8>, MediaError> {
        let (position, end) = (self.offset, self.offset + self.num_compressed_bytes);
        let mut source = ArchiveReader { archive: self.archive, position, end, failure: None };
        let mut bytes = Vec::with_capacity(max_bytes.min(num_claimed_bytes).min(INITIAL_BYTES) as usize);
        let inflated = DeflateDecoder::new(&mut source).take(max_bytes).read_to_end(&mut bytes);
        match (inflated, source.failure) {
            (_, Some(failure)) => Err(MediaError::storage(self.archive.path(), failure)),
            (Ok(_), None) => Ok(bytes),
            (Err(error), None) => Err(damaged(bytes.len() as u64, &error)),
        }
    }
}

/// Reads a range of an archive sequentially and records storage failures, so that they are not taken for bad data.
struct ArchiveReader<'a> {
    archive: &'a ArchiveFile,
    position: u64,
    end: u64,
    failure: Option<io::Error>,
}

impl Read for ArchiveReader<'_> {
    #[expect(clippy::indexing_slicing, reason = "`wanted` is at most the length of the buffer")]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        match self.archive.handle.read_at(&mut buffer[..wanted], self.position) {
            Ok(num_bytes) => {
                self.position += num_bytes as u64;
                Ok(num_bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failure = Some(error);
                Err(kind.into())
            }
        }
    }
}

fn too_large(num_bytes: u64, max_bytes: u64) -> MediaError {
    let detail = format!("the file has {num_bytes} bytes, at most {max_bytes} are allowed");
    MediaError::rejected(RejectCode::MediaTooLarge, detail)
}

fn other_size(num_inflated: u64, num_claimed: u64) -> MediaError {
    let detail = format!("inflates to {num_inflated} bytes or more, {num_claimed} were claimed");
    MediaError::rejected(RejectCode::MediaCorrupt, detail)
}

fn damaged(num_inflated: u64, error: &io::Error) -> MediaError {
    let detail = format!("the compressed bytes are damaged after {num_inflated} inflated ones: {error}");
    MediaError::rejected(RejectCode::MediaCorrupt, detail)
}

fn check_crc32(bytes: &[u8], expected: u32) -> Result<(), MediaError> {
    let mut crc = Crc::new();
    crc.update(bytes);
    check_sum(&crc, expected)
}

fn check_sum(crc: &Crc, expected: u32) -> Result<(), MediaError> {
    if crc.sum() == expected {
        return Ok(());
    }
    let detail = format!("the checksum of the archive's member is {:08x}, expected {expected:08x}", crc.sum());
    Err(MediaError::rejected(RejectCode::MediaCorrupt, detail))
}

fn directory_found() -> MediaError {
    MediaError::rejected(RejectCode::MediaType, "a directory was found, expected a file")
}

#[cfg(test)]
mod tests {
    use manyframe_core::Rejection;

    use super::*;

    #[test]
    fn a_member_that_inflates_as_no_video_does_is_rejected_before_a_byte_is_written() {
        let empty = ArchiveFile::of_file(Path::new("a.zip"), tempfile::tempfile().unwrap()).unwrap();
        let archive = Arc::new(ArchiveFile { num_bytes: u64::MAX, ..empty });
        let code = |num_compressed_bytes, num_bytes, max_bytes| {
            let member = Located::Deflated {
                archive: Arc::clone(&archive),
                offset: 0,
                num_compressed_bytes,
                num_bytes,
                crc32: 0,
            };
            match member.check_inflation(max_bytes, Path::new("/")) {
                Err(MediaError::Rejected(Rejection { code, .. })) => Some(code),
                _ => None,
            }
        };
        assert_eq!(code(6 << 20, 3 << 30, 64 << 30), Some(RejectCode::MediaTooLarge));
        assert_eq!(code(900, 1000, 999), Some(RejectCode::MediaTooLarge));
        assert_eq!(code(1 << 60, 1 << 61, u64::MAX), Some(RejectCode::MediaUnreadable));
        assert_eq!(code(10, 1000, 1000), None);
    }
}
