//! The frames of a video in presentation order, and their times. Pixels are decoded only where packets do not tell whether they
//! show a frame (`undecodable.rs`).
//!
//! Frame `i` of an index is the frame that FFmpeg's `select=eq(n\,i)` shows. A file may hold less than it claims: frames that
//! it should have are in the index, and decoding leaves them out.

use ffmpeg_next::codec::Id;
use ffmpeg_next::decoder;
use manyframe_core::{ClipFormat, RejectCode, Rejection};
use serde::{Deserialize, Serialize};

use super::absent::add_absent_packets;
use super::deadline::Deadline;
use super::demux::{ContainerFormat, Demuxer};
use super::input::{ByteSource, VideoInput};
use super::last_picture::is_last_picture_cut;
use super::orientation::Orientation;
use super::packet::VideoPacket;
use super::shown::packs_frames;
use super::timing::{Clock, Timestamps, Timing, UNKNOWN_FPS};
use super::undecodable::hide_undecodable;
use crate::damage::FrameDamage;
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::located::Located;

/// The packet of a frame that a directory of images does not have, though its numbers do.
const ABSENT: usize = usize::MAX;

/// A frame of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameEntry {
    /// When it is shown, in ticks of the container.
    pub(super) pts: i64,
    /// Position of its packet in decoding order.
    pub(super) packet: usize,
}

/// The frames of a video in presentation order.
///
/// # Invariants
/// * There is at least one frame.
/// * Every `FrameEntry::packet` is a position in `packets`, unless the frames are image files.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoIndex {
    /// Width of the frames in pixels as shown: rotation is applied, the pixel aspect ratio is not.
    pub width_px: u32,
    /// Height of the frames in pixels, as shown.
    pub height_px: u32,
    /// The container; that of a directory of images is `Other`.
    pub(super) container: ClipFormat,
    pub(super) frames: Vec<FrameEntry>,
    pub(super) timing: Timing,
    pub(super) orientation: Orientation,
    pub(super) packets: Vec<VideoPacket>,
    pub(super) identity: Identity,
    /// Frames at the start of the file that are left out, because they refer to frames before it.
    pub(super) num_left_out: usize,
    /// Whether parts of the file are missing or damaged, and nobody knows how many frames were in them.
    pub(super) is_incomplete: bool,
    /// Whether another video stream precedes that of these frames in their file.
    pub(super) is_preceded: bool,
}

/// How a decoded frame is found in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Identity {
    /// By its packet: the container says when it is shown, and no two frames share a time.
    Packet,
    /// By counting decoded frames: the container does not say when they are shown.
    Order,
}

/// Reads the index of a video.
///
/// `fps` times the frames of directories (default: 1) and of GIFs (default: their own delays). Containers with
/// timestamps ignore it.
///
/// # Errors
/// A rejection if there is no frame that could be decoded or a limit is exceeded, or [`MediaError::Storage`].
pub fn index_video(input: &VideoInput, limits: &MediaLimits, fps: Option<f64>) -> Result<VideoIndex, MediaError> {
    if let Some(fps) = fps.filter(|fps| !(fps.is_finite() && *fps > 0.0)) {
        let detail = format!("a video at {fps} frames per second, expected more than 0");
        return Err(MediaError::rejected(RejectCode::UnexpectedSchema, detail));
    }
    match input {
        VideoInput::Container(source) => index_container(source, limits, fps),
        VideoInput::Frames(frames) => index_images(frames, limits, fps.unwrap_or(UNKNOWN_FPS)),
    }
}

impl VideoIndex {
    /// Number of frames, at least 1.
    pub fn num_frames(&self) -> usize {
        self.frames.len()
    }

    /// What is known of these frames without decoding any: whether they are in the file, or it was cut short.
    pub fn known_damage(&self, frames: &[usize]) -> FrameDamage {
        let is_absent = |&&frame: &&usize| {
            self.frames.get(frame).is_some_and(|frame| {
                frame.packet == ABSENT || self.packets.get(frame.packet).is_some_and(|packet| packet.is_absent)
            })
        };
        let num_missing = frames.iter().filter(is_absent).count();
        let (num_chosen, num_left_out) = (frames.len(), self.num_left_out);
        FrameDamage { num_chosen, num_missing, num_left_out, num_damaged: 0, is_incomplete: self.is_incomplete }
    }

    /// When a frame is shown, in seconds from the first one. Beyond the last frame: the time of the last one.
    #[expect(clippy::indexing_slicing, reason = "there is a first frame, and positions end at the last one")]
    pub fn time_s(&self, frame: usize) -> f64 {
        let frame = frame.min(self.frames.len() - 1);
        match self.timing.clock {
            Clock::Even { fps } => frame as f64 / fps,
            Clock::Ticks { numerator, denominator } => {
                let ticks = i128::from(self.frames[frame].pts) - i128::from(self.frames[0].pts);
                (ticks * i128::from(numerator)) as f64 / f64::from(denominator)
            }
        }
    }

