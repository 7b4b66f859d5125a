//! Visits the wanted frames of a video, and decodes as little else as possible.
//!
//! ```text
//! positions ──plan_runs──▶ runs ──seek, decode, drain──▶ frames ──▶ VisitFrames
//!                           └─ not trusted ──▶ from the start, packet by packet
//! ```
//!
//! Each run of packets ([`plan_runs`]) is reached by a seek, decoded once and drained; frames to which no other frame refers
//! are skipped. A run is trusted only if it begins with the expected keyframe and nothing is damaged or missing. Otherwise
//! the remaining frames are decoded from the start: a wrong seek table, or damage that a decoder conceals with earlier
//! frames, costs time but never changes pixels. Frames that come out damaged all the same are counted. Where a process was
//! ended on the way, the next one begins at a keyframe behind what is sound.
//!
//! A packet is known to the decoder by its position, and so is its frame: timestamps may be missing, equal or wrong.

use std::ops::Range;

use ffmpeg_next::codec::Id;
use ffmpeg_next::codec::packet::side_data::Type;
use ffmpeg_next::codec::packet::{Flags, SideData};
use ffmpeg_next::{Packet, frame};
use manyframe_core::Digest;

use super::deadline::Deadline;
use super::decoded::{Beginning, FrameDigest};
use super::decoder::{StreamDecoder, is_damaged, packet_of};
use super::demux::{ContainerFormat, Demuxer};
use super::ffi;
use super::h264::PictureNumbers;
use super::holes::has_hole;
use super::index::{FrameEntry, Identity, VideoIndex};
use super::input::ByteSource;
use super::references::{DecodedPackets, closed_keyframes};
use super::runs::{PacketRun, plan_runs};
use super::sums::{check_member, damaged_clusters};
use super::unreferenced::can_leave_out;
use crate::error::MediaError;

/// Number of packets after that of a frame within which its decoder must have returned it: more than any decoder holds back.
const MAX_FRAMES_HELD: usize = 64;

/// A container file whose frames are decoded.
pub(super) struct ContainerVideo<'i> {
    pub(super) source: &'i ByteSource,
    pub(super) index: &'i VideoIndex,
    /// Upper bound on pixels of a frame.
    pub(super) max_pixels: u64,
}

/// Visits decoded frames.
pub(super) trait VisitFrames {
    /// A frame, and its position in the index.
    fn visit(&mut self, position: usize, frame: &frame::Video) -> Result<(), MediaError>;

    /// Nothing can change any more about the frames that were visited: they belong to runs in which everything was as expected, or
    /// they are before a keyframe where decoding can begin again.
    fn settle(&mut self, _beginning: Option<Beginning>) {}
}

impl<F: FnMut(usize, &frame::Video) -> Result<(), MediaError>> VisitFrames for F {
    fn visit(&mut self, position: usize, frame: &frame::Video) -> Result<(), MediaError> {
        self(position, frame)
    }
}

/// What visiting frames came to.
#[derive(Debug)]
pub(super) struct Visited {
    /// Packets that were decoded.
    pub(super) num_packets: usize,
    /// Frames visited that are damaged.
    pub(super) num_damaged: usize,
}

impl ContainerVideo<'_> {
    /// Decodes the wanted frames (ascending) and visits each once, in whatever order they are decoded. With a beginning, no wanted
    /// frame is before it.
    pub(super) fn visit_frames(
        &self,
        wanted: &[usize],
        beginning: Option<Beginning>,
        visit: &mut dyn VisitFrames,
    ) -> Result<Visited, MediaError> {
        if wanted.is_empty() {
            return Ok(Visited { num_packets: 0, num_damaged: 0 });
        }
        check_member(self.source)?;
        let deadline = Deadline::of_decoding(self.source.num_bytes, wanted.len());
        let mut decoding = Decoding::open(self, wanted.to_vec(), deadline)?;
        let damaged = match decoding.demuxer.container() {
            ContainerFormat::Matroska => damaged_clusters(self.source, self.index, &decoding.wanted.missing_packets())?,
            _ => Vec::new(),
        };
        let mut num_packets = 0;
        if decoding.can_seek() && damaged.is_empty() && beginning.is_none() {
            let outcome = decoding.decode_runs(visit)?;
            num_packets = decoding.num_packets;
            if outcome == RunOutcome::Trusted {
                return Ok(Visited { num_packets, num_damaged: 0 });
            }
            decoding = Decoding::open(self, decoding.wanted.missing, deadline)?;
        }
        let num_damaged = decoding.decode_from_start(beginning, &damaged, visit)?;
        Ok(Visited { num_packets: num_packets + decoding.num_packets, num_damaged })
    }
}

