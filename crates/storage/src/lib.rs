//! Where the files of a dataset are: a directory of this machine, or an object store.
//!
//! ```text
//! open("out/mine")       LocalDirectory ┐
//! open("s3://…")                        │
//! open("gs://…")                        ├── Storage ── Parts: a large file, sent part by part
//! open("az://…")         ObjectStorage  │
//! open("https://…")      (read only)    │
//! open("memory:")        (tests)        ┘
//! ```
//!
//! [`Stores`] reads sources: files by path or URL, as [`manyframe_base::FileAccess`] opens them, with a cache on this machine.
//!
//! Every call blocks: the futures of the object stores' client end here. Which files a dataset has, and in which order they
//! are sent, is decided elsewhere.
//!
//! The feature `stores` is what reaches object stores. Without it, a URL is an error that says so.
//!
//! **Invariant:** credentials come from [`StoreOptions`] and go nowhere but to the store: no error or location has one.

mod flow;
mod local;
mod storage;
mod store_url;
#[cfg_attr(not(feature = "stores"), path = "stores_disabled.rs")]
mod stores;

pub use flow::{Flow, Rate};
pub use local::{LocalDirectory, digest_of_file};
pub use storage::{Condition, FileState, Part, Parts, Storage, StoredFile, Version, Written};
pub use store_url::is_below_bucket;
pub use stores::{CacheOptions, StorageError, StoreOptions, Stores, check_url, open};
