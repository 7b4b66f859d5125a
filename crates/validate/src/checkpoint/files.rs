//! Which files of a directory make up a model.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::names::Part;
use crate::ValidateError;
use crate::config::{VISION_DIR, parse, read_json};

/// All tensors of a model that is in one file.
pub(super) const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
/// The projector, where it is a file of its own.
const PROJECTOR_FILE: &str = "mm_projector.safetensors";

#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// The files of a model, in order, each with what stands in it.
pub(super) fn list(directory: &Path) -> Result<Vec<(PathBuf, Part)>, ValidateError> {
    let mut files: Vec<_> = shards(directory)?.into_iter().map(|path| (path, Part::Whole)).collect();
    let projector = directory.join(PROJECTOR_FILE);
    if projector.exists() {
        files.push((projector, Part::Whole));
    }
    let tower = directory.join(VISION_DIR);
    if tower.is_dir() {
        files.extend(shards(&tower)?.into_iter().map(|path| (path, Part::Vision)));
    }
    Ok(files)
}

/// The files that an index names, or the single file.
fn shards(directory: &Path) -> Result<Vec<PathBuf>, ValidateError> {
    let index_path = directory.join(INDEX_FILE);
    if !index_path.exists() {
        return Ok(vec![directory.join(SINGLE_FILE)]);
    }
    let index: Index = parse(read_json(&index_path)?, &index_path)?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    let is_plain = |name: &String| Path::new(name).file_name().is_some_and(|plain| plain == name.as_str());
    if let Some(name) = names.iter().find(|name| !is_plain(name)) {
        let detail = format!("it names {name:?}, which is not a file beside it");
        return Err(ValidateError::Damaged { path: index_path, detail });
    }
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}
