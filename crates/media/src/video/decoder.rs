//! A decoder for the video stream of a container, on one thread.

use ffmpeg_next::util::error::EAGAIN;
use ffmpeg_next::{Dictionary, Discard, Error, Packet, codec, decoder, frame};
use manyframe_core::RejectCode;

use super::demux::Demuxer;
use super::ffi;
use super::packet::VideoPacket;
use crate::error::MediaError;

/// Upper bound on frames that a decoder holds back to reorder them (`MAX_DELAYED_PIC_COUNT` of H.264).
const MAX_REORDER_DELAY: usize = 16;

/// Maximum number of decoder errors before the remaining frames of a packet are skipped.
const MAX_ERRORS: usize = 100;

/// A decoder of a video stream.
pub(super) struct StreamDecoder(decoder::Video);

impl StreamDecoder {
    /// Opens a decoder that rejects frames of more than `max_pixels`. `packets` are those of the stream, in decoding order.
    pub(super) fn open(demuxer: &Demuxer, packets: &[VideoPacket], max_pixels: u64) -> Result<Self, MediaError> {
        open(demuxer, packets, max_pixels).map(Self).map_err(|error| not_opened(error, demuxer.codec().name()))
    }

    /// Gives the decoder a packet, which its frame is known by ([`packet_of`]). Returns whether it took it without an error.
    pub(super) fn send(&mut self, mut packet: Packet, position: usize) -> bool {
        // To a decoder, an empty packet is the end.
        if packet.size() == 0 {
            return true;
        }
        let name = i64::try_from(position).ok();
        packet.set_pts(name);
        packet.set_dts(name);
        self.0.send_packet(&packet).is_ok()
    }

    /// Passes on the frames that are ready. Returns whether there was no error.
    pub(super) fn receive(
        &mut self,
        mut take: impl FnMut(&frame::Video) -> Result<(), MediaError>,
    ) -> Result<bool, MediaError> {
        let mut frame = frame::Video::empty();
        let mut num_errors = 0;
        while num_errors < MAX_ERRORS {
            match self.0.receive_frame(&mut frame) {
                Ok(()) => take(&frame)?,
                Err(Error::Eof | Error::Other { errno: EAGAIN }) => break,
                Err(_) => num_errors += 1,
            }
        }
        Ok(num_errors == 0)
    }

    /// Passes on the frames that the decoder holds back, and resets it for other packets. Returns whether there was no error.
    pub(super) fn drain(
        &mut self,
        take: impl FnMut(&frame::Video) -> Result<(), MediaError>,
    ) -> Result<bool, MediaError> {
        let is_received = if self.0.send_eof().is_ok() { self.receive(take)? } else { true };
        self.0.flush();
        Ok(is_received)
    }

    /// Makes the decoder skip the next packets if no other frame refers to theirs, or not.
    pub(super) fn skip_unreferenced(&mut self, skips: bool) {
        self.0.skip_frame(if skips { Discard::NonReference } else { Discard::Default });
    }
}

/// The position of the packet that a frame is from.
pub(super) fn packet_of(frame: &frame::Video) -> Option<usize> {
    usize::try_from(frame.pts().or(frame.timestamp())?).ok()
}

/// Whether a decoder calls a frame damaged, or says that it filled in what was missing.
pub(super) fn is_damaged(frame: &frame::Video) -> bool {
    frame.is_corrupt() || frame.has_decode_errors()
}

fn not_opened(error: Error, codec: &str) -> MediaError {
    let (code, detail) = match error {
        Error::DecoderNotFound => (RejectCode::MediaType, format!("no decoder for {codec}")),
        Error::InvalidData => (RejectCode::MediaCorrupt, format!("the headers of its {codec} are damaged")),
        error => (RejectCode::MediaType, format!("the decoder for {codec} cannot be opened: {error}")),
    };
    MediaError::rejected(code, detail)
}

fn open(demuxer: &Demuxer, packets: &[VideoPacket], max_pixels: u64) -> Result<decoder::Video, Error> {
    let mut parameters = demuxer.parameters();
    let codec = decoder::find(parameters.id()).ok_or(Error::DecoderNotFound)?;
    ffi::raise_reorder_delay(&mut parameters, reorder_delay(packets));
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
    let has_b_pictures = packets.iter().any(|packet| packet.is_b_picture);
    // Where times are wrong, what is in the packets counts.
    (0..times.len()).map(delay_at).max().unwrap_or(0).max(has_b_pictures.into()) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_that_is_there_is_not_called_missing() {
        let why = |error| match not_opened(error, "theora") {
            MediaError::Rejected(rejection) => (rejection.code, rejection.detail),
            error @ MediaError::Storage { .. } => panic!("{error}"),
        };
        let damaged = (RejectCode::MediaCorrupt, "the headers of its theora are damaged".to_owned());
        assert_eq!(why(Error::InvalidData), damaged);
        assert_eq!(why(Error::DecoderNotFound), (RejectCode::MediaType, "no decoder for theora".to_owned()));
    }

    fn delay(times: &[i64]) -> u8 {
        let packet = |&pts| VideoPacket { pts: Some(pts), ..VideoPacket::default() };
        reorder_delay(&times.iter().map(packet).collect::<Vec<_>>())
    }

    #[test]
    fn the_reorder_delay_is_what_the_order_needs() {
        assert_eq!(delay(&[0, 1, 2, 3]), 0);
        assert_eq!(delay(&[0, 2, 1, 4, 3]), 1);
        assert_eq!(delay(&[0, 4, 2, 1, 3]), 2);
        assert_eq!(delay(&[]), 0);
        let packets = [false, true].map(|is_b_picture| VideoPacket { is_b_picture, ..VideoPacket::default() });
        assert_eq!(reorder_delay(&packets), 1);
    }
}
