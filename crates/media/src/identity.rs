//! The identity of a medium: what differs once it has been replaced, completed or repaired. Nothing is opened or read.
//!
//! | a medium | is identified by |
//! |---|---|
//! | object of a store | size, and its version: the tag that the store gives it, or when it was written |
//! | file | size, and the times when its bytes and its entry in the file system changed; its inode, where it keeps that |
//! | member of a zip | the same of the archive; size and CRC of the member |
//! | member of a tar | the same of the archive; offset and size of the member |
//! | directory of frames | names and identities of its frames |
//!
//! The second time is there because the first is what a program says that it is: whoever unpacks an archive, copies with `cp -p`
//! or lets two files change places may put another photo of the same size and time under a name. Where two directories change
//! places, not even that differs, if files were written in one tick of the clock; their inodes do. Not all file systems keep
//! inodes: FUSE (buckets as directories, `sshfs`), CIFS and FAT give files new numbers at each mount, and all media would look
//! changed. Device numbers are no part of it, because many change with each mount. No path is part of it, either. All
//! of it is specific to a machine, so that no identity may reach a dataset.

use std::cell::Cell;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use manyframe_base::{FileAccess, ObjectState, url_of};
use manyframe_core::Digest;

use crate::error::MediaError;

/// File systems that number a file once and for all, by the magic numbers that `statfs(2)` lists.
const KEEPING_INODES: [u64; 13] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x2fc1_2fc1, // ZFS
    0xf2f5_2010, // F2FS
    0xca45_1a4e, // bcachefs
    0x5265_4973, // ReiserFS
    0x0102_1994, // tmpfs
    0x794c_7630, // overlayfs, which shows those of the layer below
    0x6969,      // NFS, which shows those of the server
    0x0bd0_0bd0, // Lustre
    0x00c3_6400, // Ceph
    0x4750_4653, // GPFS
];

thread_local! {
    /// The device that this thread asked about last, and whether it keeps inodes: asking costs a message on a network disk.
    static LAST_DEVICE: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
}

/// Whether the file system of a path, which is on this device, keeps the inodes of its files.
fn keeps_inodes(path: &Path, device: u64) -> bool {
    if let Some((_, keeps)) = LAST_DEVICE.get().filter(|(last, _)| *last == device) {
        return keeps;
    }
    let kind = rustix::fs::statfs(path).ok().and_then(|statfs| u64::try_from(statfs.f_type).ok());
    let keeps = kind.is_some_and(|kind| KEEPING_INODES.contains(&kind));
    LAST_DEVICE.set(Some((device, keeps)));
    keeps
}

/// Equal for media that are the same, and different for media that were changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaIdentity(pub u64);

impl MediaIdentity {
    /// Of a medium that cannot be found; no identity that was found is equal to it, other than by chance.
    pub const UNKNOWN: Self = Self(0);

    /// The identity of any file or object, such as one with annotations or a Parquet file with images.
    ///
    /// # Errors
    ///
    /// [`MediaError::Storage`] if it is gone or cannot be inspected.
    pub fn of_file(access: &FileAccess, path: &Path) -> Result<Self, MediaError> {
        let identity = match url_of(path) {
            Some(url) => access.object(url).map(|state| Self::of_object(&state)),
            None => path.metadata().map(|metadata| Self::of_metadata(path, &metadata)),
        };
        identity.map_err(|source| MediaError::storage(path, source))
    }

    pub(crate) fn of_object(state: &ObjectState) -> Self {
        Self::of_parts("object", [state.num_bytes, Digest::of(state.version.as_bytes()).first_bits()])
    }

    /// Of the file at a path, which these are the metadata of.
    pub(crate) fn of_metadata(path: &Path, metadata: &Metadata) -> Self {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        let inode = if keeps_inodes(path, metadata.dev()) { metadata.ino() } else { 0 };
        Self::of_parts("file", [metadata.len(), inode].into_iter().chain(times.map(i64::cast_unsigned)))
    }

    /// The identity of something that consists of these numbers; `kind` keeps kinds of things apart.
    pub(crate) fn of_parts(kind: &str, numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut bytes = kind.as_bytes().to_vec();
        numbers.into_iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        Self(Digest::of(&bytes).first_bits())
    }

    /// The identity of a directory of frames, in order.
    pub(crate) fn of_frames<'a>(frames: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let numbers = frames.into_iter().flat_map(|(name, frame)| [Digest::of(name.as_bytes()).first_bits(), frame.0]);
        Self::of_parts("frames", numbers)
    }
}
