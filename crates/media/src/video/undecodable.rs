//! Which packets show a frame, where only a decoder can tell: the start of a recording that begins between keyframes, wrong
//! marks of keyframes, pictures of one field, and codecs that may repeat a frame.
//!
//! Other videos are not decoded here.

use std::collections::BTreeSet;

use ffmpeg_next::codec::Id;
use ffmpeg_next::frame;

use super::decoder::{StreamDecoder, packet_of};
use super::demux::{ContainerFormat, Demuxer};
use super::packet::VideoPacket;
use super::shown::{may_have_fields, may_repeat};
use crate::error::MediaError;

/// How far to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Until the first keyframe comes out of the decoder: whatever is shown before it has come out by then, or never will.
    Start,
    /// To the end.
    Everything,
}

/// What came out of a decoder. Packets are positions.
#[derive(Default)]
struct Decoded {
    /// The packets whose frames came out.
    shown: BTreeSet<usize>,
    /// The packets at which the decoder failed.
    failed: BTreeSet<usize>,
    /// Number of packets that the file holds.
    num_packets: usize,
    /// The packet of the first keyframe that came out.
    first_key: Option<usize>,
}

/// Marks packets of which a decoder returns no frame as not shown. Returns the number of frames that are left out at the
/// start, because they refer to frames before it.
pub(super) fn hide_undecodable(
    demuxer: &Demuxer,
    packets: &mut [VideoPacket],
    max_pixels: u64,
) -> Result<usize, MediaError> {
    let Some(extent) = needed_extent(demuxer, packets) else { return Ok(0) };
    let decoded = Decoded::of(demuxer.reopen()?, packets, extent, max_pixels)?;
    let num_before = decoded.first_key.unwrap_or(packets.len());
    let start_time = packets.get(num_before).and_then(|key| key.pts);
    // Frames that precede their keyframe follow it in the file, before any other.
    let following = packets.iter().skip(num_before + 1);
    let next_key = num_before.saturating_add(1 + following.take_while(|packet| !packet.is_key).count());
    let mut num_left_out = 0;
    for (position, packet) in packets.iter_mut().enumerate() {
        if !packet.is_shown || decoded.shown.contains(&position) {
            continue;
        }
        let is_before_key = is_before(packet.pts, start_time) || is_before_zero(demuxer, packet);
        let is_at_start = position < num_before || (position < next_key && is_before_key);
        // A frame that is damaged or not in the file is missing; it is not a packet that shows nothing.
        let is_good = position < decoded.num_packets && !decoded.failed.contains(&position);
        let shows_nothing = extent == Extent::Everything && is_good;
        packet.is_shown = !(is_at_start || shows_nothing);
        num_left_out += usize::from(is_at_start);
    }
    Ok(num_left_out)
}

/// `None` if the container tells which packets show a frame.
fn needed_extent(demuxer: &Demuxer, packets: &[VideoPacket]) -> Option<Extent> {
    let codec = demuxer.codec();
    let shown = || packets.iter().filter(|packet| packet.is_shown);
    let has_fields = codec == Id::H264 && may_have_fields(demuxer.extradata());
    if has_fields || shown().any(|packet| may_repeat(codec, packet.num_bytes)) {
        return Some(Extent::Everything);
    }
    let first = packets.first()?;
    let precedes = |packet: &VideoPacket| is_before(packet.pts, first.pts) || is_before_zero(demuxer, packet);
    let is_late = !first.is_key || (first.pts.is_some() && shown().any(precedes));
    is_late.then_some(Extent::Start)
}

/// In Matroska, times below zero are stored, and FFmpeg does not tell them.
fn is_before_zero(demuxer: &Demuxer, packet: &VideoPacket) -> bool {
    demuxer.container() == ContainerFormat::Matroska && packet.pts.or(packet.dts).is_none()
}

fn is_before(time: Option<i64>, other: Option<i64>) -> bool {
    time.zip(other).is_some_and(|(time, other)| time < other)
}

impl Decoded {
    fn of(mut demuxer: Demuxer, packets: &[VideoPacket], extent: Extent, max_pixels: u64) -> Result<Self, MediaError> {
        let mut decoder = StreamDecoder::open(&demuxer, packets, max_pixels)?;
        let mut found = Self::default();
        for position in 0..packets.len() {
            let Some(packet) = demuxer.next_packet()? else { break };
            found.num_packets = position + 1;
            let is_sent = decoder.send(packet, position);
            if !(decoder.receive(|frame| found.take(frame))? && is_sent) {
                found.failed.insert(position);
            }
            if extent == Extent::Start && found.first_key.is_some() {
                return Ok(found);
            }
        }
        decoder.drain(|frame| found.take(frame))?;
        Ok(found)
    }

    #[expect(clippy::unnecessary_wraps, reason = "decoders pass frames to functions that may fail")]
    fn take(&mut self, frame: &frame::Video) -> Result<(), MediaError> {
        if let Some(packet) = packet_of(frame) {
            self.shown.insert(packet);
            if frame.is_key() {
                self.first_key.get_or_insert(packet);
            }
        }
        Ok(())
    }
}
