//! Whether a recording ends within a picture, where nothing but its decoder can tell: the streams of MPEG state no end.
//!
//! It decodes what follows the last keyframe, and is asked about such streams only.

use ffmpeg_next::frame;

use super::decoder::{StreamDecoder, is_damaged, packet_of};
use super::demux::Demuxer;
use super::packet::VideoPacket;
use crate::error::MediaError;

/// Whether the decoder fails at the last packet, or calls its picture damaged.
pub(super) fn is_last_picture_cut(
    demuxer: &Demuxer,
    packets: &[VideoPacket],
    max_pixels: u64,
) -> Result<bool, MediaError> {
    let Some(last) = packets.len().checked_sub(1).filter(|_| demuxer.states_no_end()) else { return Ok(false) };
    let key = packets.iter().rposition(|packet| packet.is_key).unwrap_or(0);
    let mut demuxer = demuxer.reopen()?;
    let mut decoder = StreamDecoder::open(&demuxer, packets, max_pixels)?;
    let mut is_cut = false;
    let mut look = |frame: &frame::Video| {
        is_cut |= packet_of(frame) == Some(last) && is_damaged(frame);
        Ok(())
    };
    let mut is_taken = true;
    let mut next = demuxer.skip_to_packet(key)?;
    for position in key..=last {
        let Some(packet) = next else { break };
        let is_sent = decoder.send(packet, position);
        is_taken = decoder.receive(&mut look)? && is_sent;
        next = demuxer.next_packet()?;
    }
    let is_drained = decoder.drain(&mut look)?;
    Ok(is_cut || !is_taken || !is_drained)
}
