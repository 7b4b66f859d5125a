//! Bytes of what was located: all of them, or the first ones. Claims of size are checked before memory is taken.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use manyframe_core::RejectCode;

use super::MediaStore;
use crate::located::ArchiveFile;
use crate::{ImageHeader, Located, MediaError, MediaLimits, probe};

/// First memory taken for a member whose size is only claimed; it grows with what really comes.
const FIRST_BYTES: u64 = 1 << 20;

/// Size of the pieces that a medium is read in.
const CHUNK_BYTES: usize = 1 << 20;

impl MediaStore {
    /// Size of a medium in bytes; of a directory of frames, of all frames together.
    pub fn size(&self, located: &Located) -> Result<u64, MediaError> {
        size(located)
    }

    /// All bytes of a medium; more than `max_bytes` is a reject. Checksums of archives are checked.
    pub fn read(&self, located: &Located, max_bytes: u64) -> Result<Vec<u8>, MediaError> {
        let num_bytes = size(located)?;
        if num_bytes > max_bytes {
            let detail = format!("the file has {num_bytes} bytes, at most {max_bytes} are allowed");
            return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
        }
        match located {
            Located::File(path) => read_file_head(path, max_bytes),
            Located::Range { archive, offset, num_bytes, crc32 } => {
                let bytes = read_archive(archive, *offset, *num_bytes)?;
                match crc32 {
                    Some(crc32) => check_crc32(&bytes, *crc32).map(|()| bytes),
                    None => Ok(bytes),
                }
            }
            Located::Deflated { num_bytes, crc32, .. } => {
                // One byte more than claimed tells a member that lies about its size.
                let bytes = inflate_head(located, num_bytes.saturating_add(1))?;
                if bytes.len() as u64 != *num_bytes {
                    let detail = format!("inflates to {} bytes or more, {num_bytes} were claimed", bytes.len());
                    return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
                }
                check_crc32(&bytes, *crc32).map(|()| bytes)
            }
            Located::Directory { .. } => Err(directory_found()),
        }
    }

    /// The first bytes of a medium: `num_bytes`, or all if there are fewer. Checksums are not checked.
    pub fn read_head(&self, located: &Located, num_bytes: u64) -> Result<Vec<u8>, MediaError> {
        match located {
            Located::File(path) => read_file_head(path, num_bytes),
            Located::Range { archive, offset, num_bytes: all, .. } => {
                read_archive(archive, *offset, num_bytes.min(*all))
            }
            Located::Deflated { .. } => inflate_head(located, num_bytes),
            Located::Directory { .. } => Err(directory_found()),
        }
    }

    /// All bytes of a medium in order, in pieces: memory does not grow with its size, unless it is compressed.
    /// Checksums of compressed members only are checked.
    pub fn read_chunks(
        &self,
        located: &Located,
        max_bytes: u64,
        consume: &mut dyn FnMut(&[u8]),
    ) -> Result<(), MediaError> {
        let (path, reader): (&Path, &mut dyn Read) = match located {
            Located::File(path) => {
                (path, &mut File::open(path).map_err(|source| MediaError::storage(path, source))?.take(max_bytes))
            }
            Located::Range { archive, offset, num_bytes, .. } => {
                let end = offset + num_bytes.min(&max_bytes);
                (archive.path(), &mut ArchiveReader { archive, position: *offset, end, failure: None })
            }
            Located::Deflated { .. } => return self.read(located, max_bytes).map(|bytes| consume(&bytes)),
            Located::Directory { .. } => return Err(directory_found()),
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(num_bytes) => consume(chunk.get(..num_bytes).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(MediaError::storage(path, source)),
            }
        }
    }

    /// What the header of an image says. Only its first bytes are read, unless the header is longer than that.
    pub fn probe_image(&self, located: &Located, limits: &MediaLimits) -> Result<ImageHeader, MediaError> {
        let num_bytes = size(located)?;
        limits.check_bytes(num_bytes)?;
        probe::probe_growing(num_bytes, limits, |head_bytes| self.read_head(located, head_bytes))
    }
}