/// What a frame shows, as it is stored.
pub(super) fn digest_of(index: usize, frame: &frame::Video) -> FrameDigest {
    let (width_px, height_px) = (frame.width(), frame.height());
    let format = format!("{:?} {width_px} {height_px}", frame.format());
    let digest = Digest::of_fields([format.as_bytes(), &ffi::pixels(frame)]);
    FrameDigest { index, digest, width_px, height_px }
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
    decoder: StreamDecoder,
    numbers: PictureNumbers,
    /// Whether frames to which no other refers can be left out.
    can_leave_out: bool,
    /// Number of packets decoded so far.
    num_packets: usize,
    wanted: WantedFrames<'i>,
}

/// The wanted frames of a video that is being decoded.
struct WantedFrames<'i> {
    index: &'i VideoIndex,
    /// Each packet with the position of its frame in the index, ascending.
    positions: Vec<(usize, usize)>,
    /// Number of frames that the decoder returned so far.
    num_returned: usize,
    /// Positions of wanted frames that were not visited yet, ascending.
    missing: Vec<usize>,
}

/// State of a run of packets that is being decoded.
#[derive(Default)]
struct RunState {
    /// The keyframe that a seek must lead to, until it has come out.
    awaited_key: Option<usize>,
    is_distrusted: bool,
}

impl<'i> Decoding<'i> {
    /// Opens a video to decode the missing frames (ascending).
    fn open(video: &ContainerVideo<'i>, missing: Vec<usize>, deadline: Deadline) -> Result<Self, MediaError> {
        let demuxer = Demuxer::open(video.source, deadline)?;
        let index = video.index;
        let decoder = StreamDecoder::open(&demuxer, &index.packets, video.max_pixels)?;
        let can_leave_out = can_leave_out(demuxer.codec(), demuxer.extradata());
        let wanted = WantedFrames::new(index, missing);
        let mut numbers = PictureNumbers::default();
        if demuxer.codec() == Id::H264 {
            numbers.add_headers(demuxer.extradata());
        }
        Ok(Self { index, demuxer, decoder, numbers, can_leave_out, num_packets: 0, wanted })
    }

    /// Whether packets can be left out: frames are identified by their packets, and the container supports seeking.
    fn can_seek(&self) -> bool {
        let container = self.demuxer.container();
        self.index.identity == Identity::Packet
            && matches!(container, ContainerFormat::Mp4 | ContainerFormat::Matroska | ContainerFormat::Avi)
    }

    /// Decodes the runs of packets that the missing frames need, until one cannot be trusted.
    fn decode_runs(&mut self, visit: &mut dyn VisitFrames) -> Result<RunOutcome, MediaError> {
        for run in plan_runs(&self.index.packets, &self.wanted.missing_packets()) {
            if self.decode_run(run, visit)? == RunOutcome::Distrusted {
                return Ok(RunOutcome::Distrusted);
            }
        }
        Ok(RunOutcome::Trusted)
    }