    /// The number of whole intervals between two frames, exactly. An interval is a fraction of a second. `None` where frames have
    /// no ticks, or numbers are too large.
    pub(super) fn num_intervals(&self, from: usize, to: usize, (seconds, parts): (i128, i128)) -> Option<u64> {
        let Clock::Ticks { numerator, denominator } = self.timing.clock else { return None };
        let ticks = i128::from(self.frames.get(to)?.pts) - i128::from(self.frames.get(from)?.pts);
        let passed = ticks.checked_mul(numerator.into())?.checked_mul(parts)?;
        u64::try_from(passed.checked_div(seconds.checked_mul(denominator.into())?)?).ok()
    }

    /// Average frames per second.
    pub fn fps(&self) -> f64 {
        self.timing.fps
    }

    /// Seconds from the start of the first frame to the end of the last one.
    pub fn duration_s(&self) -> f64 {
        self.time_s(usize::MAX) + self.timing.last_frame_s
    }
}

fn index_container(source: &ByteSource, limits: &MediaLimits, fps: Option<f64>) -> Result<VideoIndex, MediaError> {
    check_file_size(source, limits)?;
    let mut demuxer = Demuxer::open(source, Deadline::of_reading(source.num_bytes))?;
    let (width_px, height_px) = decodable_px(&demuxer)?;
    limits.check_dimensions(width_px, height_px)?;
    let orientation = demuxer.orientation();
    let mut packets = demuxer.scan_packets()?;
    let num_left_out = hide_undecodable(&demuxer, &mut packets, limits.max_pixels)?;
    let is_incomplete = is_last_picture_cut(&demuxer, &packets, limits.max_pixels)?;
    let is_incomplete = add_absent_packets(&demuxer, &mut packets)? || is_incomplete;
    let Presentation { frames, identity, is_timed } =
        Presentation::of(&packets, may_be_packed(&demuxer) || demuxer.has_times_of_decoding(&packets));
    if frames.is_empty() {
        let detail = format!("a video stream ({}) without frames", demuxer.codec().name());
        return Err(MediaError::rejected(RejectCode::NoFrames, detail));
    }
    let timing = match fps.filter(|_| demuxer.container() == ContainerFormat::Gif) {
        Some(fps) => Timing::even(fps),
        None if is_timed => timing_by_timestamps(&frames, &packets, &demuxer),
        None => Timing::even(demuxer.stated_fps().unwrap_or(UNKNOWN_FPS)),
    };
    let (width_px, height_px) = orientation.upright_px(width_px, height_px);
    let container = demuxer.clip_format();
    Ok(VideoIndex {
        width_px,
        height_px,
        container,
        frames,
        timing,
        orientation,
        packets,
        identity,
        num_left_out,
        is_incomplete,
        is_preceded: !demuxer.is_first_video(),
    })
}

/// Whether packets may hold frames of others.
fn may_be_packed(demuxer: &Demuxer) -> bool {
    demuxer.codec() == Id::MPEG4 && packs_frames(demuxer.extradata())
}

fn check_file_size(source: &ByteSource, limits: &MediaLimits) -> Result<(), MediaError> {
    if source.num_bytes == 0 {
        return Err(MediaError::rejected(RejectCode::MediaEmpty, "the file has no bytes"));
    }
    if source.num_bytes > limits.max_video_bytes {
        let detail = format!("a video of {} bytes, at most {} are allowed", source.num_bytes, limits.max_video_bytes);
        return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
    }
    Ok(())
}

