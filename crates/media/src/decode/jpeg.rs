//! JPEG to RGB, or to its channels as stored, through libjpeg-turbo: accurate DCT and smooth upsampling, the defaults of
//! libjpeg and Pillow.
//!
//! libjpeg continues after damage and only warns. Here, a warning that means lost pixels is an error, and so is a missing end
//! marker; warnings about harmless oddities are not. The binding tells the first warning only, so that what libjpeg warns of before
//! the coded data is taken out of the file.

use manyframe_core::RejectCode;
use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Image, PixelFormat, Subsamp, YuvImage, yuv_pixels_len};

use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::pixels::{RGB_BYTES, RgbImage, no_pixels};
use crate::probe::{
    JpegHeader, ProbedImage, has_end_of_image, probe_whole, with_usual_scans, without_application_data,
};
use crate::scratch::first_bytes;
use crate::tiff::JpegStrip;
use crate::ycbcr::{Channel, Halved, Ycbcr};

/// Upper bound on scans of a progressive file. Encoders write about ten; thousands are a denial-of-service attack.
pub(crate) const MAX_SCANS: u32 = 100;

const CMYK_BYTES: usize = 4;

/// A JPEG whose header was parsed.
#[derive(Clone, Copy)]
pub(super) struct JpegFile<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) header: &'a JpegHeader,
    /// Width and height as stored, in pixels.
    pub(super) size_px: (u32, u32),
}

impl<'a> JpegFile<'a> {
    /// `None` if the image is not a JPEG.
    pub(super) fn of(source: &'a ProbedImage<'a>) -> Option<Self> {
        let header = source.parsed.jpeg.as_ref()?;
        Some(Self { bytes: source.bytes, header, size_px: source.parsed.stored_px })
    }

    /// Decodes into an image of the size in the header.
    pub(super) fn decode_rgb_into(self, image: &mut RgbImage) -> Result<(), MediaError> {
        let (width, height, pitch) = (image.width_px() as usize, image.height_px() as usize, image.stride());
        self.decode_into(Image { pixels: image.pixels_mut(), width, pitch, height, format: PixelFormat::RGB })
    }

