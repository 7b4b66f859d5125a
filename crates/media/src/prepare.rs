//! One image, ready for delivery: unchanged where possible, cleaned where that is enough, otherwise decoded, scaled and encoded.

use manyframe_base::in_flight::part_done;
use manyframe_core::{Handling, ImageFormat, RejectCode, SampleImage};

use crate::container;
use crate::decode::{check_pixels, with_ycbcr};
use crate::encode::{encode_jpeg, encode_planes, encode_ycbcr, encoded_sizes};
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::pixels::RgbImage;
use crate::policy::{Check, ImagePolicy};
use crate::probe::{ImageHeader, ProbedImage, has_end_of_image, probe_whole};
use crate::resize::resize;
use crate::sniff::SourceFormat;
use crate::ycbcr::{Plane, Ycbcr};

/// An image that is ready for delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The image.
    pub image: SampleImage,
    /// How it came to its bytes.
    pub handling: Handling,
}

/// Prepares an image for delivery.
///
/// An image that is [`ImageHeader::deliverable_as_is`] and needs no scaling keeps its bytes if every reader opens them, with its
/// default limits and without a warning; otherwise everything but its pixels is left out. Any other becomes a JPEG.
///
/// # Errors
/// A rejection if the bytes are no image, a damaged one, or exceed the limits.
pub fn prepare_image(bytes: Vec<u8>, policy: &ImagePolicy) -> Result<Prepared, MediaError> {
    let source = probe_whole(&bytes, &policy.limits)?;
    let header = &source.header;
    let delivered_px = policy.delivered_px(header.width_px, header.height_px);
    let is_unchanged = delivered_px == (header.width_px, header.height_px);
    if let Some(format) = delivered_format(header).filter(|_| is_unchanged) {
        let (width_px, height_px) = delivered_px;
        let with = |bytes, handling| Prepared { image: SampleImage { bytes, format, width_px, height_px }, handling };
        match container::flaw(&source, policy.check) {
            None => match check(&source, policy.check) {
                Ok(()) => {
                    part_done();
                    return Ok(with(bytes, Handling::Unchanged));
                }
                // The pixels may be there all the same, as in a PNG with a wrong checksum.
                Err(error) => tracing::debug!(%error, "an image does not keep its bytes"),
            },
            Some(flaw) => {
                tracing::debug!(flaw, "an image is cleaned");
                if let Some(cleaned) = cleaned(&source, &policy.limits) {
                    part_done();
                    return Ok(with(cleaned, Handling::Cleaned));
                }
            }
        }
    }
    let image = with_ycbcr(&source, |image| encode_scaled(image, delivered_px, policy))?;
    part_done();
    Ok(Prepared { image, handling: Handling::Encoded })
}

/// Checks an image of a dataset: that every reader opens it, and that it shows its pixels as they are stored. Returns its size.
///
/// # Errors
/// A rejection that says what is wrong.
pub fn check_delivered(bytes: &[u8], limits: &MediaLimits) -> Result<(u32, u32), MediaError> {
    let source = probe_whole(bytes, limits)?;
    let ImageHeader { width_px, height_px, .. } = source.header;
    let not_deliverable = |why: &str| {
        let detail = format!("the {:?} is not as manyframe delivers it: {why}", source.header.format);
        MediaError::rejected(RejectCode::MediaCorrupt, detail)
    };
    if delivered_format(&source.header).is_none() {
        return Err(not_deliverable(
            "of another format, turned, animated, or with colours that readers show differently",
        ));
    }
    if let Some(flaw) = container::flaw(&source, Check::Decode) {
        return Err(not_deliverable(flaw));
    }
    check_pixels(&source).map(|()| (width_px, height_px))
}

/// The image without anything but its pixels, if readers then open it and it is whole.
fn cleaned(source: &ProbedImage<'_>, limits: &MediaLimits) -> Option<Vec<u8>> {
    let bytes = container::cleaned(source)?;
    let (width_px, height_px) = check_delivered(&bytes, limits).ok()?;
    ((width_px, height_px) == (source.header.width_px, source.header.height_px)).then_some(bytes)
}

fn check(source: &ProbedImage<'_>, check: Check) -> Result<(), MediaError> {
    match check {
        Check::Decode => check_pixels(source),
        Check::Header => check_end(source),
    }
}

/// Prepares pixels for delivery: scaled down to `max_edge_px` and encoded as a JPEG.
pub fn prepare_pixels(pixels: &RgbImage, policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
    let (width_px, height_px) = policy.delivered_px(pixels.width_px(), pixels.height_px());
    let bytes = if (width_px, height_px) == (pixels.width_px(), pixels.height_px()) {
        encode_jpeg(pixels.view(), policy.jpeg())?
    } else {
        encode_jpeg(resize(pixels.view(), width_px, height_px)?.view(), policy.jpeg())?
    };
    Ok(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px })
}

/// As [`prepare_pixels`], of channels that each have a resolution of their own. Each is scaled once, to that at which it is
/// encoded; first and last samples stay at the borders.
#[cfg_attr(not(feature = "video"), expect(dead_code, reason = "frames of videos are encoded so"))]
pub(crate) fn prepare_planes(stored: &[Plane; 3], policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
    let [y, cb, cr] = stored;
    let (width_px, height_px) = policy.delivered_px(y.size.0, y.size.1);
    let (size, colour_size) = encoded_sizes((width_px, height_px), policy.subsampling);
    let [y, cb, cr] = [y.resized(size)?, cb.resized(colour_size)?, cr.resized(colour_size)?];
    let bytes = encode_planes([&y, &cb, &cr], policy.jpeg())?;
    Ok(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px })
}

/// Scales an image to a size and encodes it as a JPEG.
pub(crate) fn encode_scaled(
    image: Ycbcr<'_>,
    (width_px, height_px): (u32, u32),
    policy: &ImagePolicy,
) -> Result<SampleImage, MediaError> {
    let bytes = if (width_px, height_px) == (image.width_px, image.height_px) {
        encode_ycbcr(image, image.whole(), policy.jpeg())?
    } else {
        image.with_resized((width_px, height_px), |scaled| encode_ycbcr(scaled, scaled.whole(), policy.jpeg()))?
    };
    Ok(SampleImage { bytes, format: ImageFormat::Jpeg, width_px, height_px })
}

fn delivered_format(header: &ImageHeader) -> Option<ImageFormat> {
    match header.format {
        _ if !header.deliverable_as_is => None,
        SourceFormat::Jpeg => Some(ImageFormat::Jpeg),
        SourceFormat::Png => Some(ImageFormat::Png),
        SourceFormat::Webp => Some(ImageFormat::Webp),
        _ => None,
    }
}

/// Rejects a JPEG whose end is missing, without decoding it. The chunks of the other formats have ends of their own.
fn check_end(source: &ProbedImage<'_>) -> Result<(), MediaError> {
    let ProbedImage { bytes, parsed, .. } = source;
    let is_whole = match (parsed.format, &parsed.jpeg) {
        (SourceFormat::Jpeg, Some(jpeg)) => has_end_of_image(bytes, jpeg.scan_start),
        _ => true,
    };
    if is_whole {
        return Ok(());
    }
    let detail = format!("the {:?} image is cut short after {} bytes", parsed.format, bytes.len());
    Err(MediaError::rejected(RejectCode::MediaCorrupt, detail))
}
