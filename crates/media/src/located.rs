//! A medium that was found: where its bytes are, without having read them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the bytes of a medium are. [`crate::MediaStore::locate`] makes them, so they lie inside of a root.
#[derive(Debug, Clone)]
pub enum Located {
    /// A file below a directory root, links resolved.
    File(PathBuf),
    /// Bytes of an archive that are stored as they are: a member of a tar, or an uncompressed member of a zip.
    Range {
        /// The archive.
        archive: Arc<ArchiveFile>,
        /// First byte of the member.
        offset: u64,
        /// Size of the member; it lies inside of the archive.
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
        /// Number of compressed bytes; they lie inside of the archive.
        num_compressed_bytes: u64,
        /// Size of the member as the archive claims it; more is never inflated.
        num_bytes: u64,
        /// CRC-32 of the member, checked when it is read.
        crc32: u32,
    },
    /// A directory of frames.
    Directory {
        /// The frames in natural order, `frame2` before `frame10`; none is a directory itself.
        frames: Vec<Located>,
    },
}

/// An open archive. Reading names a position each time, so that threads share it without a lock.
#[derive(Debug)]
pub struct ArchiveFile {
    pub(crate) path: PathBuf,
    pub(crate) handle: File,
    pub(crate) num_bytes: u64,
}

impl ArchiveFile {
    /// The file, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size when it was opened.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes
    }
}
