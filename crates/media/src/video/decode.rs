//! Decodes the wanted frames of a video, and as little else as possible.
//!
//! ```text
//! FrameSelection ──plan_runs──▶ runs ──seek, decode, drain──▶ frames ──FrameConverter──▶ VideoFrame
//!                                 └─ not trusted ──▶ from the start, packet by packet
//! ```
//!
//! Each run of packets ([`plan_runs`]) is reached by a seek, decoded once and drained; frames to which no other frame refers
//! are skipped. A run is trusted only if it begins with the expected keyframe and nothing is damaged or missing. Otherwise
//! the remaining frames are decoded from the start: a wrong seek table, or damage that a decoder conceals with earlier
//! frames, costs time but never changes pixels.

use ffmpeg_next::codec::{self, Id};
use ffmpeg_next::util::error::EAGAIN;
use ffmpeg_next::{Dictionary, Discard, Error, Packet, decoder, frame};
use manyframe_core::{Handling, RejectCode, Rejection, SampleImage};

use super::convert::FrameConverter;
use super::demux::{ContainerFormat, Demuxer, VideoPacket};
use super::ffi;
use super::index::{Identity, VideoIndex};
use super::input::{ByteSource, VideoInput};
use super::runs::{PacketRun, plan_runs};
use crate::error::MediaError;
use crate::located::Located;
use crate::policy::ImagePolicy;
use crate::prepare::{Prepared, prepare_image};

/// Maximum number of decoder errors before the remaining frames of a packet are skipped.
const MAX_DECODER_ERRORS: usize = 100;

/// Number of packets after that of a frame within which its decoder must have returned it: more than any decoder holds back.
const MAX_FRAMES_HELD: usize = 64;

/// Upper bound on frames that a decoder holds back to reorder them (`MAX_DELAYED_PIC_COUNT` of H.264).
const MAX_REORDER_DELAY: usize = 16;

/// A decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoFrame {
    /// Its position in the index.
    pub index: usize,
    /// When it is shown, in seconds from the first frame.
    pub time_s: f64,
    /// The frame as a JPEG: upright, scaled according to the policy.
    pub image: SampleImage,
    /// How it came to its bytes.
    pub handling: Handling,
}

/// Frames to decode.
#[derive(Debug, Clone, Copy)]
pub struct FrameSelection<'i> {
    /// The index of their video.
    pub index: &'i VideoIndex,
    /// Their positions in the index, in any order. Positions beyond the end are ignored.
    pub positions: &'i [usize],
}

/// Decodes the selected frames and encodes them.
///
/// They are returned in presentation order, each once. Frames that cannot be decoded are left out.
///
/// # Errors
/// The rejection `no_frames` if none is left, or [`MediaError::Storage`].
pub fn decode_frames(
    input: &VideoInput,
    selection: FrameSelection<'_>,
    policy: &ImagePolicy,
) -> Result<Vec<VideoFrame>, MediaError> {
    let FrameSelection { index, positions } = selection;
    let mut wanted: Vec<usize> = positions.iter().copied().filter(|&frame| frame < index.num_frames()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let source = match input {
        VideoInput::Container(source) => source,
        VideoInput::Frames(frames) => {
            return read_images(frames, FrameSelection { index, positions: &wanted }, policy);
        }
    };
    let mut converter = FrameConverter::new(index.orientation);
    let mut frames = Vec::with_capacity(wanted.len());
    let video = ContainerVideo { source, index, max_pixels: policy.limits.max_pixels };
    video.visit_frames(&wanted, &mut |position, frame| {
        let image = converter.encode(frame, policy)?;
        let (time_s, handling) = (index.time_s(position), Handling::Encoded);
        frames.push(VideoFrame { index: position, time_s, image, handling });
        Ok(())
    })?;
    if frames.is_empty() {
        return Err(no_frames(wanted.len(), None));
    }
    frames.sort_by_key(|frame| frame.index);
    Ok(frames)
}

/// Prepares the selected images of a directory like any other image. Those that cannot be decoded are left out.
#[expect(clippy::indexing_slicing, reason = "an index of a directory has one frame per image in it")]
fn read_images(
    frames: &[Located],
    selection: FrameSelection<'_>,
    policy: &ImagePolicy,
) -> Result<Vec<VideoFrame>, MediaError> {
    let mut read = Vec::with_capacity(selection.positions.len());
    let mut reason = None;
    for &position in selection.positions {
        let bytes = frames[position].read(policy.limits.max_bytes);
        match bytes.and_then(|bytes| prepare_image(bytes, policy)) {
            Ok(prepared) => {
                let Prepared { image, handling } = prepared;
                read.push(VideoFrame { index: position, time_s: selection.index.time_s(position), image, handling });
            }
            Err(MediaError::Rejected(Rejection { detail, .. })) => reason = reason.or(Some(detail)),
            Err(error) => return Err(error),
        }
    }
    if read.is_empty() { Err(no_frames(selection.positions.len(), reason.as_deref())) } else { Ok(read) }
}

fn no_frames(num_wanted: usize, reason: Option<&str>) -> MediaError {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    MediaError::rejected(RejectCode::NoFrames, format!("none of {num_wanted} frames could be decoded{reason}"))
}

/// A container file whose frames are decoded.
pub(super) struct ContainerVideo<'i> {
    pub(super) source: &'i ByteSource,
    pub(super) index: &'i VideoIndex,
    /// Upper bound on pixels of a frame.
    pub(super) max_pixels: u64,
}

