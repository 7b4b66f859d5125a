//! A video as a file to deliver, with the positions of the frames that are shown of it, so that a trainer decodes exactly these.
//!
//! ```text
//! frames of the source ─ decode ─▶ digests ┐
//! part ─ cut_video ─▶ a file ─ decode ─▶ digests ┴─ equal ─▶ the cut, otherwise the whole file
//! ```
//!
//! The frames of the source are decoded once, which also finds missing and damaged ones. In a damaged file, frames cannot be
//! counted reliably, so its frames are delivered as images.
//!
//! A file that readers do not all see alike is rejected: most ignore that it is turned for display, take its first video
//! stream, and stop at what their decoder refuses.
//!
//! **Invariant:** a reader that decodes a delivered file from its start and counts frames in order of presentation finds, at the
//! stated positions, the very frames that were counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use ffmpeg_next::frame;
use manyframe_core::{ClipFile, ClipFormat, ClipFrames, Digest, RejectCode, SampleClip};

use super::collect::{Collected, KeptPass};
use super::convert::FrameConverter;
use super::cut::{CutVideo, Uncut, cut_video};
use super::decoded::{DeliveredClip, FrameDigest, FrameKeeper, Pass};
use super::index::{Identity, VideoIndex, index_video};
use super::input::{ByteSource, VideoInput, open_bytes};
use super::orientation::Orientation;
use super::plain::several_sizes;
use super::visit::{ContainerVideo, digest_of};
use crate::damage::FrameDamage;
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::pixels::RgbImage;

/// Largest file that is delivered, whatever the limits are: a sample is in memory, and a row of a table has at most twice as many
/// bytes.
const MAX_CLIP_BYTES: u64 = 512 << 20;

/// Frames of a video to deliver as a file.
#[derive(Debug, Clone, Copy)]
pub struct ClipRequest<'i> {
    /// The index of the video.
    pub index: &'i VideoIndex,
    /// The first and one past the last frame of the part that the record is about.
    pub part: (usize, usize),
    /// Positions in the index of the frames that are shown, ascending; one may be there several times. All are in the part.
    pub positions: &'i [usize],
}

impl ClipRequest<'_> {
    fn is_whole(&self) -> bool {
        self.part == (0, self.index.num_frames())
    }
}

/// Whether a video can be delivered as a file, as far as that is known before its frames are decoded.
///
/// # Errors
/// The rejection `unsupported_media` if it is turned for display: most readers show it as it is stored.
pub fn may_be_clip(input: &VideoInput, request: ClipRequest<'_>, limits: &MediaLimits) -> Result<bool, MediaError> {
    let VideoInput::Container(source) = input else { return Ok(false) };
    let is_small = source.num_bytes <= most_bytes(limits) || !request.is_whole();
    if !is_small || !request.index.known_damage(request.positions).is_none() {
        return Ok(false);
    }
    if request.index.orientation != Orientation::UPRIGHT {
        return Err(unfit("its frames are turned or mirrored for display, which readers such as PyAV ignore"));
    }
    Ok(true)
}

/// The rejection of a video that has frames to deliver, but is no file that all readers see alike.
fn unfit(reason: impl Display) -> MediaError {
    let detail =
        format!("no file that all readers see alike: {reason}; with video.deliver = \"frames\" it is delivered");
    MediaError::rejected(RejectCode::UnsupportedMedia, detail)
}

fn most_bytes(limits: &MediaLimits) -> u64 {
    limits.max_bytes.min(MAX_CLIP_BYTES)
}

