//! The vocabulary of manyframe: records and their visuals, rejections, costs, digests, index rows, samples.
//!
//! ```text
//! Record (sources) ──▶ IndexRow (plan, samplers) ──▶ Sample (engine, shards)
//!     └─ or RejectedRecord ──────────────────────────▶ ledger
//! ```
//!
//! **Invariant:** nothing here performs I/O, starts a thread, or knows a file format or a prompt format.

mod contain;
mod cost;
mod device;
mod digest;
mod index;
mod media;
mod needle;
mod record;
mod reject;
mod sample;
mod shape;
mod signature;
mod text_form;

pub use contain::{contained, is_contained};
pub use cost::{Cost, Total};
pub use device::DeviceChoice;
pub use digest::{Digest, ParseDigestError, RecordId, rank};
pub use index::{IndexRow, IndexVec, RecordIndex, SourceIndex, TypedIndex};
pub use media::{
    BlobRef, Clip, ClipFile, ClipFrames, ComposedVideo, Edit, FrameChoice, FrameEdit, Grid, MediaKind, MediaLocation,
    MediaRef, NeedleClip, NeedleFrame, PastedImage, PreparedClip, TileCut,
};
pub use needle::{NeedleKind, NeedleOption, NeedleQuestion, NeedleTask, PlacedNeedle};
pub use record::{
    Origin, Part, Position, Record, RecordError, Role, Turn, UncheckedRecord, Visual, VisualKind, is_document,
};
pub use reject::{RejectCode, RejectedRecord, Rejection};
pub use sample::{
    ClipFormat, HandledImages, HandledVideos, Handling, ImageFormat, Layout, Message, ModelVisual, Sample, SampleClip,
    SampleImage, SampleTokens, SampleVisual, describe_videos,
};
pub use shape::VisualShape;
pub use signature::Signature;
