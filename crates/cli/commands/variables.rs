//! `--set NAME=PATH` of commands that work on datasets: where what a variable of the pipeline file names is on this machine.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use manyframe_dataset::DatasetReader;
use manyframe_pipeline::{Override, absolute_path};

use crate::exit;

/// The variables that replace those of the build. A name that no path of the dataset begins with is an error.
pub(super) fn replaced(dataset: &DatasetReader, set: &[Override]) -> Result<BTreeMap<String, String>> {
    if set.is_empty() {
        return Ok(BTreeMap::new());
    }
    let known = dataset.pipeline(&BTreeMap::new())?.variable_names();
    let unknown = |set: &&Override| !known.contains(&set.key);
    if let Some(set) = set.iter().find(unknown) {
        let names = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("no path of the dataset begins with a variable {:?}; there are {names}", set.key);
        return Err(exit::UsageError(message).into());
    }
    Ok(values(set))
}

/// The values that variables are set to. A relative path starts in the working directory.
pub(super) fn values(set: &[Override]) -> BTreeMap<String, String> {
    let value = |set: &Override| absolute_path(Path::new(&set.value)).display().to_string();
    set.iter().map(|set| (set.key.clone(), value(set))).collect()
}
