//! A video while it is decoded, as little of it as the wanted frames need.
//!
//! Each run of packets ([`super::runs`]) is reached by a seek, decoded once, and drained; frames that nothing refers to
//! are passed over. This is believed only if the run begins with the expected keyframe and nothing is damaged or missing.
//! Otherwise what is left is decoded from the start, packet by packet: a wrong seek table, or damage that a decoder
//! conceals with what it decoded before, costs time but never changes pixels.

use ffmpeg_next::codec::Id;
use ffmpeg_next::util::error::EAGAIN;
use ffmpeg_next::{Discard, Error, Packet, decoder, frame};
use manyframe_core::RejectCode;

use super::decode::Visit;
use super::decoder::open_decoder;
use super::demux::{Container, Demuxer};
use super::index::{Identity, VideoIndex};
use super::packets::PacketEntry;
use super::runs::plan_runs;
use super::source::ByteSource;
use crate::MediaError;

/// Most errors that a decoder may report before it is not asked for more frames of a packet.
const MAX_DECODER_ERRORS: usize = 100;

/// Packets after that of a frame within which its decoder must have given it: more than any decoder holds back.
const MAX_FRAMES_HELD: usize = 64;

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RunEnd {
    /// As expected.
    Trusted,
    /// A seek did not lead where it should have, or frames are damaged or missing.
    Distrusted,
}

/// A video that is being decoded.
pub(super) struct Decoding<'i> {
    index: &'i VideoIndex,
    demuxer: Demuxer,
    decoder: decoder::Video,
    codec: Id,
    /// Frames that the decoder gave since it was opened.
    num_frames: usize,
    num_packets: usize,
    /// Wanted frames that were not visited yet, ascending.
    missing: Vec<usize>,
}

/// What a run has seen of itself.
struct RunState {
    /// Presentation time of the keyframe that a seek must lead to, until it has been seen.
    awaited_key: Option<i64>,
    is_economical: bool,
    is_distrusted: bool,
}

impl<'i> Decoding<'i> {
    /// Opens the video to decode the frames that are missing, given in ascending order.
    pub(super) fn open(
        source: &ByteSource,
        index: &'i VideoIndex,
        missing: Vec<usize>,
        max_pixels: u64,
    ) -> Result<Self, MediaError> {
        let demuxer = Demuxer::open(source)?;
        let codec = demuxer.codec();
        let decoder = open_decoder(&demuxer, index, max_pixels).map_err(|error| {
            let detail = format!("no decoder for {}: {error}", codec.name());
            MediaError::rejected(RejectCode::MediaType, detail)
        })?;
        Ok(Self { index, demuxer, decoder, codec, num_frames: 0, num_packets: 0, missing })
    }

    /// Packets that were decoded so far.
    pub(super) fn num_packets(&self) -> usize {
        self.num_packets
    }

    /// Wanted frames that were not visited, ascending.
    pub(super) fn into_missing(self) -> Vec<usize> {
        self.missing
    }

    /// Whether packets can be left out: frames are told apart by their times, and the container can be sought in.
    pub(super) fn can_be_economical(&self) -> bool {
        let container = self.demuxer.container();
        self.index.identity == Identity::Pts
            && matches!(container, Container::Mp4 | Container::Matroska | Container::Avi)
    }

    /// Decodes the runs of packets that the missing frames need, until one cannot be trusted.
    pub(super) fn decode_economically(&mut self, visit: &mut Visit<'_>) -> Result<RunEnd, MediaError> {
        for run in plan_runs(&self.index.packets, &self.missing_packets()) {
            let mut state = RunState { awaited_key: None, is_economical: true, is_distrusted: false };
            let mut first = None;
            if run.first > 0 {
                state.awaited_key = self.index.packets.get(run.first).and_then(|packet| packet.pts);
                first = self.seek_to(run.first)?;
                state.is_distrusted = first.is_none();
            }
            let wanted = self.missing_packets();
            // One packet more than needed: it may be the second field of the last frame.
            for position in run.first..=run.last.saturating_add(1) {
                if state.is_distrusted {
                    return Ok(RunEnd::Distrusted);
                }
                let Some(packet) =
                    first.take().map_or_else(|| self.demuxer.next_packet(), |packet| Ok(Some(packet)))?
                else {
                    break;
                };
                let is_needed = position == run.first || wanted.binary_search(&position).is_ok();
                self.skip_unless(is_needed);
                self.decode_packet(&packet, &mut state, visit)?;
            }
            self.drain(&mut state, visit)?;
            let is_missing = self.missing_packets().first().is_some_and(|&packet| packet <= run.last);
            if state.is_distrusted || state.awaited_key.is_some() || is_missing {
                return Ok(RunEnd::Distrusted);
            }
        }
        Ok(RunEnd::Trusted)
    }

    /// Decodes everything from the start until nothing is missing any more, or no longer to be expected.
    pub(super) fn decode_plainly(&mut self, visit: &mut Visit<'_>) -> Result<(), MediaError> {
        let mut state = RunState { awaited_key: None, is_economical: false, is_distrusted: false };
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
    fn missing_packets(&self) -> Vec<usize> {
        let entries = self.missing.iter().filter_map(|&frame| self.index.frames.get(frame));
        let mut packets: Vec<usize> = entries.map(|entry| entry.packet).collect();
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

    /// Takes the frames that the decoder holds back, and makes it ready for another run.
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

    /// Moves to a keyframe and gives its packet; `None` if the demuxer does not lead there.
    fn seek_to(&mut self, key: usize) -> Result<Option<Packet>, MediaError> {
        let Some(wanted) = self.index.packets.get(key).copied() else { return Ok(None) };
        let ticks = match self.demuxer.container() {
            Container::Matroska => wanted.pts,
            _ => wanted.dts,
        };
        if ticks.is_none_or(|ticks| self.demuxer.seek_to_key(ticks).is_err()) {
            return Ok(None);
        }
        let is_at = |packet: &Packet, entry: &PacketEntry| {
            entry.position >= 0 && packet.position() as i64 == entry.position && packet.pts() == entry.pts
        };
        let Some(mut packet) = self.demuxer.next_packet()? else { return Ok(None) };
        let before = self.index.packets.get(..=key).unwrap_or_default();
        let Some(landed) = before.iter().rposition(|entry| is_at(&packet, entry)) else { return Ok(None) };
        for _ in landed..key {
            let Some(following) = self.demuxer.next_packet()? else { return Ok(None) };
            packet = following;
        }
        Ok(is_at(&packet, &wanted).then_some(packet))
    }

    /// Has the decoder pass over the next packet if its frame is not needed and no other frame refers to it.
    fn skip_unless(&mut self, is_needed: bool) {
        // HEVC is not in the list: there such a frame may serve frames of higher temporal layers.
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
                    // Frames shown before the keyframe may be built on frames that were not decoded.
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
        if state.is_economical && state.is_distrusted {
            return Ok(());
        }
        if let Ok(slot) = self.missing.binary_search(&position) {
            self.missing.remove(slot);
            visit(position, frame)?;
        }
        Ok(())
    }
}
