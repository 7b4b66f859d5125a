//! Which bytes a video is.

use crate::identity::MediaIdentity;

/// The bytes of a video: those of a medium, or of a part of a file.
#[derive(Debug, Clone, Copy)]
pub struct VideoVersion {
    /// The identity of the medium, or of the file that it is a part of.
    pub identity: MediaIdentity,
    /// First byte in that file.
    pub offset: u64,
    /// Size in bytes.
    pub num_bytes: u64,
}