/// The file to deliver of a video. `None` if its frames have to be delivered as images instead.
///
/// A part of a video is cut out of its file where that gives the same frames, and so is a stream that another one precedes.
///
/// # Errors
/// The rejections of decoding; `unsupported_media` for a file that readers do not all see alike; or [`MediaError::Storage`].
pub fn deliver_clip(
    input: &VideoInput,
    request: ClipRequest<'_>,
    limits: &MediaLimits,
    keeper: &mut dyn FrameKeeper,
) -> Result<Option<DeliveredClip>, MediaError> {
    let ClipRequest { index, positions, .. } = request;
    let VideoInput::Container(source) = input else { return Ok(None) };
    if !may_be_clip(input, request, limits)? {
        return Ok(None);
    }
    let video = ContainerVideo { source, index, max_pixels: limits.max_pixels };
    let (digests, damage) = digests_of(&video, positions, KeptPass { pass: Pass::Digests, keeper })?;
    if !damage.is_none() {
        return Ok(None);
    }
    let mut uncut_because = None;
    if !request.is_whole() || index.is_preceded {
        let expected = Expected { request, digests: &digests, limits };
        match expected.cut_clip(&video, keeper)? {
            Ok(cut) => return Ok(Some(cut)),
            Err(reason) => uncut_because = Some(reason),
        }
    }
    if let Some(reason) = uncut_because.as_ref().filter(|_| index.is_preceded) {
        return Err(unfit(format!(
            "another video stream comes first, and the one that is shown cannot be cut out: {reason}"
        )));
    }
    if source.num_bytes > most_bytes(limits) {
        return Ok(None);
    }
    check_plain_reading(&video, &digests, keeper)?;
    Ok(Some(whole_clip(source, request, uncut_because)?))
}

/// The whole file.
fn whole_clip(
    source: &ByteSource,
    ClipRequest { index, positions, .. }: ClipRequest<'_>,
    uncut_because: Option<Uncut>,
) -> Result<DeliveredClip, MediaError> {
    let frames = ClipFrames {
        frame_indices: positions.iter().map(|&position| number(position)).collect(),
        num_frames: number(index.num_frames()),
        fps: index.fps(),
        file: ClipFile::Whole,
        uncut_because,
    };
    let clip = SampleClip { bytes: source.read_all()?, format: index.container };
    Ok(DeliveredClip { clip, frames })
}

/// Reads a file as others do that only count frames: where no table says where each frame is, they do not get through each.
fn check_plain_reading(
    video: &ContainerVideo<'_>,
    digests: &FrameDigests,
    keeper: &mut dyn FrameKeeper,
) -> Result<(), MediaError> {
    let index = video.index;
    let has_tables = matches!(index.container, ClipFormat::Mp4 | ClipFormat::Matroska | ClipFormat::Avi);
    if has_tables && index.identity == Identity::Packet {
        return Ok(());
    }
    let wanted: Vec<usize> = digests.keys().copied().collect();
    let read = video.read_plainly(&wanted, KeptPass { pass: Pass::Count, keeper })?.map_err(unfit)?;
    let is_same = |frame: &&FrameDigest| digests.get(&frame.index) == Some(&frame.digest);
    if read.iter().filter(is_same).count() < digests.len() {
        return Err(unfit("a reader that counts frames decodes others"));
    }
    Ok(())
}

/// Frames that a cut has to show.
struct Expected<'e> {
    request: ClipRequest<'e>,
    digests: &'e FrameDigests,
    limits: &'e MediaLimits,
}

