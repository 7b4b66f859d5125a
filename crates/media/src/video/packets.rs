//! The packets of a video stream, as a scan of the container finds them. Nothing is decoded.

use ffmpeg_next::{Packet, codec};
use manyframe_core::RejectCode;

use super::demux::Demuxer;
use super::ffi;
use crate::MediaError;

/// Most packets of a video: 37 hours at 60 frames per second.
const MAX_PACKETS: usize = 8_000_000;

/// A packet, in the order of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PacketEntry {
    /// When its frame is shown, in ticks.
    pub(super) pts: Option<i64>,
    /// When it is to be decoded, in ticks.
    pub(super) dts: Option<i64>,
    /// How long its frame is shown, in ticks; 0 if unknown.
    pub(super) duration: i64,
    /// First byte in the file; negative if unknown.
    pub(super) position: i64,
    /// Whether the container says that decoding can start here.
    pub(super) is_key: bool,
    /// Whether its frame is shown: some are for reference only, or lie outside of an edit list.
    pub(super) is_shown: bool,
}

/// Every packet of the chosen stream.
pub(super) fn scan_packets(demuxer: &mut Demuxer) -> Result<Vec<PacketEntry>, MediaError> {
    let codec = demuxer.codec();
    demuxer.skip_payload();
    let mut packets = Vec::new();
    while let Some(packet) = demuxer.next_packet()? {
        if packets.len() == MAX_PACKETS {
            let detail = format!("a video of more than {MAX_PACKETS} packets");
            return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
        }
        packets.push(PacketEntry {
            pts: packet.pts(),
            dts: packet.dts(),
            duration: packet.duration().max(0),
            position: packet.position() as i64,
            is_key: packet.is_key(),
            is_shown: !ffi::is_discarded(&packet) && shows_frame(codec, &packet),
        });
    }
    if needs_keyframe(codec) {
        hide_before_first_key(&mut packets);
    }
    Ok(packets)
}

/// Whether decoders of this codec give no frame until they have seen a keyframe.
fn needs_keyframe(codec: codec::Id) -> bool {
    matches!(codec, codec::Id::H264 | codec::Id::HEVC | codec::Id::VP8 | codec::Id::VP9 | codec::Id::AV1)
}

/// A recording that begins between keyframes shows nothing until the first one. Without any it may still be decoded.
fn hide_before_first_key(packets: &mut [PacketEntry]) {
    let first_key = packets.iter().position(|packet| packet.is_key).unwrap_or(0);
    packets.iter_mut().take(first_key).for_each(|packet| packet.is_shown = false);
}

/// Whether a packet of this codec gives a frame to be shown, as far as its first byte tells.
fn shows_frame(codec: codec::Id, packet: &Packet) -> bool {
    // VP8 sends frames for reference only as packets of their own (RFC 6386, section 9.1: `show_frame`).
    match (codec, packet.data().and_then(<[u8]>::first)) {
        (codec::Id::VP8, Some(first)) => first & 0x10 != 0,
        _ => packet.size() > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vp8_reference_frame_is_not_shown() {
        assert!(!shows_frame(codec::Id::VP8, &Packet::copy(&[0x81, 0, 0])));
        assert!(shows_frame(codec::Id::VP8, &Packet::copy(&[0x91, 0, 0])));
        assert!(shows_frame(codec::Id::H264, &Packet::copy(&[0x81])));
    }
}
