//! A video as a file to deliver, with the positions of the frames that are shown of it, so that a trainer decodes exactly these.
//!
//! The frames of the source are decoded once, which finds what is missing or damaged: nobody can count frames in such a file, and
//! their images are delivered in its place.
//!
//! **Invariant:** a reader that decodes a delivered file from its start and counts frames in order of presentation finds, at the
//! stated positions, the very frames that were counted.

use std::collections::{BTreeMap, BTreeSet};

use manyframe_core::{ClipFile, ClipFrames, RejectCode, SampleClip};

use super::convert::FrameConverter;
use super::decode::{ContainerVideo, FrameSelection};
use super::index::index_video;
use super::input::{ByteSource, VideoInput, open_bytes};
use crate::damage::FrameDamage;
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::pixels::RgbImage;

/// Largest file that is delivered, whatever the limits are: a sample is in memory, and a row of a table has at most twice as many
/// bytes.
const MAX_CLIP_BYTES: u64 = 512 << 20;

/// A video file to deliver.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveredClip {
    /// The file.
    pub clip: SampleClip,
    /// Where the frames are in it.
    pub frames: ClipFrames,
}

/// Whether a file may stand for a video of which these frames are shown, as far as is known without decoding any.
pub fn may_be_clip(input: &VideoInput, selection: FrameSelection<'_>, limits: &MediaLimits) -> bool {
    let VideoInput::Container(source) = input else { return false };
    let most_bytes = limits.max_bytes.min(MAX_CLIP_BYTES);
    source.num_bytes <= most_bytes && selection.index.known_damage(selection.positions).is_none()
}

/// The file to deliver of a video of which these frames are shown; `None` if no file can stand for them, and images have to.
///
/// The positions are ascending; one may be there several times.
///
/// # Errors
/// The rejections of decoding, or [`MediaError::Storage`].
pub fn deliver_clip(
    input: &VideoInput,
    selection: FrameSelection<'_>,
    limits: &MediaLimits,
) -> Result<Option<DeliveredClip>, MediaError> {
    let FrameSelection { index, positions } = selection;
    let VideoInput::Container(source) = input else { return Ok(None) };
    if !may_be_clip(input, selection, limits) || !damage_of(source, selection, limits)?.is_none() {
        return Ok(None);
    }
    let frames = ClipFrames {
        frame_indices: positions.iter().map(|&position| number(position)).collect(),
        num_frames: number(index.num_frames()),
        fps: index.fps(),
        file: ClipFile::Whole,
        uncut_because: None,
    };
    let clip = SampleClip { bytes: source.read_all()?, format: index.container };
    Ok(Some(DeliveredClip { clip, frames }))
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Checks a delivered file: it has as many frames as stated, and each that is shown can be decoded. Returns width and height in
/// pixels of its frames, as shown.
///
/// # Errors
/// What is wrong with it, as a rejection, or [`MediaError::Storage`].
pub fn check_clip(clip: &SampleClip, frames: &ClipFrames, limits: &MediaLimits) -> Result<(u32, u32), MediaError> {
    let input = open_bytes(&clip.bytes)?;
    let index = index_video(&input, limits, None)?;
    let wrong = |detail: String| Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    if index.container != clip.format {
        return wrong(format!("the file is {:?}, {:?} stated", index.container, clip.format));
    }
    if index.num_frames() != frames.num_frames as usize {
        return wrong(format!("{} frames, {} stated", index.num_frames(), frames.num_frames));
    }
    let positions: Vec<usize> = frames.frame_indices.iter().map(|&index| index as usize).collect();
    if let Some(beyond) = positions.iter().find(|&&position| position >= index.num_frames()) {
        return wrong(format!("frame {beyond} is beyond the last of {}", index.num_frames()));
    }
    let VideoInput::Container(source) = &input else { return wrong("the file is a directory".to_owned()) };
    let damage = damage_of(source, FrameSelection { index: &index, positions: &positions }, limits)?;
    if damage.is_none() { Ok((index.width_px, index.height_px)) } else { wrong(damage.to_string()) }
}

/// The frames of a delivered file that are shown, upright, one for each position.
///
/// # Errors
/// A rejection if one of them cannot be decoded, or [`MediaError::Storage`].
pub fn decode_clip(clip: &SampleClip, frames: &ClipFrames, limits: &MediaLimits) -> Result<Vec<RgbImage>, MediaError> {
    let input = open_bytes(&clip.bytes)?;
    let index = index_video(&input, limits, None)?;
    let missing = |index: u32| MediaError::rejected(RejectCode::NoFrames, format!("frame {index} cannot be decoded"));
    let VideoInput::Container(source) = &input else { return Err(missing(0)) };
    let positions: BTreeSet<usize> = frames.frame_indices.iter().map(|&index| index as usize).collect();
    let positions: Vec<usize> = positions.range(..index.num_frames()).copied().collect();
    let mut converter = FrameConverter::new(index.orientation);
    let mut decoded: BTreeMap<usize, RgbImage> = BTreeMap::new();
    let video = ContainerVideo { source, index: &index, max_pixels: limits.max_pixels };
    video.visit_frames(&positions, &mut |position, frame, _| {
        let image = converter.rgb(frame).map_err(|error| {
            MediaError::rejected(RejectCode::MediaCorrupt, format!("frame {position} cannot be converted: {error}"))
        })?;
        decoded.insert(position, image);
        Ok(())
    })?;
    let image = |&index: &u32| decoded.get(&(index as usize)).cloned().ok_or_else(|| missing(index));
    frames.frame_indices.iter().map(image).collect()
}

/// Decodes frames to find what is missing or damaged.
fn damage_of(
    source: &ByteSource,
    selection: FrameSelection<'_>,
    limits: &MediaLimits,
) -> Result<FrameDamage, MediaError> {
    let FrameSelection { index, positions } = selection;
    let wanted: Vec<usize> = positions.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let video = ContainerVideo { source, index, max_pixels: limits.max_pixels };
    let mut num_visited = 0;
    let visited = video.visit_frames(&wanted, &mut |_, _, _| {
        num_visited += 1;
        Ok(())
    })?;
    let num_missing = wanted.len().saturating_sub(num_visited);
    Ok(FrameDamage { num_missing, num_damaged: visited.num_damaged, ..index.known_damage(&wanted) })
}