/// Bytes inside of a file that a source named itself. A range that reaches beyond the end of the file is a reject.
pub fn read_range(file: &Path, offset: u64, num_bytes: u64) -> Result<Vec<u8>, MediaError> {
    let failed = |source| MediaError::storage(file, source);
    let handle = File::open(file).map_err(failed)?;
    let file_bytes = handle.metadata().map_err(failed)?.len();
    if offset.checked_add(num_bytes).is_none_or(|end| end > file_bytes) {
        let detail = format!(
            "{num_bytes} bytes at {offset} are beyond the end of {}, which has {file_bytes} bytes",
            file.display()
        );
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    let mut bytes = vec![0; num_bytes as usize];
    handle.read_exact_at(&mut bytes, offset).map_err(failed)?;
    Ok(bytes)
}

fn size(located: &Located) -> Result<u64, MediaError> {
    match located {
        Located::File(path) => {
            path.metadata().map(|metadata| metadata.len()).map_err(|source| MediaError::storage(path, source))
        }
        Located::Range { num_bytes, .. } | Located::Deflated { num_bytes, .. } => Ok(*num_bytes),
        Located::Directory { frames } => {
            frames.iter().try_fold(0_u64, |sum, frame| Ok(sum.saturating_add(size(frame)?)))
        }
    }
}

fn read_file_head(path: &Path, num_bytes: u64) -> Result<Vec<u8>, MediaError> {
    let failed = |source| MediaError::storage(path, source);
    let handle = File::open(path).map_err(failed)?;
    let file_bytes = handle.metadata().map_err(failed)?.len();
    let mut bytes = Vec::with_capacity(file_bytes.min(num_bytes) as usize);
    handle.take(num_bytes).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Bytes of an archive; the caller has checked that they lie inside of it.
fn read_archive(archive: &ArchiveFile, offset: u64, num_bytes: u64) -> Result<Vec<u8>, MediaError> {
    let mut bytes = vec![0; num_bytes as usize];
    archive.handle.read_exact_at(&mut bytes, offset).map_err(|source| MediaError::storage(archive.path(), source))?;
    Ok(bytes)
}

/// The first bytes of a deflated member.
fn inflate_head(located: &Located, max_bytes: u64) -> Result<Vec<u8>, MediaError> {
    let Located::Deflated { archive, offset, num_compressed_bytes, num_bytes, .. } = located else {
        return Ok(Vec::new());
    };
    let mut source = ArchiveReader { archive, position: *offset, end: offset + num_compressed_bytes, failure: None };
    let mut bytes = Vec::with_capacity(max_bytes.min(*num_bytes).min(FIRST_BYTES) as usize);
    let inflated = DeflateDecoder::new(&mut source).take(max_bytes).read_to_end(&mut bytes);
    match (inflated, source.failure) {
        (_, Some(failure)) => Err(MediaError::storage(archive.path(), failure)),
        (Ok(_), None) => Ok(bytes),
        (Err(error), None) => {
            let detail = format!("the compressed bytes are damaged after {} inflated ones: {error}", bytes.len());
            Err(MediaError::rejected(RejectCode::MediaCorrupt, detail))
        }
    }
}

/// Reads a part of an archive in order, and keeps failures of the storage apart from those of the decoder.
struct ArchiveReader<'a> {
    archive: &'a ArchiveFile,
    position: u64,
    end: u64,
    failure: Option<io::Error>,
}

impl Read for ArchiveReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..wanted) else { return Ok(0) };
        match self.archive.handle.read_at(buffer, self.position) {
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

fn check_crc32(bytes: &[u8], expected: u32) -> Result<(), MediaError> {
    let mut crc = Crc::new();
    crc.update(bytes);
    if crc.sum() == expected {
        return Ok(());
    }
    let detail = format!("the checksum of the archive's member is {:08x}, expected {expected:08x}", crc.sum());
    Err(MediaError::rejected(RejectCode::MediaCorrupt, detail))
}

fn directory_found() -> MediaError {
    MediaError::rejected(RejectCode::MediaType, "a directory was found, expected a file")
}
