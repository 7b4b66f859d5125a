//! The container of an AVIF image (ISO/IEC 23008-12 with AV1): which bytes are the image, its tiles and its transparency.
//!
//! It decodes nothing, and reads the still image only: of a sequence, the one that represents it.

mod boxes;
mod items;

pub(crate) use self::items::{AvifImage, NotRead};
#[cfg(feature = "video")]
pub(crate) use self::items::{Coded, ColorCode, Tiles};
