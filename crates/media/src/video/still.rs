//! A single AV1 frame, for AVIF images.

use ffmpeg_next::{Dictionary, Error, Packet, codec, decoder, frame};
use manyframe_core::RejectCode;

use super::demux::set_up_ffmpeg;
use super::planes::planes;
use super::yuv::YuvView;
use crate::avif::ColorCode;
use crate::error::MediaError;

/// Decoders of AV1 that need no hardware, the best first; FFmpeg's own one does.
const DECODERS: [&str; 2] = ["libdav1d", "libaom-av1"];

/// Most bits of a sample in AV1.
const MAX_DEPTH_BITS: u32 = 12;

/// Decodes one frame of at most the pixels that are stated, and calls `show` with it. `stated` says how its colours are coded,
/// if it is not to say so itself.
///
/// # Errors
/// The rejection `media_corrupt`, or `media_type` if FFmpeg was built without a decoder or returns what is not known here.
pub(crate) fn decode_av1<T>(
    bytes: &[u8],
    (width_px, height_px): (u32, u32),
    stated: Option<ColorCode>,
    show: impl FnOnce(&YuvView<'_>) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    set_up_ffmpeg();
    let unsupported = |why: String| MediaError::rejected(RejectCode::MediaType, format!("the AVIF {why}"));
    let Some(codec) = DECODERS.iter().find_map(|name| decoder::find_by_name(name)) else {
        return Err(unsupported(format!("cannot be decoded: this FFmpeg has none of {}", DECODERS.join(", "))));
    };
    let decode = || {
        let max_pixels = (u64::from(width_px) * u64::from(height_px)).min(i32::MAX as u64).to_string();
        let options = Dictionary::from_iter([("threads", "1"), ("max_pixels", max_pixels.as_str())]);
        let mut decoder = codec::Context::new_with_codec(codec).decoder().open_as_with(codec, options)?.video()?;
        decoder.send_packet(&Packet::copy(bytes))?;
        decoder.send_eof()?;
        let mut picture = frame::Video::empty();
        decoder.receive_frame(&mut picture)?;
        Ok(picture)
    };
    let picture = decode().map_err(|error: Error| {
        let detail = format!("the AVIF cannot be decoded: {error}");
        MediaError::rejected(RejectCode::MediaCorrupt, detail)
    })?;
    let pixel = picture.format();
    let view = planes(&picture).filter(|view| view.format.depth_bits <= MAX_DEPTH_BITS);
    let view = view.ok_or_else(|| unsupported(format!("is stored as {pixel:?}, which is not known")))?;
    show(&YuvView { code: stated.unwrap_or(view.code), ..view })
}