/// Called with a decoded frame and its position in the index.
pub(super) type Visit<'v> = dyn FnMut(usize, &frame::Video) -> Result<(), MediaError> + 'v;

impl ContainerVideo<'_> {
    /// Decodes the wanted frames (ascending) and visits each once, in whatever order they are decoded. Returns the number of
    /// packets decoded.
    pub(super) fn visit_frames(&self, wanted: &[usize], visit: &mut Visit<'_>) -> Result<usize, MediaError> {
        let mut decoding = Decoding::open(self, wanted.to_vec())?;
        let mut num_packets = 0;
        if decoding.can_seek() {
            if decoding.decode_runs(visit)? == RunOutcome::Trusted {
                return Ok(decoding.num_packets);
            }
            num_packets = decoding.num_packets;
            let missing = decoding.into_missing();
            decoding = Decoding::open(self, missing)?;
        }
        decoding.decode_from_start(visit)?;
        Ok(num_packets + decoding.num_packets)
    }
}

/// Whether the frames of runs can be trusted.
#[derive(Debug, PartialEq, Eq)]
enum RunOutcome {
    /// Everything was as expected.
    Trusted,
    /// A seek led elsewhere, or frames are damaged or missing.
    Distrusted,
}

/// A video that is being decoded.
struct Decoding<'i> {
    index: &'i VideoIndex,
    demuxer: Demuxer,
    decoder: decoder::Video,
    codec: Id,
    /// Number of frames that the decoder returned so far.
    num_frames: usize,
    /// Number of packets decoded so far.
    num_packets: usize,
    /// Positions of wanted frames that were not visited yet, ascending.
    missing: Vec<usize>,
}

/// State of a run of packets that is being decoded.
struct RunState {
    /// Presentation time of the keyframe that a seek must lead to, until it has been seen.
    awaited_key: Option<i64>,
    /// Whether packets are left out, so that frames count only as long as the run is trusted.
    is_partial: bool,
    is_distrusted: bool,
}

impl RunState {
    fn new(is_partial: bool) -> Self {
        Self { awaited_key: None, is_partial, is_distrusted: false }
    }
}

impl<'i> Decoding<'i> {
    /// Opens a video to decode the missing frames (ascending).
    fn open(video: &ContainerVideo<'i>, missing: Vec<usize>) -> Result<Self, MediaError> {
        let demuxer = Demuxer::open(video.source)?;
        let codec = demuxer.codec();
        let index = video.index;
        let decoder = open_decoder(&demuxer, index, video.max_pixels).map_err(|error| {
            let detail = format!("no decoder for {}: {error}", codec.name());
            MediaError::rejected(RejectCode::MediaType, detail)
        })?;
        Ok(Self { index, demuxer, decoder, codec, num_frames: 0, num_packets: 0, missing })
    }

    /// Closes the video and returns the positions that are still missing.
    fn into_missing(self) -> Vec<usize> {
        self.missing
    }

    /// Whether packets can be left out: frames are identified by their times, and the container supports seeking.
    fn can_seek(&self) -> bool {
        let container = self.demuxer.container();
        self.index.identity == Identity::Pts
            && matches!(container, ContainerFormat::Mp4 | ContainerFormat::Matroska | ContainerFormat::Avi)
    }

    /// Decodes the runs of packets that the missing frames need, until one cannot be trusted.
    fn decode_runs(&mut self, visit: &mut Visit<'_>) -> Result<RunOutcome, MediaError> {
        for run in plan_runs(&self.index.packets, &self.missing_packets()) {
            if self.decode_run(run, visit)? == RunOutcome::Distrusted {
                return Ok(RunOutcome::Distrusted);
            }
        }
        Ok(RunOutcome::Trusted)
    }

