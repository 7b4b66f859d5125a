//! Bytes to pixels to bytes: locating media, reading their headers, decoding, tiling, scaling, encoding, video.
//!
//! ```text
//! MediaRoot ──▶ MediaStore ──locate──▶ Located ──read──▶ bytes ──prepare_image──▶ SampleImage
//!  dir, zip, tar                          └─probe_image──▶ ImageHeader    └─tile_image──▶ TiledImage
//!
//! What needs no change keeps its bytes if every reader accepts them; otherwise it is cleaned: its pixels keep theirs.
//!
//! JPEG ──decode──▶ Ycbcr ──cut, resize──▶ encode ──▶ JPEG      without converting to RGB, which loses levels and time
//! PNG, WebP, …  ──▶ RgbImage ──┘
//! video frame ──▶ planes ──resize──▶ encode ──▶ JPEG           likewise; frames that are stored as RGB, or by a palette, as RGB
//! ```
//!
//! **Invariant:** paths are untrusted: nothing outside a media root is ever opened.
//! **Invariant:** no memory is allocated for a size that a header claims before that size is checked against the limits.
//! A bad medium is [`MediaError::Rejected`], which rejects a record; a storage error is [`MediaError::Storage`].

mod avi;
#[cfg_attr(
    not(feature = "video"),
    expect(dead_code, reason = "without FFmpeg, AVIF images are described and not decoded")
)]
mod avif;
mod canvas;
mod container;
mod damage;
mod decode;
mod encode;
mod error;
mod fingerprint;
mod identity;
mod limits;
mod located;
mod lossless;
mod metadata;
mod pixels;
mod pnm;
mod policy;
mod prepare;
mod probe;
mod resize;
mod sampling;
mod scratch;
mod sniff;
mod store;
mod tiff;
mod tile;
#[cfg_attr(not(feature = "video"), path = "video/disabled.rs")]
pub mod video;
mod vp8;
mod ycbcr;

pub use avi::write_motion_jpeg;
pub use canvas::{ensure_writable, fit_into, fitting_px, paste_into_quarter, write_text};
pub use damage::{DamagePolicy, DamageRule, FrameDamage};
pub use decode::decode_rgb;
pub use encode::{MAX_JPEG_EDGE_PX, encode_jpeg};
pub use error::{MediaError, OpenError};
pub use fingerprint::ImageFingerprint;
pub use identity::MediaIdentity;
pub use limits::MediaLimits;
pub use located::{ArchiveFile, Located, read_range};
pub use pixels::{RgbImage, RgbView};
pub use policy::{Check, DeliveredSize, ImagePolicy, JpegOptions, Subsampling};
pub use prepare::{Prepared, check_delivered, prepare_image, prepare_pixels};
pub use probe::{ImageHeader, probe_image_bytes};
pub use resize::{fit_longest_edge, resize, resize_lanczos};
pub use sampling::{Sampling, spread, spread_positions};
pub use sniff::SourceFormat;
pub use store::{MediaRoot, MediaStore, TarListing, TarMember, is_tar, list_tar, natural_order};
pub use tile::{Cut, OddPixel, OverviewScaling, TilePlan, TilePolicy, TiledImage, plan_tiles, tile_image};
