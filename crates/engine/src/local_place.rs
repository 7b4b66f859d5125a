//! Where work on a dataset is in progress on this machine, wherever the dataset is.

use std::path::PathBuf;

use manyframe_core::Digest;
use manyframe_dataset::{DatasetReader, MANIFEST_FILE};

/// The directory of a dataset; for one that is elsewhere, a place of its own among temporary files, which need not exist.
pub(crate) fn local_place(dataset: &DatasetReader) -> PathBuf {
    if dataset.storage().local_path(MANIFEST_FILE).is_ok() {
        return dataset.location().to_owned();
    }
    let name = Digest::of(dataset.location().as_os_str().as_encoded_bytes()).first_bits();
    std::env::temp_dir().join(format!("manyframe-{name:016x}"))
}