    #[expect(clippy::indexing_slicing, reason = "runs are made of positions of packets")]
    fn decode_run(&mut self, run: PacketRun, visit: &mut Visit<'_>) -> Result<RunOutcome, MediaError> {
        let mut state = RunState::new(true);
        let mut first = None;
        if run.first > 0 {
            state.awaited_key = self.index.packets[run.first].pts;
            first = self.seek_to(run.first)?;
            state.is_distrusted = first.is_none();
        }
        let wanted = self.missing_packets();
        // One packet more than needed: it may be the second field of the last frame.
        for position in run.first..=run.last.saturating_add(1) {
            if state.is_distrusted {
                return Ok(RunOutcome::Distrusted);
            }
            let packet = match first.take() {
                Some(packet) => Some(packet),
                None => self.demuxer.next_packet()?,
            };
            let Some(packet) = packet else { break };
            let is_needed = position == run.first || wanted.binary_search(&position).is_ok();
            self.skip_unless(is_needed);
            self.decode_packet(&packet, &mut state, visit)?;
        }
        self.drain(&mut state, visit)?;
        let is_missing = self.missing_packets().first().is_some_and(|&packet| packet <= run.last);
        let is_distrusted = state.is_distrusted || state.awaited_key.is_some() || is_missing;
        Ok(if is_distrusted { RunOutcome::Distrusted } else { RunOutcome::Trusted })
    }

    /// Decodes everything from the start until no frame is missing, or none can be expected any more.
    fn decode_from_start(&mut self, visit: &mut Visit<'_>) -> Result<(), MediaError> {
        let mut state = RunState::new(false);
        let last = match (self.index.identity, self.missing_packets().last()) {
            (Identity::Pts, Some(last)) => last.saturating_add(MAX_FRAMES_HELD),
            _ => usize::MAX,
        };
        for _ in 0..last {
            if self.missing.is_empty() {
                return Ok(());
            }
            let Some(packet) = self.demuxer.next_packet()? else { break };
            self.decode_packet(&packet, &mut state, visit)?;
        }
        self.drain(&mut state, visit)
    }

    /// The packets of the missing frames, ascending.
    #[expect(clippy::indexing_slicing, reason = "`decode_frames` dropped positions beyond the end of the index")]
    fn missing_packets(&self) -> Vec<usize> {
        let mut packets: Vec<usize> = self.missing.iter().map(|&frame| self.index.frames[frame].packet).collect();
        packets.sort_unstable();
        packets
    }

    fn decode_packet(
        &mut self,
        packet: &Packet,
        state: &mut RunState,
        visit: &mut Visit<'_>,
    ) -> Result<(), MediaError> {
        self.num_packets += 1;
        state.is_distrusted |= self.decoder.send_packet(packet).is_err();
        self.take_frames(state, visit)
    }

    /// Takes the frames that the decoder holds back, and resets it for another run.
    fn drain(&mut self, state: &mut RunState, visit: &mut Visit<'_>) -> Result<(), MediaError> {
        if self.decoder.send_eof().is_ok() {
            self.take_frames(state, visit)?;
        }
        self.decoder.flush();
        Ok(())
    }

