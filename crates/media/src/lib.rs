//! Bytes to pixels to bytes: where media are, what their headers say, decoding, tiling, scaling, encoding, video.
//!
//! ```text
//! MediaRoot ──▶ MediaStore ──locate──▶ Located ──read──▶ bytes ──prepare_image──▶ SampleImage
//!  dir, zip, tar                          └─probe_image──▶ ImageHeader    └─tile_image──▶ TiledImage
//!
//! JPEG ──decode──▶ Ycbcr ──cut, resize──▶ encode ──▶ JPEG      no way through RGB, which loses levels and time
//! PNG, WebP, …  ──▶ RgbImage ──┘    RgbImage ◀── video frames
//! ```
//!
//! **Invariant:** paths are untrusted: nothing outside of a media root is ever opened.
//! **Invariant:** nothing is allocated because a header claims a size, before the limits have been checked.
//! A bad medium is [`MediaError::Rejected`], which rejects a record; failing storage is [`MediaError::Storage`].

mod decode;
mod encode;
mod error;
mod limits;
mod located;
mod look;
mod pixels;
mod policy;
mod prepare;
mod probe;
mod resize;
mod sampling;
mod scratch;
mod sniff;
mod store;
mod tile;
#[cfg_attr(not(feature = "video"), path = "video/disabled.rs")]
pub mod video;
mod ycbcr;

pub use decode::decode_rgb;
pub use encode::{MAX_JPEG_EDGE_PX, encode_jpeg};
pub use error::{MediaError, OpenError};
pub use limits::MediaLimits;
pub use located::{ArchiveFile, Located};
pub use look::Look;
pub use pixels::{RgbImage, RgbView};
pub use policy::{Check, ImagePolicy, JpegOptions, Subsampling};
pub use prepare::{prepare_image, prepare_pixels};
pub use probe::{ImageHeader, probe_image_bytes};
pub use resize::{fit_longest_edge, resize};
pub use sampling::{Sampling, spread};
pub use sniff::SourceFormat;
pub use store::{MediaRoot, MediaStore, read_range};
pub use tile::{OddPixel, TilePlan, TilePolicy, TiledImage, plan_tiles, tile_image};