    fn decode_run(&mut self, run: PacketRun, visit: &mut dyn VisitFrames) -> Result<RunOutcome, MediaError> {
        let mut state = RunState::default();
        let mut first = None;
        if run.first > 0 {
            state.awaited_key = Some(run.first);
            first = self.demuxer.seek_to_packet(&self.index.packets, run.first)?;
            state.is_distrusted = first.is_none();
            self.numbers.begin();
        }
        let needed = self.wanted.missing_packets();
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
            let is_needed = position == run.first || needed.binary_search(&position).is_ok();
            self.decoder.skip_unreferenced(self.can_leave_out && !is_needed);
            self.num_packets += 1;
            let is_expected = self.index.packets.get(position).is_some_and(|entry| entry.pts == packet.pts());
            state.is_distrusted |= !is_expected || self.has_hole(&packet) || self.follows_gap(&packet);
            state.is_distrusted |= !self.decoder.send(packet, position);
            let is_received = self.decoder.receive(|frame| self.wanted.take_trusted(frame, &mut state, visit))?;
            state.is_distrusted |= !is_received;
        }
        let is_received = self.decoder.drain(|frame| self.wanted.take_trusted(frame, &mut state, visit))?;
        let is_missing = self.wanted.missing_packets().first().is_some_and(|&packet| packet <= run.last);
        let is_distrusted = state.is_distrusted || !is_received || state.awaited_key.is_some() || is_missing;
        Ok(if is_distrusted { RunOutcome::Distrusted } else { RunOutcome::Trusted })
    }

    /// Decodes everything from the start, or from where decoding can begin, until no frame is missing, or none can be expected any
    /// more. Returns how many of the frames visited are damaged; those in `damaged` ranges of the file are.
    fn decode_from_start(
        &mut self,
        beginning: Option<Beginning>,
        damaged: &[Range<u64>],
        visit: &mut dyn VisitFrames,
    ) -> Result<usize, MediaError> {
        let first = beginning.map_or(0, |beginning| beginning.packet);
        self.wanted.num_returned = beginning.map_or(0, |beginning| beginning.num_frames);
        let mut decoded = DecodedPackets::sound_before(first);
        let beginnings = closed_keyframes(&self.index.packets);
        let mut visited = Vec::new();
        let mut gaps = Vec::new();
        let last = match (self.index.identity, self.wanted.missing_packets().last()) {
            (Identity::Packet, Some(last)) => last.saturating_add(MAX_FRAMES_HELD),
            _ => usize::MAX,
        };
        for position in 0..last {
            if self.wanted.missing.is_empty() {
                break;
            }
            let Some(packet) = self.demuxer.next_packet()? else { break };
            if self.follows_gap(&packet) {
                gaps.push(position);
            }
            if position < first {
                continue;
            }
            self.num_packets += 1;
            let place = u64::try_from(packet.position()).unwrap_or(u64::MAX);
            if damaged.iter().any(|range| range.contains(&place)) || self.has_hole(&packet) {
                decoded.add_unsound(position);
            }
            let is_sent = self.decoder.send(self.without_false_alarm(packet, position), position);
            let take = |frame: &frame::Video| {
                let key = begins_at(frame, &beginnings);
                let is_sound = |key: &usize| gaps.is_empty() && decoded.is_sound_before(*key, &self.index.packets);
                if let Some(packet) = key.filter(is_sound) {
                    visit.settle(Some(Beginning { packet, num_frames: self.wanted.num_returned }));
                }
                decoded.add_frame(frame);
                visited.extend(self.wanted.take(frame, visit)?);
                Ok(())
            };
            if !(self.decoder.receive(take)? && is_sent) {
                decoded.add_failure(position);
            }
        }
        self.decoder.drain(|frame| {
            decoded.add_frame(frame);
            visited.extend(self.wanted.take(frame, visit)?);
            Ok(())
        })?;
        if self.numbers.have_gaps() {
            for packet in gaps {
                decoded.add_unsound(packet);
            }
        }
        Ok(decoded.num_damaged(&visited, &self.index.packets))
    }

    fn has_hole(&self, packet: &Packet) -> bool {
        has_hole(self.demuxer.codec(), self.demuxer.extradata(), packet.data().unwrap_or_default())
    }

    /// Whether pictures are missing before a packet that it, or those after it, refer to.
    fn follows_gap(&mut self, packet: &Packet) -> bool {
        if self.demuxer.codec() != Id::H264 {
            return false;
        }
        let of_headers = |data: &SideData<'_>| data.kind() == Type::NewExtraData;
        packet.side_data().filter(of_headers).for_each(|headers| self.numbers.add_headers(headers.data()));
        if packet.is_key() {
            self.numbers.begin();
        }
        self.numbers.add_packet(self.demuxer.extradata(), packet.data().unwrap_or_default())
    }

    /// Where transport streams are joined, the last packet of the first is called corrupt, because the next one does not
    /// continue it. Whether it is, the decoder knows.
    fn without_false_alarm(&self, mut packet: Packet, position: usize) -> Packet {
        let is_at_joint = self.index.packets.get(position + 1).is_some_and(|next| next.is_key);
        if self.demuxer.container() == ContainerFormat::Mpeg && packet.is_corrupt() && is_at_joint {
            packet.set_flags(packet.flags() - Flags::CORRUPT);
        }
        packet
    }
}

