//! A decoder of FFmpeg's, set up for one video: one thread, a bound on the size of frames, the right reorder delay.

use ffmpeg_next::{Dictionary, Error, codec, decoder};

use super::demux::Demuxer;
use super::ffi;
use super::index::VideoIndex;
use super::packets::PacketEntry;

/// Most frames that a decoder holds back to bring them into order (`MAX_DELAYED_PIC_COUNT` of H.264).
const MAX_REORDER_DELAY: usize = 16;

/// A decoder for the video stream. It refuses frames of more than `max_pixels`.
pub(super) fn open_decoder(demuxer: &Demuxer, index: &VideoIndex, max_pixels: u64) -> Result<decoder::Video, Error> {
    let mut parameters = demuxer.parameters().ok_or(Error::StreamNotFound)?;
    let codec = decoder::find(parameters.id()).ok_or(Error::DecoderNotFound)?;
    ffi::raise_reorder_delay(&mut parameters, reorder_delay(&index.packets));
    let mut context = codec::Context::from_parameters(parameters)?.decoder();
    context.set_packet_time_base(demuxer.time_base());
    // Videos are decoded in parallel, each by one thread.
    let max_pixels = max_pixels.min(i32::MAX as u64).to_string();
    let options = Dictionary::from_iter([("threads", "1"), ("max_pixels", max_pixels.as_str())]);
    context.open_as_with(codec, options)?.video()
}

/// How many frames a decoder must hold back so that they come in order: the most that are decoded before a frame and
/// shown after it.
fn reorder_delay(packets: &[PacketEntry]) -> u8 {
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
            |&pts| PacketEntry { pts: Some(pts), dts: None, duration: 0, position: 0, is_key: false, is_shown: true };
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
