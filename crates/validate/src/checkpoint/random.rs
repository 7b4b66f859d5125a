//! Models with random weights, the same from the same seed on every machine.
//!
//! They are smoke tests only: a loss near the logarithm of the vocabulary shows that data and code fit together, and says nothing
//! about data quality.

use std::io::Write;
use std::path::Path;

use half::bf16;
use manyframe_base::files::Flush;
use manyframe_base::{AtomicFile, FileError, StagedDirectory, write_json};
use manyframe_core::Digest;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::files::SINGLE_FILE;
use super::names::written;
use super::specs::{InitialValues, TensorSpec, specs};
use crate::config::{CONFIG_FILE, ModelConfig};
use crate::error::ValidateError;

/// The field of a configuration that marks its weights as random.
pub(super) const RANDOM_FIELD: &str = "manyframe_random_weights";

/// Writes a model of random `bf16` weights: a new directory with `config.json` and `model.safetensors`.
///
/// The directory appears under its name when it is complete. One row of one tensor is in memory at a time.
///
/// # Errors
///
/// The configuration has problems, the directory exists, or it cannot be written.
pub fn write_random(directory: &Path, config: &ModelConfig, seed: u64) -> Result<(), ValidateError> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(ValidateError::Config { path: directory.join(CONFIG_FILE), problems });
    }
    if directory.exists() {
        return Err(ValidateError::Occupied { path: directory.to_owned() });
    }
    let staged = StagedDirectory::beside(directory)?;
    write_json(&staged.path().join(CONFIG_FILE), &written_config(config))?;
    let tensors_path = staged.path().join(SINGLE_FILE);
    let mut tensors = AtomicFile::create(&tensors_path)?;
    write_safetensors(&mut tensors, config, seed).map_err(FileError::write(&tensors_path))?;
    tensors.publish()?;
    Ok(staged.publish(Flush::Done)?)
}

/// A configuration as transformers reads it, and that its weights are random.
#[derive(Serialize)]
struct WrittenConfig<'a> {
    #[serde(flatten)]
    config: &'a ModelConfig,
    model_type: &'static str,
    architectures: [&'static str; 1],
    dtype: &'static str,
    #[serde(rename = "manyframe_random_weights")]
    has_random_weights: bool,
}

/// The fields of `config.json`, sorted.
fn written_config(config: &ModelConfig) -> Value {
    json!(WrittenConfig {
        config,
        model_type: "jamba",
        architectures: ["JambaForCausalLM"],
        dtype: "bfloat16",
        has_random_weights: true,
    })
}

fn write_safetensors(file: &mut dyn Write, config: &ModelConfig, seed: u64) -> std::io::Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut end = 0;
    for spec in specs(config) {
        let start = end;
        end += 2 * spec.num_values();
        header
            .insert(written(&spec.name), json!({ "dtype": "BF16", "shape": spec.shape, "data_offsets": [start, end] }));
    }
    let mut text = serde_json::to_vec(&header)?;
    // Tensors start at a multiple of 8 bytes.
    text.resize(text.len().next_multiple_of(8), b' ');
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(&text)?;
    specs(config).try_for_each(|spec| write_values(file, &spec, seed))
}

fn write_values(file: &mut dyn Write, spec: &TensorSpec, seed: u64) -> std::io::Result<()> {
    let row_len = spec.shape.last().map_or(1, |columns| (*columns).max(1));
    let num_inputs: usize = spec.shape.iter().skip(1).product();
    let mut numbers = RandomNumbers::new(seed, &spec.name);
    let mut row = Vec::with_capacity(2 * row_len);
    for _ in 0..spec.num_values() / row_len as u64 {
        row.clear();
        for column in 0..row_len {
            let value = match spec.initial {
                InitialValues::Scaled => numbers.normal() / (num_inputs as f64).sqrt(),
                InitialValues::Small => 0.02 * numbers.normal(),
                InitialValues::Zeros => 0.0,
                InitialValues::Ones => 1.0,
                InitialValues::LogCount => (column as f64 + 1.0).ln(),
                InitialValues::StepSizes => {
                    let size = (numbers.uniform() * (0.1_f64.ln() - 0.001_f64.ln()) + 0.001_f64.ln()).exp();
                    // The inverse of softplus.
                    size + (-(-size).exp_m1()).ln()
                }
            };
            row.extend_from_slice(&bf16::from_f64(value).to_le_bytes());
        }
        file.write_all(&row)?;
    }
    Ok(())
}

/// The random numbers of a tensor: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), seeded with seed and name.
struct RandomNumbers(u64);

impl RandomNumbers {
    fn new(seed: u64, name: &str) -> Self {
        let Digest(bytes) = Digest::of_fields([&seed.to_le_bytes()[..], name.as_bytes()]);
        // The first 8 bytes, little-endian.
        Self(bytes.into_iter().take(8).rev().fold(0, |seed, byte| seed << 8 | u64::from(byte)))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform from 0 to 1.
    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Approximately standard normal: the sum of twelve uniform numbers less 6. Additions round the same on every machine.
    fn normal(&mut self) -> f64 {
        let mut sum = -6.0;
        for _ in 0..3 {
            // Four numbers of 16 bits per draw: `bf16` has fewer bits.
            let bits = self.bits();
            for shift in [0, 16, 32, 48] {
                sum += (((bits >> shift) & 0xffff) as f64 + 0.5) / 65_536.0;
            }
        }
        sum
    }
}
