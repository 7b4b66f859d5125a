//! Images as most JPEGs hold them: a brightness channel and two colour channels, which often have half its resolution.
//!
//! ```text
//! JPEG ──▶ channels ──▶ parts of them ──▶ JPEG      the same samples as
//! JPEG ──▶ channels ──▶ RGB ──▶ parts ──▶ channels ──▶ JPEG   less what the way to RGB and back loses
//! ```
//!
//! Colours are brought to full resolution row by row, where they are needed, exactly as libjpeg does it: the RGB image that
//! libjpeg would give is the one that these channels show.

#![expect(
    clippy::inline_always,
    reason = "what a vectorised loop calls has to be compiled into it, for the same vector unit"
)]

mod channel;
mod from_rgb;
mod part;
mod resize;

pub(crate) use self::channel::{Channel, Halved};
pub(crate) use self::from_rgb::with_ycbcr_of;
pub(crate) use self::part::{Area, Part};

/// An image of 8-bit YCbCr samples as JFIF defines them (BT.601, full range), read in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ycbcr<'a> {
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Brightness (Y), then the colour channels Cb and Cr.
    pub(crate) channels: [Channel<'a>; 3],
}

/// An image with all channels at full resolution, one after the other.
pub(crate) struct YcbcrImage {
    width_px: u32,
    height_px: u32,
    samples: Vec<u8>,
}

/// White, which is also what transparent pixels are put on.
pub(crate) const WHITE: [u8; 3] = [255, NO_COLOUR, NO_COLOUR];
/// The level of colour channels where there is no colour.
const NO_COLOUR: u8 = 128;

impl<'a> Ycbcr<'a> {
    /// An image of three planes of full resolution, one after the other.
    fn of_planes(width_px: u32, height_px: u32, samples: &'a [u8]) -> Self {
        let plane_bytes = width_px as usize * height_px as usize;
        let channels = [0, 1, 2].map(|number| Channel {
            samples: samples.get(number * plane_bytes..(number + 1) * plane_bytes).unwrap_or_default(),
            width: width_px as usize,
            halved: Halved::NOT,
        });
        Self { width_px, height_px, channels }
    }

    /// All of the image.
    pub(crate) fn whole(&self) -> Area {
        Area { origin_px: (0, 0), size_px: (self.width_px, self.height_px) }
    }
}

impl YcbcrImage {
    /// The image, read in place.
    pub(crate) fn channels(&self) -> Ycbcr<'_> {
        Ycbcr::of_planes(self.width_px, self.height_px, &self.samples)
    }
}
