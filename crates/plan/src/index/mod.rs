//! The index: one row per record seen, from annotations and media headers alone.
//!
//! ```text
//! Source::read (one thread, finds boundaries) ──▶ measure (pool) ──▶ index file, in the order of the source
//! ```
//!
//! While a file is made, it is kept in parts: a process that is killed loses what it measured in the last seconds.
//! Index files are kept, and reused while the annotation file and every setting that they depend on are unchanged. Records whose
//! media were changed since are measured again, and no others.
//! Nothing is selected here: what is drawn may change without a new index.

pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod file;
mod file_digests;
pub(crate) mod group;
pub(crate) mod measure;
pub(crate) mod media;
mod overlength;
mod parts;
mod records;
pub(crate) mod refresh;
pub(crate) mod table;
pub(crate) mod visuals;
pub(crate) mod writer;
