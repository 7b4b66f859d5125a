//! Checkpoints: which tensors a model has, where they are in safetensors files, and files written from a seed.
//!
//! ```text
//! ModelConfig ──specs──▶ names and shapes ──compare──▶ Checkpoint ──tensor(name)──▶ candle
//!                              └──── write_random ────▶ DIR/{config.json, model.safetensors}
//! ```
//!
//! Tensors are read one at a time, by offset. Files are not mapped into memory: the process would die if one were cut short
//! while it is mapped, and each tensor is copied to the device's memory anyway.

mod files;
mod names;
mod preset;
mod random;
mod specs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use manyframe_core::Digest;

pub use preset::Preset;
pub use random::write_random;
pub use specs::{InitialValues, TensorSpec, num_parameters, specs};

use crate::config::{CONFIG_FILE, ModelConfig, read_json};
use crate::error::ValidateError;
use files::TensorFile;
use names::FileContents;

/// The tensors of a model on disk.
///
/// # Invariants
/// * Every tensor that the configuration requires is present once, with its shape, and there is no other.
#[derive(Debug)]
pub struct Checkpoint {
    directory: PathBuf,
    config: ModelConfig,
    is_random: bool,
    tensors: BTreeMap<String, TensorLocation>,
}

/// Where a tensor is.
#[derive(Debug, Clone)]
struct TensorLocation {
    file: Arc<TensorFile>,
    dtype: DType,
    shape: Vec<usize>,
    /// First byte, counted from the end of the header.
    start: u64,
    num_bytes: usize,
}

/// Problems that are listed one by one; further ones are counted.
const MAX_LISTED: usize = 200;

impl Checkpoint {
    /// Opens the model in a directory: `config.json` and safetensors files. The vision tower is among them, in the
    /// subdirectory `vision_tower`, or absent. Only configurations and headers are read.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is damaged, or the tensors do not match the configuration; then all that are missing,
    /// unexpected or of another shape are listed.
    pub fn open(directory: &Path) -> Result<Self, ValidateError> {
        let config = ModelConfig::read(directory)?;
        let fields = read_json(&directory.join(CONFIG_FILE))?;
        let is_random = fields.get(random::RANDOM_FIELD) == Some(&true.into());
        let mut checkpoint = Self { directory: directory.to_owned(), config, is_random, tensors: BTreeMap::new() };
        let mut problems = Vec::new();
        for (path, contents) in files::list(directory)? {
            checkpoint.add_file(&Arc::new(TensorFile::open(&path)?), contents, &mut problems);
        }
        checkpoint.compare(&mut problems);
        if problems.is_empty() {
            return Ok(checkpoint);
        }
        let num_more = problems.len().saturating_sub(MAX_LISTED);
        if num_more > 0 {
            problems.truncate(MAX_LISTED);
            problems.push(format!("and {num_more} more"));
        }
        Err(ValidateError::Tensors { path: directory.to_owned(), problems })
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Whether the model was written by [`write_random`].
    pub fn is_random(&self) -> bool {
        self.is_random
    }

    /// A digest of the configuration and of each tensor's name, type, shape and offset. Values are not read.
    pub fn digest(&self) -> Digest {
        let config = serde_json::json!(self.config).to_string();
        let tensors = self.tensors.iter().map(|(name, location)| {
            let TensorLocation { dtype, shape, start, num_bytes, .. } = location;
            format!("{name} {} {shape:?} {start} {num_bytes}", dtype.as_str())
        });
        let fields: Vec<String> = std::iter::once(config).chain(tensors).collect();
        Digest::of_fields(fields.iter().map(String::as_bytes))
    }

    /// The type that most bytes on disk have.
    pub fn dtype(&self) -> DType {
        let bytes_of = |dtype: DType| -> u64 {
            let of_type = self.tensors.values().filter(|location| location.dtype == dtype);
            of_type.map(|location| location.num_bytes as u64).sum()
        };
        let others = [DType::F64, DType::F16, DType::BF16];
        others.into_iter().fold(DType::F32, |most, dtype| if bytes_of(dtype) > bytes_of(most) { dtype } else { most })
    }

    /// Reads a tensor onto a device, converted to this type.
    ///
    /// # Errors
    ///
    /// There is no such tensor, its file cannot be read, or the device has too little memory.
    pub fn tensor(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor, ValidateError> {
        let Some(location) = self.tensors.get(name) else {
            let problems = vec![format!("missing: {name}")];
            return Err(ValidateError::Tensors { path: self.directory.clone(), problems });
        };
        let bytes = location.file.read_at(location.start, location.num_bytes)?;
        let convert = || {
            let tensor = Tensor::from_raw_buffer(&bytes, location.dtype, &location.shape, &Device::Cpu)?;
            tensor.to_dtype(dtype)?.to_device(device)
        };
        convert().map_err(ValidateError::compute("a tensor of the model"))
    }

    fn add_file(&mut self, file: &Arc<TensorFile>, contents: FileContents, problems: &mut Vec<String>) {
        // Sorted, so that problems are listed in a fixed order.
        let tensors: BTreeMap<String, _> = file.metadata.tensors().into_iter().collect();
        for (written_name, info) in tensors {
            let Some(name) = names::canonical(&written_name, contents) else { continue };
            let Some(dtype) = files::float_type(info.dtype) else {
                problems.push(format!("{written_name} has the type {:?}, expected F16, BF16, F32 or F64", info.dtype));
                continue;
            };
            let (start, end) = info.data_offsets;
            let shape = info.shape.clone();
            let (start, num_bytes) = (start as u64, end - start);
            let location = TensorLocation { file: Arc::clone(file), dtype, shape, start, num_bytes };
            if self.tensors.insert(name, location).is_some() {
                problems.push(format!("there twice: {written_name} in {}", file.path.display()));
            }
        }
    }

    /// Lists the differences between the tensors and the configuration.
    fn compare(&self, problems: &mut Vec<String>) {
        let mut expected = BTreeSet::new();
        for spec in specs(&self.config) {
            match self.tensors.get(&spec.name) {
                None => problems.push(format!("missing: {} {:?}", spec.name, spec.shape)),
                Some(found) if found.shape != spec.shape => {
                    problems.push(format!("{} has the shape {:?}, expected {:?}", spec.name, found.shape, spec.shape));
                }
                Some(_) => {}
            }
            expected.insert(spec.name);
        }
        let unexpected = self.tensors.iter().filter(|(name, _)| !expected.contains(*name));
        problems.extend(unexpected.map(|(name, found)| format!("unexpected: {name} {:?}", found.shape)));
        problems.sort();
    }
}

#[cfg(test)]
mod tests;