    /// Decodes CMYK and YCCK, and converts it as Pillow does: without a profile, and assuming that it is stored inverted, as
    /// Adobe writes it, whether or not its marker is there.
    pub(super) fn decode_cmyk(self) -> Result<RgbImage, MediaError> {
        let (width, height) = (self.size_px.0 as usize, self.size_px.1 as usize);
        let pitch = width * CMYK_BYTES;
        let mut cmyk = vec![0; pitch * height];
        self.decode_into(Image { pixels: &mut cmyk, width, pitch, height, format: PixelFormat::CMYK })?;
        let (cmyk, _) = cmyk.as_chunks::<CMYK_BYTES>();
        let pixels = cmyk.iter().flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| multiply(ink, k))).collect();
        RgbImage::try_new(self.size_px.0, self.size_px.1, pixels).ok_or_else(no_pixels)
    }

    /// Decodes brightness and colours as stored, into `memory`. `None` if the image is coded differently: in RGB, in CMYK,
    /// lossless, or with less than half the resolution of colours.
    pub(super) fn decode_channels(self, memory: &mut Vec<u8>) -> Result<Option<Ycbcr<'_>>, MediaError> {
        let size = (self.size_px.0 as usize, self.size_px.1 as usize);
        let layout = self.decode(size, |decoder, bytes, found| {
            let DecompressHeader { width, height, subsamp, .. } = found;
            let is_ycbcr = matches!(found.colorspace, Colorspace::YCbCr | Colorspace::Gray);
            let Some(halved) = halved(subsamp).filter(|_| is_ycbcr && !found.is_lossless) else { return Ok(None) };
            let pixels = first_bytes(memory, yuv_pixels_len(width, 1, height, subsamp)?);
            let image = YuvImage { pixels, width, align: 1, height, subsamp };
            // A gray image has no colour planes, whatever size the binding computes for them.
            let colour_size = if subsamp == Subsamp::Gray { (0, 0) } else { image.uv_size() };
            let y_size = image.y_size();
            unless_harmless(decoder.decompress_to_yuv(bytes, image))?;
            Ok(Some((y_size, colour_size, halved)))
        })?;
        Ok(layout.map(|(y_size, colour_size, halved)| {
            let num_colours = colour_size.0 * colour_size.1;
            let (y, colours) = memory.split_at(y_size.0 * y_size.1);
            let (cb, colours) = colours.split_at(num_colours);
            let (cr, _) = colours.split_at(num_colours);
            let [cb, cr] = [cb, cr].map(|samples| Channel { samples, width: colour_size.0, halved });
            let y = Channel { samples: y, width: y_size.0, halved: Halved::NOT };
            Ycbcr { width_px: self.size_px.0, height_px: self.size_px.1, channels: [y, cb, cr] }
        }))
    }

    /// Checks all that libjpeg reads before the first scan.
    pub(super) fn check_header(self) -> Result<(), MediaError> {
        self.decode((self.size_px.0 as usize, self.size_px.1 as usize), |_, _, _| Ok(()))
    }

    fn decode_into(self, mut target: Image<&mut [u8]>) -> Result<(), MediaError> {
        self.decode((target.width, target.height), |decoder, bytes, found| {
            if found.is_lossless && found.colorspace == Colorspace::Gray {
                return decode_lossless_gray(decoder, bytes, &mut target);
            }
            unless_harmless(decoder.decompress(bytes, target))
        })
    }

    /// Calls `decompress` with a file whose header causes neither warning nor error, if need be one without what is not pixels, and with libjpeg's view of that header: the binding
    /// would stop at a warning and leave its target unchanged.
    fn decode<T>(
        self,
        target_px: (usize, usize),
        decompress: impl FnOnce(&mut Decompressor, &[u8], DecompressHeader) -> turbojpeg::Result<T>,
    ) -> Result<T, MediaError> {
        let Self { bytes, header, .. } = self;
        if header.precision_bits != 8 {
            let detail = format!("the JPEG has {} bits a channel, only 8 are supported", header.precision_bits);
            return Err(MediaError::rejected(RejectCode::MediaType, detail));
        }
        if !has_end_of_image(bytes, header.scan_start) {
            let detail = "the JPEG is cut short: it has no end marker";
            return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
        }
        let outcome = || {
            // A decoder keeps the tables of an image, and would use them for the next one that lacks its own.
            let mut decoder = new_decoder()?;
            let (usual, plain);
            let bytes = match with_usual_scans(bytes, header) {
                Some(scans) => {
                    usual = scans;
                    &usual[..]
                }
                None => bytes,
            };
            let (bytes, found) = match decoder.read_header(bytes) {
                Err(error) => {
                    if !is_harmless(&error, HARMLESS_IN_HEADER) {
                        decoder = new_decoder()?;
                    }
                    plain = without_application_data(bytes, header);
                    (&plain[..], decoder.read_header(&plain)?)
                }
                Ok(found) => (bytes, found),
            };
            // Fewer pixels than the header parser saw would leave old ones in the target; more do not fit.
            if (found.width, found.height) != target_px {
                return Err(turbojpeg::Error::TurboJpegError("it has two different sizes".to_owned()));
            }
            decompress(&mut decoder, bytes, found)
        };
        outcome().map_err(|error| {
            MediaError::rejected(RejectCode::MediaCorrupt, format!("the JPEG cannot be decoded: {error}"))
        })
    }
}

/// libjpeg converts no lossless image.
fn decode_lossless_gray(decoder: &mut Decompressor, bytes: &[u8], rgb: &mut Image<&mut [u8]>) -> turbojpeg::Result<()> {
    let mut levels = vec![0; rgb.width * rgb.height];
    let gray = Image {
        pixels: &mut levels[..],
        width: rgb.width,
        pitch: rgb.width,
        height: rgb.height,
        format: PixelFormat::GRAY,
    };
    unless_harmless(decoder.decompress(bytes, gray))?;
    for (line, levels) in rgb.pixels.chunks_exact_mut(rgb.pitch).zip(levels.chunks_exact(rgb.width)) {
        line.as_chunks_mut().0.iter_mut().zip(levels).for_each(|(pixel, &level)| *pixel = [level; RGB_BYTES]);
    }
    Ok(())
}