/// The packet of a frame where decoding can begin, if it is one of these and came out as a keyframe.
pub(super) fn begins_at(frame: &frame::Video, beginnings: &[usize]) -> Option<usize> {
    let packet = packet_of(frame).filter(|packet| beginnings.binary_search(packet).is_ok());
    packet.filter(|_| frame.is_key() && !is_damaged(frame))
}

impl<'i> WantedFrames<'i> {
    fn new(index: &'i VideoIndex, missing: Vec<usize>) -> Self {
        let position_of = |(position, frame): (usize, &FrameEntry)| (frame.packet, position);
        let mut positions: Vec<(usize, usize)> = index.frames.iter().enumerate().map(position_of).collect();
        positions.sort_unstable();
        Self { index, positions, num_returned: 0, missing }
    }

    /// The packets of the missing frames, ascending.
    #[expect(clippy::indexing_slicing, reason = "`decode_frames` dropped positions beyond the end of the index")]
    fn missing_packets(&self) -> Vec<usize> {
        let mut packets: Vec<usize> = self.missing.iter().map(|&frame| self.index.frames[frame].packet).collect();
        packets.sort_unstable();
        packets
    }

    /// Visits a frame of a run if it is wanted and the run is trusted.
    fn take_trusted(
        &mut self,
        frame: &frame::Video,
        state: &mut RunState,
        visit: &mut dyn VisitFrames,
    ) -> Result<(), MediaError> {
        let Some(packet) = packet_of(frame) else { return Ok(()) };
        if let Some(key) = state.awaited_key {
            // Frames shown before the keyframe may refer to frames that were not decoded.
            let time = |packet: usize| self.index.packets.get(packet).and_then(|entry| entry.pts);
            if time(packet) < time(key) {
                return Ok(());
            }
            state.awaited_key = None;
            state.is_distrusted |= packet != key || !frame.is_key();
        }
        state.is_distrusted |= is_damaged(frame);
        if !state.is_distrusted && self.take(frame, visit)?.is_some() {
            visit.settle(None);
        }
        Ok(())
    }

    /// Visits a frame if it is wanted; its packet if it was.
    fn take(&mut self, frame: &frame::Video, visit: &mut dyn VisitFrames) -> Result<Option<usize>, MediaError> {
        let counted = self.num_returned;
        self.num_returned += 1;
        let Some(packet) = packet_of(frame) else { return Ok(None) };
        let position = match self.index.identity {
            Identity::Order => Some(counted),
            Identity::Packet => {
                let found = self.positions.binary_search_by_key(&packet, |&(packet, _)| packet);
                found.ok().and_then(|slot| self.positions.get(slot)).map(|&(_, position)| position)
            }
        };
        let Some(position) = position else { return Ok(None) };
        let Ok(slot) = self.missing.binary_search(&position) else { return Ok(None) };
        self.missing.remove(slot);
        visit.visit(position, frame)?;
        Ok(Some(packet))
    }
}
