//! Images as most JPEGs store them: a brightness channel and two colour channels, often at half its resolution.
//!
//! ```text
//! JPEG ──▶ channels ──▶ parts ──▶ JPEG                           the same samples, without the losses of
//! JPEG ──▶ channels ──▶ RGB ──▶ parts ──▶ channels ──▶ JPEG      converting to RGB and back
//! ```
//!
//! Colours are upsampled row by row where they are needed, exactly as in libjpeg: converted to RGB, these channels are the
//! pixels that libjpeg decodes.

#![expect(
    clippy::inline_always,
    reason = "functions called in a vectorised loop must be compiled into it, for the same vector unit"
)]

mod channel;
mod image;
mod part;
mod plane;
mod resize;

pub(crate) use self::channel::{Channel, Halved, WHITE};
pub(crate) use self::image::{Ycbcr, with_ycbcr_of};
pub(crate) use self::part::{Area, ChannelPart};
pub(crate) use self::plane::Plane;
