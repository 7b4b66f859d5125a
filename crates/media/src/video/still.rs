//! A single AV1 frame, for AVIF images.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Dictionary, Error, Packet, codec, decoder, frame};
use manyframe_core::RejectCode;

use super::demux::set_up_ffmpeg;
use super::ffi;
use super::yuv::{YuvFormat, YuvView};
use crate::avif::ColorCode;
use crate::error::MediaError;
use crate::ycbcr::Halved;

/// Decoders of AV1 that need no hardware, the best first; FFmpeg's own one does.
const DECODERS: [&str; 2] = ["libdav1d", "libaom-av1"];

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
    let view =
        view(&picture, stated).ok_or_else(|| unsupported(format!("is stored as {pixel:?}, which is not known")))?;
    show(&view)
}

fn view(picture: &frame::Video, stated: Option<ColorCode>) -> Option<YuvView<'_>> {
    let format = format(picture.format())?;
    let is_rgb = matches!(picture.format(), Pixel::GBRP | Pixel::GBRP10LE | Pixel::GBRP12LE);
    let code = stated.unwrap_or_else(|| ffi::stated_colours(picture).code(is_rgb));
    let plane = |plane: usize| {
        if plane < picture.planes() { (picture.data(plane), picture.stride(plane)) } else { (&[][..], 0) }
    };
    let planes = [plane(0), plane(1), plane(2)];
    Some(YuvView { format, size_px: (picture.width(), picture.height()), code, planes })
}

/// How AV1 decoders store samples.
fn format(pixel: Pixel) -> Option<YuvFormat> {
    let (depth_bits, colors) = match pixel {
        Pixel::GRAY8 => (8, None),
        Pixel::GRAY10LE => (10, None),
        Pixel::GRAY12LE => (12, None),
        Pixel::YUV420P | Pixel::YUVJ420P => (8, Some(Halved { columns: true, rows: true })),
        Pixel::YUV420P10LE => (10, Some(Halved { columns: true, rows: true })),
        Pixel::YUV420P12LE => (12, Some(Halved { columns: true, rows: true })),
        Pixel::YUV422P | Pixel::YUVJ422P => (8, Some(Halved { columns: true, rows: false })),
        Pixel::YUV422P10LE => (10, Some(Halved { columns: true, rows: false })),
        Pixel::YUV422P12LE => (12, Some(Halved { columns: true, rows: false })),
        Pixel::YUV444P | Pixel::YUVJ444P | Pixel::GBRP => (8, Some(Halved::NOT)),
        Pixel::YUV444P10LE | Pixel::GBRP10LE => (10, Some(Halved::NOT)),
        Pixel::YUV444P12LE | Pixel::GBRP12LE => (12, Some(Halved::NOT)),
        _ => return None,
    };
    Some(YuvFormat { depth_bits, colors })
}
