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
//! **Invariant:** credentials come from [`StoreOptions`] and go nowhere but to the store: no error or location has one.

mod cache;
mod connection;
mod flow;
mod local;
mod object;
mod open;
mod profile;
mod remote_file;
mod storage;
mod store_url;
mod stores;

pub use cache::CacheOptions;
pub use flow::{Flow, Rate};
pub use local::{LocalDirectory, digest_of_file};
pub use object::ObjectStorage;
pub use open::{StorageError, StoreOptions, check_url};
pub use storage::{Condition, FileState, Part, Parts, Storage, StoredFile, Version, Written};
pub use store_url::is_below_bucket;
pub use stores::{Stores, open};
