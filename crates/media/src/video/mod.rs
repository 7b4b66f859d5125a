//! Videos: which frames there are, which of them to show, and decoding just those.
//!
//! ```text
//! Located ──open_input──▶ VideoInput ──index_video──▶ VideoIndex ──choose_frames──▶ positions ──decode_frames──▶ VideoFrame
//!                                      (no decoding)                                           (seeks where that is faster)
//! ```
//!
//! Containers are read by FFmpeg's libraries through this crate's own reader: FFmpeg never opens a path or an address named
//! inside a file. A directory of images is a video too.
//!
//! **Invariant:** decoded pixels are those of decoding from the start, however they were reached.
//! **Invariant:** FFmpeg prints nothing.
//!
//! Without the feature `video`, `disabled.rs` takes the place of this module, with the same public interface.

mod absent;
mod asf;
mod bits;
mod boxes;
mod breaks;
mod channels;
mod choose;
mod clip;
mod collect;
mod convert;
mod cut;
mod deadline;
mod decode;
mod decoded;
mod decoder;
mod demux;
mod ending;
mod ffi;
mod flv;
mod fragments;
mod gif_pixels;
mod h264;
mod hevc;
mod holes;
mod index;
mod index_bytes;
mod input;
mod kept;
mod last_picture;
mod ogg;
mod orientation;
mod packet;
mod plain;
mod planes;
mod program;
mod real_media;
mod references;
mod rgb;
mod runs;
mod shown;
mod still;
mod stretches;
mod sums;
mod tables;
mod timing;
mod transport;
mod undecodable;
mod units;
mod unreferenced;
mod version;
mod visit;
mod yuv;

pub use choose::choose_frames;
pub use clip::{ClipRequest, check_clip, decode_clip, deliver_clip, may_be_clip};
pub use decode::{FrameSelection, decode_frames};
pub use decoded::{Beginning, DecodedVideo, DeliveredClip, FrameDigest, FrameKeeper, Keeper, Kept, Pass, VideoFrame};
pub use index::{VideoIndex, index_video};
pub use input::{VideoInput, open_bytes, open_input, open_range};
pub use kept::KeptIndexes;
pub(crate) use still::decode_av1;
pub use version::VideoVersion;
pub(crate) use yuv::{YuvCanvas, YuvView, merge_rgb};

use crate::error::MediaError;

/// Whether this build can decode video.
pub const IS_ENABLED: bool = true;

/// Checks that this build can decode video, before a video is looked for: in a build without the feature, even a missing one
/// is rejected as `unsupported_media`.
///
/// # Errors
/// None in this build.
pub fn ensure_enabled() -> Result<(), MediaError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    //! Agreement with the `ffmpeg` program on clips that it makes, and behaviour on bad files.

    mod agreement;
    mod clips;
    mod damage;
    mod hostile;
    mod inputs;
    mod jpeg;
    mod kept;
    mod lost;
    mod streams;
}
