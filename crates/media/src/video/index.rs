//! What there is to see in a video: its frames in the order of presentation, and their times. No pixel is decoded.
//!
//! Frame `i` of an index is the frame that FFmpeg's `select=eq(n\,i)` shows. A file may hold less than its tables say;
//! what [`super::decode_frames`] cannot decode, it leaves out.

use ffmpeg_next::{Rational, decoder};
use manyframe_core::RejectCode;

use super::VideoInput;
use super::demux::{Container, Demuxer};
use super::packets::{PacketEntry, scan_packets};
use super::rate::{FrameRate, average_fps, frame_rate};
use super::rotate::Orientation;
use super::source::ByteSource;
use super::stills;
use crate::{MediaError, MediaLimits};

/// Frames per second of a directory of frames for which nobody knows it.
pub const UNKNOWN_FPS: f64 = 1.0;

/// A frame of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameEntry {
    /// When it is shown, in ticks of the container.
    pub pts: i64,
    /// Whether the container says that decoding can start here.
    pub is_key: bool,
    /// Its packet, in the order of decoding.
    pub(super) packet: usize,
}

/// The frames of a video, in the order of presentation.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoIndex {
    /// Width of the frames in pixels, as shown: rotation is applied, the aspect of pixels is not.
    pub width_px: u32,
    /// Height of the frames in pixels, as shown.
    pub height_px: u32,
    /// The frames. There is at least one.
    pub frames: Vec<FrameEntry>,
    /// Whether the frames come at even times.
    pub rate: FrameRate,
    pub(super) fps: f64,
    pub(super) clock: Clock,
    /// How long the last frame is shown, in seconds.
    pub(super) last_frame_s: f64,
    pub(super) orientation: Orientation,
    pub(super) packets: Vec<PacketEntry>,
    pub(super) identity: Identity,
}

/// What a frame's time comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clock {
    /// Timestamps: seconds per tick as a fraction.
    Ticks { numerator: i32, denominator: i32 },
    /// The frame's position, at this many frames per second.
    Even { fps: f64 },
}

/// How a decoded frame is found in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// By its presentation time: every frame has one of its own.
    Pts,
    /// By counting what the decoder gives: the container does not say when frames are shown.
    Order,
}

/// Reads the index of a video.
///
/// `fps` is for media that cannot say it: it times the frames of directories (without it [`UNKNOWN_FPS`]) and of GIFs
/// (without it their own delays count). Containers with timestamps ignore it.
pub fn index_video(input: &VideoInput<'_>, limits: &MediaLimits, fps: Option<f64>) -> Result<VideoIndex, MediaError> {
    if let Some(fps) = fps.filter(|fps| !(fps.is_finite() && *fps > 0.0)) {
        let detail = format!("a video at {fps} frames per second, expected more than 0");
        return Err(MediaError::rejected(RejectCode::UnexpectedSchema, detail));
    }
    match input {
        VideoInput::Container(file) => index_container(&file.0, limits, fps),
        VideoInput::Frames { store, frames } => stills::index_frames(store, frames, limits, fps.unwrap_or(UNKNOWN_FPS)),
    }
}

impl VideoIndex {
    /// Number of frames, at least 1.
    pub fn num_frames(&self) -> usize {
        self.frames.len()
    }

    /// When a frame is shown, in seconds from the first one. Beyond the last frame: the time of the last one.
    pub fn time_s(&self, frame: usize) -> f64 {
        let frame = frame.min(self.frames.len().saturating_sub(1));
        match self.clock {
            Clock::Even { fps } => frame as f64 / fps,
            Clock::Ticks { numerator, denominator } => {
                let pts = |frame: usize| self.frames.get(frame).map_or(0, |entry| entry.pts);
                let ticks = i128::from(pts(frame)) - i128::from(pts(0));
                (ticks * i128::from(numerator)) as f64 / f64::from(denominator)
            }
        }
    }

    /// Average frames per second.
    pub fn fps(&self) -> f64 {
        self.fps
    }

    /// Seconds from the start of the first frame to the end of the last one.
    pub fn duration_s(&self) -> f64 {
        self.time_s(usize::MAX) + self.last_frame_s
    }
}

