//! Where a dataset is: a directory or a URL, with what the environment says of its store.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use manyframe_dataset::DatasetReader;
use manyframe_storage::{Storage, StoreOptions};

use crate::args::StoreArguments;

/// Opens a directory or URL.
pub(super) fn open_storage(location: &Path, store: &StoreArguments) -> Result<Arc<dyn Storage>> {
    let environment = std::env::vars_os();
    let environment =
        environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let options = StoreOptions::from_environment(environment.collect(), store.endpoint.clone());
    Ok(manyframe_storage::open(location, &options)?)
}

/// Opens the dataset in a directory or at a URL.
pub(super) fn open_dataset(location: &Path, store: &StoreArguments) -> Result<DatasetReader> {
    Ok(DatasetReader::open_in(open_storage(location, store)?)?)
}
