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
//! Every call blocks: the futures of the object stores' client end here. Which files a dataset has, and in which order they
//! are sent, is decided elsewhere.
//!
//! **Invariant:** credentials come from [`StoreOptions`] and go nowhere but to the store: no error or location has one.

mod local;
mod object;
mod open;
mod profile;
mod remote_file;
mod storage;

pub use local::{LocalDirectory, digest_of_file};
pub use object::ObjectStorage;
pub use open::{StorageError, StoreOptions, is_url, open};
pub use storage::{Condition, FileState, Parts, Storage, StoredFile, Version, Written};
