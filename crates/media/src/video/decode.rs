//! Decodes the wanted frames of a video, and encodes them.

use std::collections::BTreeSet;

use manyframe_base::in_flight::part_done;
use manyframe_core::{Handling, RejectCode, Rejection};

use super::collect::{Collected, KeptPass};
use super::convert::FrameConverter;
use super::decoded::{DecodedVideo, FrameKeeper, Pass, VideoFrame};
use super::index::VideoIndex;
use super::input::VideoInput;
use super::visit::ContainerVideo;
use crate::damage::FrameDamage;
use crate::error::MediaError;
use crate::located::Located;
use crate::policy::ImagePolicy;
use crate::prepare::{Prepared, prepare_image};

/// Frames to decode.
#[derive(Debug, Clone, Copy)]
pub struct FrameSelection<'i> {
    /// The index of their video.
    pub index: &'i VideoIndex,
    /// Their positions in the index, in any order. Positions beyond the end are ignored.
    pub positions: &'i [usize],
}

/// Decodes the selected frames that are not kept yet, and encodes them.
///
/// They are returned in presentation order, each once. Frames that cannot be decoded are left out, and counted.
///
/// # Errors
/// The rejections `no_frames` if none is left and `decoder_stalled`, or [`MediaError::Storage`].
pub fn decode_frames(
    input: &VideoInput,
    selection: FrameSelection<'_>,
    policy: &ImagePolicy,
    keeper: &mut dyn FrameKeeper,
) -> Result<DecodedVideo, MediaError> {
    let FrameSelection { index, positions } = selection;
    let mut wanted: Vec<usize> = positions.iter().copied().filter(|&frame| frame < index.num_frames()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let source = match input {
        VideoInput::Container(source) => source,
        VideoInput::Frames(frames) => {
            let pass: KeptPass<'_, VideoFrame> = KeptPass { pass: Pass::Frames, keeper };
            let frames = read_images(frames, FrameSelection { index, positions: &wanted }, policy, pass)?;
            let num_missing = wanted.len() - frames.len();
            let damage = FrameDamage { num_chosen: wanted.len(), num_missing, ..FrameDamage::default() };
            return Ok(DecodedVideo { frames, damage });
        }
    };
    let mut converter = FrameConverter::new(index.orientation);
    let video = ContainerVideo { source, index, max_pixels: policy.limits.max_pixels };
    let pass: KeptPass<'_, VideoFrame> = KeptPass { pass: Pass::Frames, keeper };
    let collected = video.collect(&wanted, pass, &mut |position, frame| {
        let image = converter.encode(frame, policy)?;
        Ok(VideoFrame { index: position, time_s: index.time_s(position), image, handling: Handling::Encoded })
    })?;
    let Collected { items: mut frames, visited } = collected;
    tracing::debug!(num_packets = visited.num_packets, num_frames = frames.len(), "video decoded");
    if frames.is_empty() {
        return Err(no_frames(wanted.len(), None));
    }
    frames.sort_by_key(|frame| frame.index);
    let num_missing = wanted.len() - frames.len();
    let damage = FrameDamage { num_missing, num_damaged: visited.num_damaged, ..index.known_damage(&wanted) };
    Ok(DecodedVideo { frames, damage })
}

/// Prepares the selected images of a directory like any other image. Those that cannot be decoded are left out.
#[expect(clippy::indexing_slicing, reason = "an index of a directory has one frame per image in it")]
fn read_images(
    frames: &[Option<Located>],
    selection: FrameSelection<'_>,
    policy: &ImagePolicy,
    KeptPass { pass, keeper }: KeptPass<'_, VideoFrame>,
) -> Result<Vec<VideoFrame>, MediaError> {
    let mut read = keeper.kept(pass).items;
    let mut reason = None;
    // Those that could not be decoded are tried again, so that the reason is the same.
    let there: BTreeSet<usize> = read.iter().map(|frame| frame.index).collect();
    for &position in selection.positions.iter().filter(|position| !there.contains(position)) {
        let Some(frame) = &frames[position] else { continue };
        let bytes = frame.read(policy.limits.max_bytes);
        match bytes.and_then(|bytes| prepare_image(bytes, policy)) {
            Ok(prepared) => {
                let Prepared { image, handling } = prepared;
                read.push(VideoFrame { index: position, time_s: selection.index.time_s(position), image, handling });
                part_done();
                keeper.keep(pass, &read, None);
            }
            Err(MediaError::Rejected(Rejection { detail, .. })) => reason = reason.or(Some(detail)),
            Err(error) => return Err(error),
        }
    }
    read.sort_by_key(|frame| frame.index);
    if read.is_empty() { Err(no_frames(selection.positions.len(), reason.as_deref())) } else { Ok(read) }
}

fn no_frames(num_wanted: usize, reason: Option<&str>) -> MediaError {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    MediaError::rejected(RejectCode::NoFrames, format!("none of {num_wanted} frames could be decoded{reason}"))
}
