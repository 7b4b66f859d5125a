//! The files that make up a model, and their safetensors headers, checked against the file's size before they are
//! trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use candle_core::DType;
use manyframe_base::{FileError, open_regular};
use safetensors::tensor::Metadata;
use serde::Deserialize;

use super::names::FileContents;
use crate::config::{VISION_DIR, parse, read_json};
use crate::error::ValidateError;

/// All tensors of a model that is stored in one file.
pub(super) const SINGLE_FILE: &str = "model.safetensors";
/// Names the files of a model that is stored in several.
const INDEX_FILE: &str = "model.safetensors.index.json";
/// The projector, if it is stored in a separate file.
const PROJECTOR_FILE: &str = "mm_projector.safetensors";
/// Largest header that is read, in bytes; the limit of the format.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Size of the number at the start of a file that is the size of its header.
const LENGTH_BYTES: u64 = 8;

#[derive(Deserialize)]
struct SafetensorsIndex {
    /// Tensor name to file name.
    weight_map: BTreeMap<String, String>,
}

/// The files of a model in a fixed order, each with what it holds.
pub(super) fn list(directory: &Path) -> Result<Vec<(PathBuf, FileContents)>, ValidateError> {
    let mut files: Vec<_> = list_shards(directory)?.into_iter().map(|path| (path, FileContents::Model)).collect();
    let projector = directory.join(PROJECTOR_FILE);
    if projector.exists() {
        files.push((projector, FileContents::Model));
    }
    let tower = directory.join(VISION_DIR);
    if tower.is_dir() {
        files.extend(list_shards(&tower)?.into_iter().map(|path| (path, FileContents::VisionTower)));
    }
    Ok(files)
}

/// The files that the index names, or the single file if there is no index.
fn list_shards(directory: &Path) -> Result<Vec<PathBuf>, ValidateError> {
    let index_path = directory.join(INDEX_FILE);
    if !index_path.exists() {
        return Ok(vec![directory.join(SINGLE_FILE)]);
    }
    let index: SafetensorsIndex = parse(read_json(&index_path)?, &index_path)?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    let is_plain = |name: &String| Path::new(name).file_name().is_some_and(|plain| plain == name.as_str());
    if let Some(name) = names.iter().find(|name| !is_plain(name)) {
        let detail = format!("it names {name:?}, expected a file in the same directory");
        return Err(ValidateError::Damaged { path: index_path, detail });
    }
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

/// An open safetensors file.
#[derive(Debug)]
pub(super) struct TensorFile {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    file: File,
    /// Size of what precedes the tensors, in bytes.
    data_start: u64,
}

impl TensorFile {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self, ValidateError> {
        let file = open_regular(path).map_err(FileError::read(path))?;
        let num_bytes = file.metadata().map_err(FileError::read(path))?.len();
        let damaged = |detail: String| ValidateError::Damaged { path: path.to_owned(), detail };
        if num_bytes < LENGTH_BYTES {
            return Err(damaged(format!("it has {num_bytes} bytes, expected at least {LENGTH_BYTES}")));
        }
        let mut length = [0; LENGTH_BYTES as usize];
        file.read_exact_at(&mut length, 0).map_err(FileError::read(path))?;
        let header_bytes = u64::from_le_bytes(length);
        let max_bytes = MAX_HEADER_BYTES.min(num_bytes - LENGTH_BYTES);
        if header_bytes > max_bytes {
            return Err(damaged(format!("a header of {header_bytes} bytes, expected at most {max_bytes}")));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact_at(&mut header, LENGTH_BYTES).map_err(FileError::read(path))?;
        // Parsing checks that tensors follow one another without gaps, and that their sizes are those of their shapes.
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
        let data_start = LENGTH_BYTES + header_bytes;
        match data_start.checked_add(metadata.data_len() as u64) {
            Some(expected) if expected == num_bytes => Ok(Self { path: path.to_owned(), metadata, file, data_start }),
            Some(expected) => Err(damaged(format!("it has {num_bytes} bytes, expected {expected} by its header"))),
            None => Err(damaged(format!("it has {num_bytes} bytes, expected more than 2⁶⁴ by its header"))),
        }
    }

    /// Reads bytes of tensors; `start` counts from the end of the header.
    pub(super) fn read_at(&self, start: u64, num_bytes: usize) -> Result<Vec<u8>, ValidateError> {
        let mut bytes = vec![0; num_bytes];
        let result = self.file.read_exact_at(&mut bytes, self.data_start + start);
        result.map_err(FileError::read(&self.path))?;
        Ok(bytes)
    }
}

/// The type of floating-point values; `None` for other types.
pub(super) fn float_type(dtype: safetensors::Dtype) -> Option<DType> {
    match dtype {
        safetensors::Dtype::F64 => Some(DType::F64),
        safetensors::Dtype::F32 => Some(DType::F32),
        safetensors::Dtype::F16 => Some(DType::F16),
        safetensors::Dtype::BF16 => Some(DType::BF16),
        _ => None,
    }
}
