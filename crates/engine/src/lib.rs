//! Runs a plan: tasks to shards, then the commit that makes them a dataset; and reads datasets back.
//!
//! ```text
//! plan ──run_task, on any engine──▶ shards + reports ──commit──▶ dataset ──verify, find_rows, read_sample──▶ people
//!                                                                     └────export_llava_json──▶ other trainers
//! ```
//!
//! **Invariant:** nothing is visible before commit; a crash leaves nothing that a later run takes for finished.
//! **Invariant:** records in = delivered + rejected + duplicate + not drawn, or there is no commit.

mod built;
mod card;
mod commit;
mod error;
mod export;
mod ledger;
mod local;
mod look;
mod manifest;
mod packs;
mod placed;
mod sample;
mod task;
mod validate;
mod verify;

pub use commit::{Committed, commit, committed_before, refuse_foreign};
pub use error::EngineError;
pub use export::{ExportOptions, Exported, export_llava_json};
pub use ledger::{LedgerRow, Status, ledger_schema, read_ledger};
pub use local::run_all;
pub use look::{find_rows, read_origin, read_sample};
pub use manifest::{LedgerEntry, MANIFEST_VERSION, Manifest, PackEntry, ShardEntry, SourceSummary};
pub use packs::{PackRow, pack_schema, read_packs, repack};
pub use task::{OutcomeResult, RecordOutcome, ShardReport, TaskReport, run_task};
pub use validate::{ValidateRequest, Validated, validate};
pub use verify::{Verification, verify};
