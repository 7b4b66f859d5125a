//! Where datasets and sources are: on this machine or in object stores, with what the environment says of these.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use manyframe_base::is_url;
use manyframe_dataset::{DatasetReader, MANIFEST_FILE};
use manyframe_engine::{is_export, list_of_export};
use manyframe_storage::{CacheOptions, Storage, StoreOptions, Stores};

use crate::args::{StoreArguments, parse_bytes};
use crate::exit::UsageError;

/// The variable with the directory of the cache: empty for none.
const CACHE: &str = "MANYFRAME_CACHE";
/// The variable with the largest size of the cache.
const CACHE_SIZE: &str = "MANYFRAME_CACHE_SIZE";
/// Its largest size otherwise.
const DEFAULT_CACHE_BYTES: u64 = 20 << 30;

/// An absolute path, of which the working directory may be a part.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            UsageError("the working directory was removed; change to one that exists".to_owned()).into()
        }
        _ => error.into(),
    })
}

/// Refuses a URL where a command writes to this machine.
pub(super) fn expect_local(path: &Path, written: &str) -> Result<()> {
    if !is_url(path) {
        return Ok(());
    }
    let message = format!("{} is a URL; {written} to a directory, from where other programs copy it", path.display());
    Err(UsageError(message).into())
}

/// Opens a directory or URL.
pub(super) fn open_storage(location: &Path, store: &StoreArguments) -> Result<Arc<dyn Storage>> {
    Ok(stores_at(store)?.storage(location)?)
}

/// Opens the dataset in a directory or at a URL.
pub(super) fn open_dataset(location: &Path, store: &StoreArguments) -> Result<DatasetReader> {
    let opened = DatasetReader::open_in(open_storage(location, store)?);
    opened.map_err(|error| match suggestion(location) {
        Some(suggestion) => UsageError(format!("{} is not a dataset; {suggestion}", location.display())).into(),
        None => error.into(),
    })
}

/// What was meant by a path that is no dataset: a directory of datasets, or a pipeline file.
fn suggestion(location: &Path) -> Option<String> {
    const MOST_NAMED: usize = 5;
    if location.extension().is_some_and(|extension| extension == "toml") && location.is_file() {
        let pipeline = manyframe_pipeline::read(location, &[]).ok()?.pipeline;
        return Some(format!("it is a pipeline file, whose dataset is {}", pipeline.file.output.location().display()));
    }
    if location.is_file() && location.file_name().is_some_and(|name| name == MANIFEST_FILE) {
        return Some(format!("it is the manifest of one; did you mean {}?", location.parent()?.display()));
    }
    if location.is_file() && list_of_export(location.parent()?).is_some_and(|list| list == location) {
        return Some(format!("it lists the files of an export; did you mean {}?", location.parent()?.display()));
    }
    if location.is_file() {
        return Some("it is a file, and a dataset is a directory".to_owned());
    }
    if !location.is_dir() || location.join(MANIFEST_FILE).exists() {
        return None;
    }
    if let Some(dataset) = location.to_str()?.trim_end_matches('/').strip_suffix(".work") {
        let is_there = Path::new(dataset).join(MANIFEST_FILE).is_file();
        let state = if is_there { "" } else { ", which is not published yet: `manyframe status` shows its build" };
        return Some(format!("it is the work directory of {dataset}{state}"));
    }
    let mut datasets = Vec::new();
    add_datasets(location, LEVELS, &mut datasets);
    datasets.sort_unstable();
    let more = if datasets.len() > MOST_NAMED { ", …" } else { "" };
    let names: Vec<String> = datasets.iter().take(MOST_NAMED).map(|path| path.display().to_string()).collect();
    if !names.is_empty() {
        return Some(format!("did you mean {}{more}?", names.join(", ")));
    }
    if let Some(list) = list_of_export(location) {
        return Some(format!("it has {}, as exports have: `manyframe verify` compares its files", list.display()));
    }
    is_export(location).then(|| "if it is an export, it is one without SHA256SUMS, which lists its files".to_owned())
}

/// Levels of directories in which datasets are looked for.
const LEVELS: usize = 3;

fn add_datasets(directory: &Path, levels: usize, datasets: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    for path in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()) {
        if path.join(MANIFEST_FILE).is_file() {
            datasets.push(path);
        } else if levels > 1 {
            add_datasets(&path, levels - 1, datasets);
        }
    }
}

/// What reaches object stores, as the environment says.
pub(super) fn stores() -> Result<Stores> {
    stores_with(None)
}

/// As [`stores`], with the address of the arguments.
pub(super) fn stores_at(store: &StoreArguments) -> Result<Stores> {
    stores_with(store.endpoint.clone())
}

fn stores_with(endpoint: Option<String>) -> Result<Stores> {
    let environment = std::env::vars_os();
    let environment: BTreeMap<String, String> =
        environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    let cache = cache(&environment)?;
    Ok(Stores::new(StoreOptions::from_environment(environment, endpoint), cache))
}

fn cache(environment: &BTreeMap<String, String>) -> Result<Option<CacheOptions>> {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_user = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let directory = match environment.get(CACHE) {
        Some(directory) => Some(PathBuf::from(directory)).filter(|directory| !directory.as_os_str().is_empty()),
        None => of_user().map(|caches| caches.join("manyframe")),
    };
    let max_bytes = match environment.get(CACHE_SIZE).filter(|size| !size.is_empty()) {
        None => DEFAULT_CACHE_BYTES,
        Some(size) => {
            let wrong = || UsageError(format!("{CACHE_SIZE} is {size:?}, expected bytes, such as 500M or 50G"));
            parse_bytes(size).ok_or_else(wrong)?.get()
        }
    };
    Ok(directory.map(|directory| CacheOptions { directory, max_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_environment_says() {
        let cache = |variables: &[(&str, &str)]| {
            let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let found = cache(&environment.collect()).map_err(|error| error.to_string())?;
            Ok::<_, String>(found.map(|cache| (cache.directory.display().to_string(), cache.max_bytes)))
        };
        let at = |directory: &str, max_bytes| Ok(Some((directory.to_owned(), max_bytes)));
        assert_eq!(cache(&[]), Ok(None));
        assert_eq!(cache(&[("HOME", "/home/me")]), at("/home/me/.cache/manyframe", 20 << 30));
        assert_eq!(cache(&[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/c")]), at("/c/manyframe", 20 << 30));
        assert_eq!(cache(&[("HOME", "/home/me"), (CACHE, "")]), Ok(None));
        assert_eq!(cache(&[(CACHE, "/nvme/c"), (CACHE_SIZE, "1.5G")]), at("/nvme/c", 3 << 29));
        assert!(cache(&[(CACHE_SIZE, "lots")]).unwrap_err().contains("lots"));
    }
}
