//! The identity of a medium: what differs once it has been replaced, completed or repaired. Nothing is opened or read.
//!
//! | a medium | is identified by |
//! |---|---|
//! | object of a store | size, and its version: the tag that the store gives it, or when it was written |
//! | file | size, and the times when its bytes and its entry in the file system changed |
//! | member of a zip | the same of the archive; size and CRC of the member |
//! | member of a tar | the same of the archive; offset and size of the member |
//! | directory of frames | names and identities of its frames |
//!
//! The second time is there because the first is what a program says that it is: whoever unpacks an archive, copies with `cp -p`
//! or lets two files change places may put another photo of the same size and time under a name. No path is part of it. Times
//! are specific to a machine, so that no identity may reach a dataset.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use manyframe_base::{FileAccess, ObjectState, url_of};
use manyframe_core::Digest;

use crate::error::MediaError;

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
            None => path.metadata().map(|metadata| Self::of_metadata(&metadata)),
        };
        identity.map_err(|source| MediaError::storage(path, source))
    }

    pub(crate) fn of_object(state: &ObjectState) -> Self {
        Self::of_parts("object", [state.num_bytes, Digest::of(state.version.as_bytes()).first_bits()])
    }

    pub(crate) fn of_metadata(metadata: &Metadata) -> Self {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        Self::of_parts("file", std::iter::once(metadata.len()).chain(times.map(i64::cast_unsigned)))
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
