//! What a dataset is made of, and how it is read.
//!
//! ```text
//! DATASET/manifest.json                     shards with sizes and digests, sources, totals, the pipeline file
//! DATASET/ledger.parquet                    every record seen: delivered where, or why not
//! DATASET/pack-DIGEST.parquet               training sequences over the samples, if the pipeline file asks for them
//! DATASET/{webdataset,parquet}/LAYOUT/…     the shards, and what readers of their formats expect beside them
//! DATASET/README.md, croissant.json         the data card, for people and for catalogues
//! DATASET/build.json                        facts about the build that differ between machines
//! ```
//!
//! Reading one:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # mod fixture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture/mod.rs")); }
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! # fixture::write_dataset(path)?;
//! use manyframe_dataset::{DatasetReader, Status};
//!
//! let dataset = DatasetReader::open(path)?;
//! println!("{}: {} samples", dataset.manifest().name, dataset.manifest().total.num_samples);
//!
//! // All samples, one at a time.
//! let mut num_images = 0;
//! for shard in dataset.shards_of_one_format() {
//!     for sample in dataset.samples(shard)? {
//!         num_images += sample?.images.len();
//!     }
//! }
//! assert_eq!(num_images, 1);
//!
//! // What happened to each record, and the sample of one of them.
//! for row in dataset.ledger()? {
//!     let row = row?;
//!     match row.status {
//!         Status::Rejected => println!("{}: {}", row.origin, row.reason.unwrap_or_default()),
//!         _ => println!("{}: {}", row.origin, row.status.as_str()),
//!     }
//! }
//! let row = dataset.find_rows("hello", 1)?.remove(0);
//! let sample = dataset.read_sample(&row)?.ok_or("it was delivered")?;
//! assert_eq!(sample.messages[1].content, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** nothing here decides what is in a dataset; it is written as passed in, and read back.

mod build_facts;
mod by_digest;
mod card;
pub mod columns;
mod croissant;
mod decontamination;
mod difference;
mod error;
mod ledger;
mod licenses;
mod manifest;
mod needles;
mod packs;
mod reader;
mod record_json;
mod sample_difference;
mod sample_reader;
mod shard_name;
mod source;
mod table_file;

pub use build_facts::{BUILD_FACTS_FILE, BuildFacts, WorkDone};
pub use by_digest::{Names, OBJECTS_DIRECTORY, StatedFile, named_files};
pub use card::{CARD_FILE, FilesBeside};
pub use croissant::CROISSANT_FILE;
pub use decontamination::{DecontaminationExcess, DecontaminationSummary, RejectedMedium};
pub use difference::{
    Aspect, DatasetDifference, DatasetIdentity, RecordExample, RecordGroup, ShardDifference, SourceCounts,
    SourceDifference,
};
pub use error::DatasetError;
pub use ledger::{LEDGER_FILE, LedgerDigest, LedgerRow, LedgerWriter, SamplePlace, Status, ledger_schema, read_ledger};
pub use manifest::{LedgerEntry, MANIFEST_FILE, MANIFEST_VERSION, Manifest, NotesByShard, PackEntry, ShardEntry};
pub use needles::{NEEDLES_FILE, NeedleEntry, NeedlesEntry};
pub use packs::{AuditSummary, PackDigest, PackIndexTable, PackRow, PackSummary, PackWriter, pack_schema, read_packs};
pub use reader::{DatasetReader, SampleLocation};
pub use record_json::RecordJson;
pub use sample_difference::SampleComparison;
pub use sample_reader::SampleReader;
pub use shard_name::{ParseShardNameError, ShardName, ShardPath};
pub use source::{Asked, Excess, ReplayedSource, SourceBudget, SourceSummary};
pub use table_file::{OpenTable, TableDigest, TableFileWriter, read_rows, read_table_file};