/// Decodes a strip of a TIFF that is a JPEG, with the tables that it shares with others.
pub(super) fn decode_strip(strip: &JpegStrip<'_>) -> Result<RgbImage, MediaError> {
    /// Says that three channels are red, green and blue.
    const ADOBE: &[u8] = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0";
    let without_frame = |file: &[u8]| {
        let file = file.strip_prefix(&[0xff, 0xd8]).unwrap_or(file);
        file.strip_suffix(&[0xff, 0xd9]).unwrap_or(file).to_vec()
    };
    let color: &[u8] = if strip.is_rgb { ADOBE } else { b"" };
    let tables = strip.tables.map(without_frame).unwrap_or_default();
    let bytes = [&[0xff, 0xd8], color, &tables, &without_frame(strip.bytes), &[0xff, 0xd9]].concat();
    let limits = MediaLimits {
        max_pixels: strip.max_pixels,
        min_edge_px: 1,
        max_aspect_ratio: f64::MAX,
        ..MediaLimits::default()
    };
    let source = probe_whole(&bytes, &limits)?;
    let (width_px, height_px) = source.parsed.stored_px;
    let mut image = RgbImage::gray(width_px, height_px, 0).ok_or_else(no_pixels)?;
    JpegFile::of(&source).ok_or_else(no_pixels)?.decode_rgb_into(&mut image)?;
    Ok(image)
}

/// How colours are stored; `None` if they have less than half the resolution of the image.
fn halved(subsamp: Subsamp) -> Option<Halved> {
    let (columns, rows) = match subsamp {
        // Gray has no colours, so their resolution does not matter.
        Subsamp::Gray | Subsamp::None => (false, false),
        Subsamp::Sub2x1 => (true, false),
        Subsamp::Sub1x2 => (false, true),
        Subsamp::Sub2x2 => (true, true),
        _ => return None,
    };
    Some(Halved { columns, rows })
}

/// Ignores the warnings after which the image is complete.
fn unless_harmless(outcome: turbojpeg::Result<()>) -> turbojpeg::Result<()> {
    match outcome {
        Err(error) if is_harmless(&error, HARMLESS_IN_SCANS) || leaves_little(&error) => Ok(()),
        outcome => outcome,
    }
}

fn new_decoder() -> turbojpeg::Result<Decompressor> {
    let mut decoder = Decompressor::new()?;
    decoder.set_scan_limit(MAX_SCANS)?;
    Ok(decoder)
}

/// Warnings of libjpeg (`jerror.h`, `JWRN_…`) about what is before the coded data.
const HARMLESS_IN_HEADER: &[&str] = &[
    "extraneous bytes before marker",
    "bad ICC marker",
    "Unknown Adobe color transform code",
    "unknown JFIF revision number",
];

/// Those about scans after which the image is complete.
const HARMLESS_IN_SCANS: &[&str] = &["Inconsistent progression sequence"];

/// Whether an error is one of these warnings.
fn is_harmless(error: &turbojpeg::Error, warnings: &[&str]) -> bool {
    match error {
        turbojpeg::Error::TurboJpegError(message) => warnings.iter().any(|warning| message.contains(warning)),
        _ => false,
    }
}

/// Whether an error is the warning that bytes are left between the last block and the end marker, and these are few. More are coded
/// data: of a damaged file, whose blocks took too little of them, so that the picture is not the file's.
fn leaves_little(error: &turbojpeg::Error) -> bool {
    const MOST_BYTES: u32 = 3;
    let turbojpeg::Error::TurboJpegError(message) = error else { return false };
    let Some(left) = message.strip_suffix(" extraneous bytes before marker 0xd9") else { return false };
    left.rsplit(' ').next().and_then(|left| left.parse().ok()).is_some_and(|left: u32| left <= MOST_BYTES)
}

/// `a × b ÷ 255`, rounded.
fn multiply(a: u8, b: u8) -> u8 {
    ((u16::from(a) * u16::from(b) + 127) / 255) as u8
}
