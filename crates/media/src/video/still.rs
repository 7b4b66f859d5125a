//! A single AV1 frame to RGB, for AVIF images.

use ffmpeg_next::codec;
use ffmpeg_next::{Dictionary, Error, Packet, decoder, frame};
use manyframe_core::RejectCode;

use super::ffi;
use super::rgb::RgbConverter;
use crate::error::MediaError;
use crate::pixels::RgbImage;

/// Decoders of AV1 that need no hardware, the best first; FFmpeg's own one does.
const DECODERS: [&str; 2] = ["libdav1d", "libaom-av1"];

/// Decodes one frame of at most the pixels that are stated.
///
/// # Errors
/// The rejection `media_corrupt`, or `media_type` if FFmpeg was built without a decoder.
pub(crate) fn decode_av1(bytes: &[u8], (width_px, height_px): (u32, u32)) -> Result<RgbImage, MediaError> {
    ffi::limit_allocations();
    let Some(codec) = DECODERS.iter().find_map(|name| decoder::find_by_name(name)) else {
        let detail = format!("the AVIF cannot be decoded: this FFmpeg has none of {}", DECODERS.join(", "));
        return Err(MediaError::rejected(RejectCode::MediaType, detail));
    };
    let decode = || {
        let max_pixels = (u64::from(width_px) * u64::from(height_px)).min(i32::MAX as u64).to_string();
        let options = Dictionary::from_iter([("threads", "1"), ("max_pixels", max_pixels.as_str())]);
        let mut decoder = codec::Context::new_with_codec(codec).decoder().open_as_with(codec, options)?.video()?;
        decoder.send_packet(&Packet::copy(bytes))?;
        decoder.send_eof()?;
        let mut picture = frame::Video::empty();
        decoder.receive_frame(&mut picture)?;
        RgbConverter::new().convert(&picture)
    };
    decode().map_err(|error: Error| {
        let detail = format!("the AVIF cannot be decoded: {error}");
        MediaError::rejected(RejectCode::MediaCorrupt, detail)
    })
}
