//! From where a video was found to something that can be decoded, often enough.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use manyframe_core::RejectCode;

use super::source::ByteSource;
use crate::located::ArchiveFile;
use crate::{Located, MediaError, MediaStore};

/// Bytes that are unpacked at a time.
const COPY_BYTES: usize = 1 << 16;

/// A video that was found. It may be indexed and decoded any number of times, from any thread.
#[derive(Debug, Clone)]
pub enum VideoInput<'s> {
    /// A container file: MP4, WebM, AVI, GIF …
    Container(ContainerFile),
    /// A directory of images, one per frame, in natural order.
    Frames {
        /// The store that found them.
        store: &'s MediaStore,
        /// The images.
        frames: Vec<Located>,
    },
}

/// The bytes of a container file, wherever they are.
#[derive(Debug, Clone)]
pub struct ContainerFile(pub(super) ByteSource);

/// Opens a video. A compressed member of a zip is unpacked to a temporary file, which lives as long as the input.
pub fn open_input<'s>(store: &'s MediaStore, located: &Located) -> Result<VideoInput<'s>, MediaError> {
    let source = match located {
        Located::File(path) => source_of_file(path)?,
        Located::Range { archive, offset, num_bytes, .. } => {
            ByteSource { file: Arc::clone(archive), offset: *offset, num_bytes: *num_bytes }
        }
        Located::Deflated { archive, offset, num_compressed_bytes, num_bytes, crc32 } => {
            let packed = ByteSource { file: Arc::clone(archive), offset: *offset, num_bytes: *num_compressed_bytes };
            unpack(&packed, *num_bytes, *crc32)?
        }
        Located::Directory { frames } => return Ok(VideoInput::Frames { store, frames: frames.clone() }),
    };
    Ok(VideoInput::Container(ContainerFile(source)))
}

/// Opens a video inside of a file that a source named itself. A range that reaches beyond its end is a reject.
pub fn open_range(file: &Path, offset: u64, num_bytes: u64) -> Result<VideoInput<'static>, MediaError> {
    let source = source_of_file(file)?;
    if offset.checked_add(num_bytes).is_none_or(|end| end > source.num_bytes) {
        let (path, found) = (file.display(), source.num_bytes);
        let detail = format!("{num_bytes} bytes at {offset} are beyond the end of {path}, which has {found} bytes");
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    Ok(VideoInput::Container(ContainerFile(ByteSource { offset, num_bytes, ..source })))
}

fn source_of_file(path: &Path) -> Result<ByteSource, MediaError> {
    let failed = |error| MediaError::storage(path, error);
    let handle = File::open(path).map_err(failed)?;
    let num_bytes = handle.metadata().map_err(failed)?.len();
    let file = Arc::new(ArchiveFile { path: path.to_owned(), handle, num_bytes });
    Ok(ByteSource { file, offset: 0, num_bytes })
}

/// Inflates a member into a temporary file that has no name, so that it is gone when the last handle is.
fn unpack(packed: &ByteSource, num_bytes: u64, crc32: u32) -> Result<ByteSource, MediaError> {
    let directory = std::env::temp_dir();
    let failed = |error| MediaError::storage(&directory, error);
    let mut handle = tempfile::tempfile().map_err(failed)?;
    let (reader, state) = packed.reader(Vec::new());
    // One byte more than claimed tells a member that lies about its size.
    let mut inflated = CrcReader::new(DeflateDecoder::new(reader).take(num_bytes.saturating_add(1)));
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = inflated.read(&mut buffer).map_err(|error| {
            packed.storage_error(&state).unwrap_or_else(|| {
                MediaError::rejected(RejectCode::MediaCorrupt, format!("the compressed bytes are damaged: {error}"))
            })
        })?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        handle.write_all(bytes).map_err(failed)?;
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
    let file = Arc::new(ArchiveFile { path: packed.file.path().to_owned(), handle, num_bytes });
    Ok(ByteSource { file, offset: 0, num_bytes })
}
