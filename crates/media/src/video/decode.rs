//! Decoding the wanted frames of a video.

use ffmpeg_next::frame;
use manyframe_core::SampleImage;

use super::convert::FrameConverter;
use super::decoding::{Decoding, RunEnd};
use super::index::VideoIndex;
use super::source::ByteSource;
use super::{VideoInput, no_frames, stills};
use crate::{ImagePolicy, MediaError};

/// A decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoFrame {
    /// Its position in the index.
    pub index: usize,
    /// When it is shown, in seconds from the first frame.
    pub time_s: f64,
    /// The frame as a JPEG, upright, scaled as the policy asks.
    pub image: SampleImage,
}

/// Decodes the wanted frames, given as positions in the index, and encodes them.
///
/// They come in the order of presentation, each once. A frame that does not exist or cannot be decoded is left out; if
/// none is left, that is a reject ([`manyframe_core::RejectCode::NoFrames`]).
pub fn decode_frames(
    input: &VideoInput<'_>,
    index: &VideoIndex,
    wanted: &[usize],
    policy: &ImagePolicy,
) -> Result<Vec<VideoFrame>, MediaError> {
    let mut wanted: Vec<usize> = wanted.iter().copied().filter(|&frame| frame < index.num_frames()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let source = match input {
        VideoInput::Container(file) => &file.0,
        VideoInput::Frames { store, frames } => return stills::read_frames(store, frames, index, &wanted, policy),
    };
    let mut converter = FrameConverter::new(index.orientation);
    let mut frames = Vec::with_capacity(wanted.len());
    visit_frames(source, index, &wanted, policy.limits.max_pixels, &mut |position, frame| {
        let image = converter.encode(frame, policy)?;
        frames.push(VideoFrame { index: position, time_s: index.time_s(position), image });
        Ok(())
    })?;
    if frames.is_empty() {
        return Err(no_frames(wanted.len(), None));
    }
    frames.sort_by_key(|frame| frame.index);
    Ok(frames)
}

/// What is done with a decoded frame; the number is its position in the index.
pub(super) type Visit<'v> = dyn FnMut(usize, &frame::Video) -> Result<(), MediaError> + 'v;

/// Decodes the wanted frames (ascending) and visits each once, in whatever order they are reached. Gives the number of
/// packets that were decoded for it.
pub(super) fn visit_frames(
    source: &ByteSource,
    index: &VideoIndex,
    wanted: &[usize],
    max_pixels: u64,
    visit: &mut Visit<'_>,
) -> Result<usize, MediaError> {
    let mut decoding = Decoding::open(source, index, wanted.to_vec(), max_pixels)?;
    let mut num_packets = 0;
    if decoding.can_be_economical() {
        let end = decoding.decode_economically(visit)?;
        if end == RunEnd::Trusted {
            return Ok(decoding.num_packets());
        }
        num_packets = decoding.num_packets();
        decoding = Decoding::open(source, index, decoding.into_missing(), max_pixels)?;
    }
    decoding.decode_plainly(visit)?;
    Ok(num_packets + decoding.num_packets())
}