    /// Takes the frames that the decoder has ready.
    fn take_frames(&mut self, state: &mut RunState, visit: &mut Visit<'_>) -> Result<(), MediaError> {
        let mut frame = frame::Video::empty();
        let mut num_errors = 0;
        while num_errors < MAX_DECODER_ERRORS {
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => self.take_frame(&frame, state, visit)?,
                Err(Error::Eof | Error::Other { errno: EAGAIN }) => break,
                Err(_) => {
                    state.is_distrusted = true;
                    num_errors += 1;
                }
            }
        }
        Ok(())
    }

    /// Seeks to a keyframe and returns its packet; `None` if the demuxer does not get there.
    #[expect(clippy::indexing_slicing, reason = "`key` is the position of a packet")]
    fn seek_to(&mut self, key: usize) -> Result<Option<Packet>, MediaError> {
        let wanted = self.index.packets[key];
        let ticks = match self.demuxer.container() {
            ContainerFormat::Matroska => wanted.pts,
            _ => wanted.dts,
        };
        if ticks.is_none_or(|ticks| self.demuxer.seek_to_key(ticks).is_err()) {
            return Ok(None);
        }
        let is_at = |packet: &Packet, entry: &VideoPacket| {
            entry.position >= 0 && packet.position() as i64 == entry.position && packet.pts() == entry.pts
        };
        let Some(mut packet) = self.demuxer.next_packet()? else { return Ok(None) };
        let before = &self.index.packets[..=key];
        let Some(landed) = before.iter().rposition(|entry| is_at(&packet, entry)) else { return Ok(None) };
        for _ in landed..key {
            let Some(following) = self.demuxer.next_packet()? else { return Ok(None) };
            packet = following;
        }
        Ok(is_at(&packet, &wanted).then_some(packet))
    }

    /// Makes the decoder skip the next packet if its frame is not needed and no other frame refers to it.
    fn skip_unless(&mut self, is_needed: bool) {
        // Not HEVC: there, frames of higher temporal layers may refer to such a frame.
        let can_skip = matches!(self.codec, Id::H264 | Id::MPEG4 | Id::MPEG2VIDEO | Id::MPEG1VIDEO | Id::VP8 | Id::VP9);
        self.decoder.skip_frame(if can_skip && !is_needed { Discard::NonReference } else { Discard::Default });
    }

    fn take_frame(
        &mut self,
        frame: &frame::Video,
        state: &mut RunState,
        visit: &mut Visit<'_>,
    ) -> Result<(), MediaError> {
        let counted = self.num_frames;
        self.num_frames += 1;
        let position = match self.index.identity {
            Identity::Order => counted,
            Identity::Pts => {
                let Some(pts) = frame.pts().or(frame.timestamp()) else { return Ok(()) };
                if let Some(key) = state.awaited_key {
                    // Frames shown before the keyframe may refer to frames that were not decoded.
                    if pts < key {
                        return Ok(());
                    }
                    state.awaited_key = None;
                    state.is_distrusted |= pts != key || !frame.is_key();
                }
                state.is_distrusted |= frame.is_corrupt() || frame.has_decode_errors();
                let Ok(position) = self.index.frames.binary_search_by_key(&pts, |entry| entry.pts) else {
                    return Ok(());
                };
                position
            }
        };
        if state.is_partial && state.is_distrusted {
            return Ok(());
        }
        if let Ok(slot) = self.missing.binary_search(&position) {
            self.missing.remove(slot);
            visit(position, frame)?;
        }
        Ok(())
    }
}

/// A decoder for the video stream, on one thread. It rejects frames of more than `max_pixels`.
fn open_decoder(demuxer: &Demuxer, index: &VideoIndex, max_pixels: u64) -> Result<decoder::Video, Error> {
    let mut parameters = demuxer.parameters();
    let codec = decoder::find(parameters.id()).ok_or(Error::DecoderNotFound)?;
    ffi::raise_reorder_delay(&mut parameters, reorder_delay(&index.packets));
    let mut context = codec::Context::from_parameters(parameters)?.decoder();
    context.set_packet_time_base(demuxer.time_base());
    // Many videos are decoded at once, each on one thread.
    let max_pixels = max_pixels.min(i32::MAX as u64).to_string();
    let options = Dictionary::from_iter([("threads", "1"), ("max_pixels", max_pixels.as_str())]);
    context.open_as_with(codec, options)?.video()
}

/// Number of frames that a decoder must hold back to return frames in presentation order: the most that are decoded before
/// a frame and shown after it.
fn reorder_delay(packets: &[VideoPacket]) -> u8 {
    let times: Vec<i64> = packets.iter().filter_map(|packet| packet.pts).collect();
    let delay_at = |position: usize| {
        let (before, rest) = times.split_at(position);
        let recent = before.iter().rev().take(MAX_REORDER_DELAY);
        rest.first().map_or(0, |time| recent.filter(|earlier| *earlier > time).count())
    };
    (0..times.len()).map(delay_at).max().unwrap_or(0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(times: &[i64]) -> u8 {
        let entry =
            |&pts| VideoPacket { pts: Some(pts), dts: None, duration: 0, position: 0, is_key: false, is_shown: true };
        reorder_delay(&times.iter().map(entry).collect::<Vec<_>>())
    }

    #[test]
    fn the_reorder_delay_is_what_the_order_needs() {
        assert_eq!(delay(&[0, 1, 2, 3]), 0);
        assert_eq!(delay(&[0, 2, 1, 4, 3]), 1);
        assert_eq!(delay(&[0, 4, 2, 1, 3]), 2);
        assert_eq!(delay(&[]), 0);
    }
}
