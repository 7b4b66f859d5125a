//! A directory of images as a video: each file is a frame, in natural order of the names.

use manyframe_core::{RejectCode, Rejection};

use super::index::{Clock, FrameEntry, Identity, VideoIndex};
use super::rate::FrameRate;
use super::rotate::Orientation;
use super::{VideoFrame, no_frames};
use crate::{ImagePolicy, Located, MediaError, MediaLimits, MediaStore, prepare_image};

/// The index of a directory of frames, shown at `fps`. Its size is that of the first image whose header can be read.
pub(super) fn index_frames(
    store: &MediaStore,
    frames: &[Located],
    limits: &MediaLimits,
    fps: f64,
) -> Result<VideoIndex, MediaError> {
    let mut reason = "a directory without files".to_owned();
    for frame in frames {
        let header = match store.probe_image(frame, limits) {
            Ok(header) => header,
            Err(MediaError::Rejected(Rejection { detail, .. })) => {
                reason = format!("a directory of {} files without an image: {detail}", frames.len());
                continue;
            }
            Err(error) => return Err(error),
        };
        let entry = |(pts, packet)| FrameEntry { pts, is_key: true, packet };
        return Ok(VideoIndex {
            width_px: header.width_px,
            height_px: header.height_px,
            frames: (0..).zip(0..frames.len()).map(entry).collect(),
            rate: FrameRate::Constant,
            fps,
            clock: Clock::Even { fps },
            last_frame_s: 1.0 / fps,
            orientation: Orientation::UPRIGHT,
            packets: Vec::new(),
            identity: Identity::Order,
        });
    }
    Err(MediaError::rejected(RejectCode::NoFrames, reason))
}

/// The wanted images, prepared as any other image is. Those that cannot be decoded are left out.
pub(super) fn read_frames(
    store: &MediaStore,
    frames: &[Located],
    index: &VideoIndex,
    wanted: &[usize],
    policy: &ImagePolicy,
) -> Result<Vec<VideoFrame>, MediaError> {
    let mut read = Vec::with_capacity(wanted.len());
    let mut reason = None;
    for &position in wanted {
        let Some(frame) = frames.get(position) else { continue };
        let image = store.read(frame, policy.limits.max_bytes).and_then(|bytes| prepare_image(bytes, policy));
        match image {
            Ok(image) => read.push(VideoFrame { index: position, time_s: index.time_s(position), image }),
            Err(MediaError::Rejected(Rejection { detail, .. })) => reason = reason.or(Some(detail)),
            Err(error) => return Err(error),
        }
    }
    if read.is_empty() { Err(no_frames(wanted.len(), reason.as_deref())) } else { Ok(read) }
}
