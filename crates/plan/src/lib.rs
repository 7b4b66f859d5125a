//! Pipeline file to plan: everything that is decided before a pixel is decoded.
//!
//! ```text
//! pipeline.toml ──parse──▶ Pipeline ──Context::open──▶ Context ──make──▶ Plan, records, tasks
//!                                                        index → duplicates → draw → shuffle → cut
//! ```
//!
//! **Invariant:** a plan is a function of the pipeline file, the inputs and this program's version.
//! **Invariant:** no image and no frame is decoded here, unless the pipeline file asks for looks or for a check of all media;
//! media are read whole only to tell duplicates apart.

mod built;
mod context;
mod decide;
mod delivered;
mod duplicates;
mod error;
mod fit;
mod index;
mod make;
mod media;
mod packing;
mod plan;
mod records;
mod replay;
mod rows;

pub use built::source_settings_digests;
pub use context::{Context, OpenSource};
pub use error::PlanError;
pub use fit::{Fit, Piece};
pub use index::{fewest_tiles, in_visual, plan_key};
pub use make::{Earlier, MadePlan, make};
pub use media::ChosenFrames;
pub use media::SourceMedia;
pub use packing::{PackSample, Packing, pack_samples};
pub use plan::{PLAN_VERSION, Plan, PlannedSample, TaskHeader, read_sequences, read_task, records_path};
pub use records::{Decision, PlannedRecord, read_records};