fn index_container(source: &ByteSource, limits: &MediaLimits, fps: Option<f64>) -> Result<VideoIndex, MediaError> {
    if source.num_bytes == 0 {
        return Err(MediaError::rejected(RejectCode::MediaEmpty, "the file has no bytes"));
    }
    if source.num_bytes > limits.max_video_bytes {
        let (found, most) = (source.num_bytes, limits.max_video_bytes);
        return Err(MediaError::rejected(
            RejectCode::MediaTooLarge,
            format!("a video of {found} bytes, at most {most} are allowed"),
        ));
    }
    let mut demuxer = Demuxer::open(source)?;
    let codec = demuxer.codec();
    if decoder::find(codec).is_none() {
        let detail = format!("a video stream of a codec that cannot be decoded ({})", codec.name());
        return Err(MediaError::rejected(RejectCode::MediaType, detail));
    }
    let orientation = demuxer.orientation();
    let (width_px, height_px) = demuxer.stated_size_px();
    if width_px == 0 || height_px == 0 {
        let detail = format!("a video stream ({}) that does not say how large its frames are", codec.name());
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    limits.check_dimensions(width_px, height_px)?;
    let packets = scan_packets(&mut demuxer)?;
    let Presentation { frames, identity, is_timed } = Presentation::of(&packets);
    if frames.is_empty() {
        let detail = format!("a video stream ({}) without frames", codec.name());
        return Err(MediaError::rejected(RejectCode::NoFrames, detail));
    }
    let stated_fps = demuxer.stated_fps();
    let timing = match fps.filter(|_| demuxer.container() == Container::Gif) {
        Some(fps) => Timing::even(fps),
        None if is_timed => Timing::of(&frames, &packets, demuxer.time_base(), stated_fps),
        None => Timing::even(stated_fps.unwrap_or(UNKNOWN_FPS)),
    };
    let (width_px, height_px) = orientation.upright_px(width_px, height_px);
    Ok(VideoIndex {
        width_px,
        height_px,
        frames,
        rate: timing.rate,
        fps: timing.fps,
        clock: timing.clock,
        last_frame_s: timing.last_frame_s,
        orientation,
        packets,
        identity,
    })
}

/// The frames that packets give, in the order of presentation.
struct Presentation {
    frames: Vec<FrameEntry>,
    /// How to find a decoded frame among them.
    identity: Identity,
    /// Whether their times are known; if not, each has its position for a time.
    is_timed: bool,
}

impl Presentation {
    fn of(packets: &[PacketEntry]) -> Self {
        let shown = || packets.iter().enumerate().filter(|(_, packet)| packet.is_shown);
        let entry =
            |(index, packet): (usize, &PacketEntry), pts| FrameEntry { pts, is_key: packet.is_key, packet: index };
        let with_pts: Option<Vec<FrameEntry>> = shown().map(|shown| shown.1.pts.map(|pts| entry(shown, pts))).collect();
        if let Some(mut frames) = with_pts {
            frames.sort_by_key(|frame| frame.pts);
            if frames.is_sorted_by(|a, b| a.pts < b.pts) {
                return Self { frames, identity: Identity::Pts, is_timed: true };
            }
        }
        // The n-th frame to be shown comes a constant time after the n-th to be decoded.
        let dts: Option<Vec<i64>> = shown().map(|(_, packet)| packet.dts).collect();
        let dts = dts.filter(|times| times.is_sorted_by(|a, b| a < b));
        let is_timed = dts.is_some();
        let times = dts.unwrap_or_else(|| (0..).take(shown().count()).collect());
        let frames = shown().zip(times).map(|(shown, time)| entry(shown, time)).collect();
        Self { frames, identity: Identity::Order, is_timed }
    }
}

/// When frames are shown.
struct Timing {
    clock: Clock,
    fps: f64,
    rate: FrameRate,
    last_frame_s: f64,
}

impl Timing {
    fn even(fps: f64) -> Self {
        Self { clock: Clock::Even { fps }, fps, rate: FrameRate::Constant, last_frame_s: 1.0 / fps }
    }

    fn of(frames: &[FrameEntry], packets: &[PacketEntry], time_base: Rational, stated_fps: Option<f64>) -> Self {
        let (numerator, denominator) = (time_base.numerator().max(1), time_base.denominator().max(1));
        let tick_s = f64::from(numerator) / f64::from(denominator);
        let times: Vec<i64> = frames.iter().map(|frame| frame.pts).collect();
        let Some(fps) = average_fps(&times, tick_s, stated_fps) else {
            return Self::even(stated_fps.unwrap_or(UNKNOWN_FPS));
        };
        let rate = frame_rate(&times, tick_s, fps);
        let last = frames.last().and_then(|frame| packets.get(frame.packet)).map_or(0, |packet| packet.duration);
        let last_frame_s = match rate {
            FrameRate::Variable if last > 0 => last as f64 * tick_s,
            _ => 1.0 / fps,
        };
        Self { clock: Clock::Ticks { numerator, denominator }, fps, rate, last_frame_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pts: Option<i64>, dts: i64) -> PacketEntry {
        PacketEntry { pts, dts: Some(dts), duration: 1, position: dts, is_key: dts == 0, is_shown: true }
    }

    fn pts(presentation: &Presentation) -> Vec<i64> {
        presentation.frames.iter().map(|frame| frame.pts).collect()
    }

    #[test]
    fn frames_are_in_order_of_presentation() {
        let packets = [packet(Some(0), 0), packet(Some(3), 1), packet(Some(1), 2), packet(Some(2), 3)];
        let presentation = Presentation::of(&packets);
        assert_eq!((pts(&presentation), presentation.identity), (vec![0, 1, 2, 3], Identity::Pts));
        assert_eq!(presentation.frames.iter().map(|frame| frame.packet).collect::<Vec<_>>(), [0, 2, 3, 1]);
    }

    #[test]
    fn packets_that_show_nothing_are_not_frames() {
        let hidden = PacketEntry { is_shown: false, ..packet(Some(1), 1) };
        assert_eq!(pts(&Presentation::of(&[packet(Some(0), 0), hidden, packet(Some(2), 2)])), [0, 2]);
    }

    #[test]
    fn without_times_of_their_own_frames_are_counted() {
        let some_missing = Presentation::of(&[packet(Some(0), 10), packet(None, 20), packet(Some(2), 30)]);
        assert_eq!((pts(&some_missing), some_missing.identity), (vec![10, 20, 30], Identity::Order));
        let equal = Presentation::of(&[packet(Some(7), 10), packet(Some(7), 20)]);
        assert_eq!((pts(&equal), equal.identity), (vec![10, 20], Identity::Order));
        let untimed = Presentation::of(&[packet(None, 10), packet(None, 10)]);
        assert_eq!((pts(&untimed), untimed.is_timed), (vec![0, 1], false));
    }
}
