//! Checkpoints: which tensors a model has, where they stand in safetensors files, and files made from a seed.
//!
//! ```text
//! ModelConfig ──specs──▶ names and shapes ──check──▶ Checkpoint ──tensor(name)──▶ candle
//!                              └──── write_random ────▶ DIR/{config.json, model.safetensors}
//! ```
//!
//! Tensors are read in place, one at a time, by their offset. Files are not mapped into memory: if one is cut short while it
//! is mapped, the process dies, and a copy into the device's memory is made of it either way.

mod files;
mod header;
mod names;
mod preset;
mod random;
mod specs;

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use manyframe_core::Digest;

pub use preset::Preset;
pub use random::write_random;
pub use specs::{TensorSpec, num_parameters, specs};

use crate::ValidateError;
use crate::config::{CONFIG_FILE, ModelConfig, read_json};
use header::TensorFile;

/// The tensors of a model on disk, known to be those of its configuration.
///
/// # Invariants
/// * Every tensor of the configuration is there once, with its shape.
#[derive(Debug)]
pub struct Checkpoint {
    directory: PathBuf,
    config: ModelConfig,
    files: Vec<TensorFile>,
    tensors: BTreeMap<String, Place>,
}

/// Where a tensor stands.
#[derive(Debug, Clone)]
struct Place {
    file: usize,
    dtype: DType,
    shape: Vec<usize>,
    start: u64,
    num_bytes: usize,
}

/// Problems that are listed one by one; more are counted.
const MOST_LISTED: usize = 200;

impl Checkpoint {
    /// Opens a model: `config.json` and safetensors files, the vision tower among them, in a folder `vision_tower`, or absent.
    ///
    /// Reads configurations and headers only. Missing, surplus and misshapen tensors are one error that lists them all.
    pub fn open(directory: &Path) -> Result<Self, ValidateError> {
        let config = ModelConfig::read(directory)?;
        let mut checkpoint =
            Self { directory: directory.to_owned(), config, files: Vec::new(), tensors: BTreeMap::new() };
        let mut problems = Vec::new();
        for (path, part) in files::list(directory)? {
            checkpoint.add_file(&path, part, &mut problems)?;
        }
        checkpoint.compare(&mut problems);
        if problems.is_empty() {
            return Ok(checkpoint);
        }
        let num_more = problems.len().saturating_sub(MOST_LISTED);
        if num_more > 0 {
            problems.truncate(MOST_LISTED);
            problems.push(format!("and {num_more} more"));
        }
        Err(ValidateError::Tensors { path: directory.to_owned(), problems })
    }

    /// What the model looks like.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Whether `config.json` says that the weights are random.
    pub fn is_random(&self) -> bool {
        read_json(&self.directory.join(CONFIG_FILE))
            .is_ok_and(|config| config.get(random::RANDOM) == Some(&true.into()))
    }

    /// A digest of the configuration and of the tensors' names, types, shapes and places; not of their values.
    pub fn digest(&self) -> Digest {
        let config = serde_json::to_vec(&self.config).unwrap_or_default();
        let tensors = self.tensors.iter().map(|(name, place)| format!("{name} {place:?}").into_bytes());
        let fields: Vec<Vec<u8>> = std::iter::once(config).chain(tensors).collect();
        Digest::of_fields(fields.iter().map(Vec::as_slice))
    }

    /// The type that most parameters have on disk.
    pub fn dtype(&self) -> DType {
        let bytes_of = |dtype: DType| -> u64 {
            let of_type = self.tensors.values().filter(|place| place.dtype == dtype);
            of_type.map(|place| place.num_bytes as u64).sum()
        };
        let known = [DType::F32, DType::BF16, DType::F16, DType::F64];
        known.into_iter().max_by_key(|dtype| bytes_of(*dtype)).unwrap_or(DType::F32)
    }

    /// Reads a tensor onto a device, as values of this type.
    pub fn tensor(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor, ValidateError> {
        let found = self.tensors.get(name).and_then(|place| Some((place, self.files.get(place.file)?)));
        let Some((place, file)) = found else {
            let problems = vec![format!("missing: {name}")];
            return Err(ValidateError::Tensors { path: self.directory.clone(), problems });
        };
        let mut bytes = vec![0; place.num_bytes];
        file.file.read_exact_at(&mut bytes, place.start).map_err(ValidateError::read(&file.path))?;
        let convert = || {
            let tensor = Tensor::from_raw_buffer(&bytes, place.dtype, &place.shape, &Device::Cpu)?;
            tensor.to_dtype(dtype)?.to_device(device)
        };
        convert().map_err(ValidateError::compute("a tensor of the model"))
    }

    fn add_file(&mut self, path: &Path, part: names::Part, problems: &mut Vec<String>) -> Result<(), ValidateError> {
        let file = TensorFile::open(path)?;
        let index = self.files.len();
        let found: BTreeMap<String, _> = file.metadata.tensors().into_iter().collect();
        for (found_name, info) in found {
            let Some(name) = names::canonical(&found_name, part) else { continue };
            let Some(dtype) = header::float_type(info.dtype) else {
                problems.push(format!("not numbers of 16 to 64 bits: {found_name} is {:?}", info.dtype));
                continue;
            };
            let (start, end) = info.data_offsets;
            let start_in_file = file.data_start + start as u64;
            let shape = info.shape.clone();
            let place = Place { file: index, dtype, shape, start: start_in_file, num_bytes: end - start };
            if self.tensors.insert(name, place).is_some() {
                problems.push(format!("there twice: {found_name} in {}", path.display()));
            }
        }
        self.files.push(file);
        Ok(())
    }

    fn compare(&self, problems: &mut Vec<String>) {
        let mut num_expected = 0;
        let mut missing = Vec::new();
        for spec in specs(&self.config) {
            match self.tensors.get(&spec.name) {
                None => missing.push(format!("missing: {} {:?}", spec.name, spec.shape)),
                Some(place) => {
                    num_expected += 1;
                    if place.shape != spec.shape {
                        problems
                            .push(format!("{} has the shape {:?}, expected {:?}", spec.name, place.shape, spec.shape));
                    }
                }
            }
        }
        problems.extend(missing);
        if num_expected < self.tensors.len() {
            let expected: std::collections::BTreeSet<String> = specs(&self.config).map(|spec| spec.name).collect();
            let surplus = self.tensors.iter().filter(|(name, _)| !expected.contains(*name));
            problems.extend(surplus.map(|(name, place)| format!("surplus: {name} {:?}", place.shape)));
        }
        problems.sort();
    }
}

#[cfg(test)]
mod tests;
