//! Datasets on their way: to an object store, and from there to the disks of a training cluster.
//!
//! ```text
//! directory ─ DatasetFiles ─▶ claim ─▶ survey: new, same, replaced, left over ─▶ send ─▶ manifest ─▶ removal of what is left
//!                                                                    part by part, with a journal
//! storage ─ manifest ─▶ choice of shards ─▶ fetch, range by range ─▶ directory, the manifest last
//! ```
//!
//! **Invariant:** whoever reads a manifest at the destination finds every file that it names, whole; whenever a transfer is
//! killed. **Invariant:** nothing is taken for transferred that was not compared with the digest in the manifest.

mod claim;
mod download;
mod earlier;
mod error;
mod files;
mod gate;
mod journal;
mod outbox;
mod send;
mod survey;
mod upload;

pub use claim::CLAIM_FILE;
pub use download::{Choice, Download, Downloaded, RankOf};
pub use error::TransferError;
pub use files::{SentFile, StagedShards};
pub use gate::Pace;
pub use outbox::{Outbox, abandon};
pub use survey::Survey;
pub use upload::{ReplacedUploads, Upload, UploadOptions, Uploaded, ensure_replaceable, ensure_unclaimed, settle};