impl Expected<'_> {
    /// Cuts the part out of its file, and decodes the cut from its start: a frame that differs is a reason not to deliver it.
    fn cut_clip(
        &self,
        video: &ContainerVideo<'_>,
        keeper: &mut dyn FrameKeeper,
    ) -> Result<Result<DeliveredClip, Uncut>, MediaError> {
        let &Self { request, digests, limits } = self;
        let ClipRequest { index, part, positions } = request;
        let CutVideo { bytes, first_packet } = match cut_video(video.source, index, &(part.0..part.1))? {
            Ok(cut) => cut,
            Err(reason) => return Ok(Err(reason)),
        };
        if bytes.len() as u64 > most_bytes(limits) {
            return Ok(Err("the cut has more bytes than are allowed".to_owned()));
        }
        let input = open_bytes(&bytes)?;
        let VideoInput::Container(source) = &input else { return Ok(Err("the cut is no file".to_owned())) };
        let mut of_cut = match index_video(&input, limits, None) {
            Ok(of_cut) => of_cut,
            Err(MediaError::Rejected(rejection)) => return Ok(Err(format!("the cut cannot be read: {rejection}"))),
            Err(storage) => return Err(storage),
        };
        if of_cut.orientation != index.orientation {
            return Ok(Err("the cut would not be turned as its source is".to_owned()));
        }
        let Some(places) = places_in_cut(request, &of_cut, first_packet) else {
            return Ok(Err("the cut lacks frames that are shown".to_owned()));
        };
        // Whoever reads the cut counts frames.
        of_cut.identity = Identity::Order;
        let again = ContainerVideo { source, index: &of_cut, max_pixels: limits.max_pixels };
        let (cut_digests, damage) = digests_of(&again, &places, KeptPass { pass: Pass::Cut, keeper })?;
        let is_same =
            |(place, position)| cut_digests.get(place).is_some_and(|digest| digests.get(position) == Some(digest));
        if !damage.is_none() || !places.iter().zip(positions).all(is_same) {
            return Ok(Err("other frames are decoded from the cut".to_owned()));
        }
        let frames = ClipFrames {
            frame_indices: places.into_iter().map(number).collect(),
            num_frames: number(of_cut.num_frames()),
            fps: index.fps(),
            file: ClipFile::Cut,
            uncut_because: None,
        };
        let clip = SampleClip { bytes, format: of_cut.container };
        Ok(Ok(DeliveredClip { clip, frames }))
    }
}

/// Where the frames are in a cut that begins with a packet of the source: each is known by its packet.
fn places_in_cut(request: ClipRequest<'_>, of_cut: &VideoIndex, first_packet: usize) -> Option<Vec<usize>> {
    let frames = of_cut.frames.iter().enumerate();
    let by_packet: BTreeMap<usize, usize> =
        frames.map(|(position, frame)| (first_packet + frame.packet, position)).collect();
    let place = |&position: &usize| by_packet.get(&request.index.frames.get(position)?.packet).copied();
    request.positions.iter().map(place).collect()
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
    let video = ContainerVideo { source, index: &index, max_pixels: limits.max_pixels };
    let pass = KeptPass { pass: Pass::Digests, keeper: &mut () };
    let (_, damage) = digests_of(&video, &positions, pass)?;
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
    video.visit_frames(&positions, None, &mut |position: usize, frame: &frame::Video| {
        let image = converter.rgb(frame).map_err(|error| {
            MediaError::rejected(RejectCode::MediaCorrupt, format!("frame {position} cannot be converted: {error}"))
        })?;
        decoded.insert(position, image);
        Ok(())
    })?;
    let image = |&index: &u32| decoded.get(&(index as usize)).cloned().ok_or_else(|| missing(index));
    frames.frame_indices.iter().map(image).collect()
}

/// Frames by their position, each with a digest of its pixels.
type FrameDigests = BTreeMap<usize, Digest>;

/// Decodes frames, and finds what is missing or damaged. Those that are known by their order are decoded from the start.
fn digests_of(
    video: &ContainerVideo<'_>,
    positions: &[usize],
    pass: KeptPass<'_, FrameDigest>,
) -> Result<(FrameDigests, FrameDamage), MediaError> {
    let wanted = ascending(positions);
    let Collected { items, visited } =
        video.collect(&wanted, pass, &mut |position, frame| Ok(digest_of(position, frame)))?;
    let sizes: BTreeSet<(u32, u32)> = items.iter().map(|frame| (frame.width_px, frame.height_px)).collect();
    if sizes.len() > 1 {
        return Err(unfit(several_sizes(&sizes)));
    }
    let num_missing = wanted.len().saturating_sub(items.len());
    let damage = FrameDamage { num_missing, num_damaged: visited.num_damaged, ..video.index.known_damage(&wanted) };
    Ok((items.into_iter().map(|frame| (frame.index, frame.digest)).collect(), damage))
}

/// Each position once, in ascending order.
fn ascending(positions: &[usize]) -> Vec<usize> {
    positions.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}
