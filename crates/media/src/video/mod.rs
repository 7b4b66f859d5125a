//! Videos: which frames there are, which of them to show, and decoding just those.
//!
//! ```text
//! Located ──open_input──▶ VideoInput ──index_video──▶ VideoIndex ──choose_frames──▶ positions ──decode_frames──▶ VideoFrame
//!                                      (no decoding)                                           (seeks where that is cheaper)
//! ```
//!
//! Containers go through FFmpeg's libraries, which read them through this crate: no path and no address inside of a file
//! is ever opened. A directory of images is a video too.
//!
//! **Invariant:** decoded pixels are those of decoding from the start, however they were reached.
//! **Invariant:** FFmpeg prints nothing.

mod boxes;
mod choose;
mod convert;
mod decode;
mod decoder;
mod decoding;
mod demux;
mod ffi;
mod index;
mod input;
mod packets;
mod rate;
mod rotate;
mod runs;
mod source;
mod stills;
#[cfg(test)]
mod testing;

pub use choose::{Sampling, choose_frames};
pub use decode::{VideoFrame, decode_frames};
pub use index::{FrameEntry, UNKNOWN_FPS, VideoIndex, index_video};
pub use input::{ContainerFile, VideoInput, open_input, open_range};
pub use rate::FrameRate;

use manyframe_core::RejectCode;

use crate::MediaError;

/// None of the wanted frames could be decoded.
fn no_frames(num_wanted: usize, reason: Option<&str>) -> MediaError {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    MediaError::rejected(RejectCode::NoFrames, format!("none of {num_wanted} frames could be decoded{reason}"))
}

#[cfg(test)]
mod tests;