/// Width and height of the frames as the container states them, if they can be decoded.
fn decodable_px(demuxer: &Demuxer) -> Result<(u32, u32), MediaError> {
    let codec = demuxer.codec();
    if decoder::find(codec).is_none() {
        let detail = format!("a video stream of a codec that cannot be decoded ({})", codec.name());
        return Err(MediaError::rejected(RejectCode::MediaType, detail));
    }
    let (width_px, height_px) = demuxer.stated_size_px();
    if width_px == 0 || height_px == 0 {
        let detail = format!("a video stream ({}) that does not state the size of its frames", codec.name());
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    Ok((width_px, height_px))
}

/// Timing of the frames of a container with timestamps.
#[expect(clippy::indexing_slicing, reason = "frames are made from the packets")]
fn timing_by_timestamps(frames: &[FrameEntry], packets: &[VideoPacket], demuxer: &Demuxer) -> Timing {
    let times: Vec<i64> = frames.iter().map(|frame| frame.pts).collect();
    let last_duration = frames.last().map_or(0, |frame| packets[frame.packet].duration);
    let time_base = demuxer.time_base();
    let time_base = (time_base.numerator(), time_base.denominator());
    Timing::of(&Timestamps { times: &times, time_base, last_duration }, demuxer.stated_fps())
}

/// The index of a directory of images. Its size is that of the first image whose header can be read.
fn index_images(frames: &[Option<Located>], limits: &MediaLimits, fps: f64) -> Result<VideoIndex, MediaError> {
    let mut reason = "a directory without files".to_owned();
    for frame in frames.iter().flatten() {
        match frame.probe_image(limits) {
            Ok(header) => {
                let entry = |(pts, (packet, frame)): (i64, (usize, &Option<Located>))| FrameEntry {
                    pts,
                    packet: if frame.is_some() { packet } else { ABSENT },
                };
                return Ok(VideoIndex {
                    width_px: header.width_px,
                    height_px: header.height_px,
                    container: ClipFormat::Other,
                    frames: (0..).zip(frames.iter().enumerate()).map(entry).collect(),
                    timing: Timing::even(fps),
                    orientation: Orientation::UPRIGHT,
                    packets: Vec::new(),
                    identity: Identity::Order,
                    num_left_out: 0,
                    is_incomplete: false,
                    is_preceded: false,
                });
            }
            Err(MediaError::Rejected(Rejection { detail, .. })) => {
                let num_files = frames.iter().flatten().count();
                reason = format!("a directory of {num_files} files without an image: {detail}");
            }
            Err(error) => return Err(error),
        }
    }
    Err(MediaError::rejected(RejectCode::NoFrames, reason))
}

/// The frames of a stream in presentation order.
struct Presentation {
    frames: Vec<FrameEntry>,
    /// How to find a decoded frame among them.
    identity: Identity,
    /// Whether their times are known; if not, the time of each is its position.
    is_timed: bool,
}

impl Presentation {
    /// Where packets do not tell when their own frames are shown, only the order of frames is certain.
    fn of(packets: &[VideoPacket], has_wrong_times: bool) -> Self {
        let shown = || packets.iter().enumerate().filter(|(_, packet)| packet.is_shown);
        let entry = |(packet, _): (usize, &VideoPacket), pts| FrameEntry { pts, packet };
        let with_pts: Option<Vec<FrameEntry>> = shown().map(|shown| shown.1.pts.map(|pts| entry(shown, pts))).collect();
        if let Some(mut frames) = with_pts.filter(|_| !has_wrong_times) {
            frames.sort_by_key(|frame| frame.pts);
            if frames.is_sorted_by(|a, b| a.pts < b.pts) {
                return Self { frames, identity: Identity::Packet, is_timed: true };
            }
        }
        // The n-th frame to be shown follows the n-th to be decoded after a constant time.
        let dts: Option<Vec<i64>> = shown().map(|(_, packet)| packet.dts).collect();
        let dts = dts.filter(|times| times.is_sorted_by(|a, b| a < b));
        let is_timed = dts.is_some();
        let times = dts.unwrap_or_else(|| (0..).take(shown().count()).collect());
        let frames = shown().zip(times).map(|(shown, time)| entry(shown, time)).collect();
        Self { frames, identity: Identity::Order, is_timed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pts: Option<i64>, dts: i64) -> VideoPacket {
        VideoPacket { pts, dts: Some(dts), duration: 1, is_shown: true, ..VideoPacket::default() }
    }

    fn pts(presentation: &Presentation) -> Vec<i64> {
        presentation.frames.iter().map(|frame| frame.pts).collect()
    }

    #[test]
    fn frames_are_in_presentation_order() {
        let packets = [packet(Some(0), 0), packet(Some(3), 1), packet(Some(1), 2), packet(Some(2), 3)];
        let presentation = Presentation::of(&packets, false);
        assert_eq!((pts(&presentation), presentation.identity), (vec![0, 1, 2, 3], Identity::Packet));
        assert_eq!(presentation.frames.iter().map(|frame| frame.packet).collect::<Vec<_>>(), [0, 2, 3, 1]);
    }

    #[test]
    fn packets_that_show_nothing_are_not_frames() {
        let hidden = VideoPacket { is_shown: false, ..packet(Some(1), 1) };
        assert_eq!(pts(&Presentation::of(&[packet(Some(0), 0), hidden, packet(Some(2), 2)], false)), [0, 2]);
    }

    #[test]
    fn without_times_of_their_own_frames_are_counted() {
        let some_missing = Presentation::of(&[packet(Some(0), 10), packet(None, 20), packet(Some(2), 30)], false);
        assert_eq!((pts(&some_missing), some_missing.identity), (vec![10, 20, 30], Identity::Order));
        let equal = Presentation::of(&[packet(Some(7), 10), packet(Some(7), 20)], false);
        assert_eq!((pts(&equal), equal.identity), (vec![10, 20], Identity::Order));
        let packed = Presentation::of(&[packet(Some(10), 10), packet(Some(20), 20)], true);
        assert_eq!(packed.identity, Identity::Order);
        let untimed = Presentation::of(&[packet(None, 10), packet(None, 10)], false);
        assert_eq!((pts(&untimed), untimed.is_timed), (vec![0, 1], false));
    }
}
