//! Models with random weights, the same from the same seed on every machine.
//!
//! They are smoke tests only: a loss near the logarithm of the vocabulary shows that data and code fit together, and says nothing
//! about data quality.

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use half::bf16;
use manyframe_base::staged_directory::Flush;
use manyframe_base::{AtomicFile, FileError, StagedDirectory, write_json};
use manyframe_core::Digest;
use rayon::prelude::*;
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
/// The directory appears under its name when it is complete. A few MiB of one tensor are in memory at a time.
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

/// Values that are drawn by one thread at a time, and the number of such parts in memory.
const VALUES_PER_PART: u64 = 1 << 16;
const PARTS_IN_MEMORY: u64 = 64;

fn write_values(file: &mut dyn Write, spec: &TensorSpec, seed: u64) -> std::io::Result<()> {
    let num_values = spec.num_values();
    let numbers = RandomNumbers::new(seed, &spec.name);
    let mut first = 0;
    while first < num_values {
        let parts = (0..PARTS_IN_MEMORY).into_par_iter().map(|part| {
            let start = num_values.min(first + part * VALUES_PER_PART);
            values(spec, numbers, start..num_values.min(start + VALUES_PER_PART))
        });
        for part in parts.collect::<Vec<_>>() {
            file.write_all(&part)?;
        }
        first += PARTS_IN_MEMORY * VALUES_PER_PART;
    }
    Ok(())
}

/// A range of a tensor's values, row-major.
fn values(spec: &TensorSpec, mut numbers: RandomNumbers, range: Range<u64>) -> Vec<u8> {
    let row_len = spec.shape.last().map_or(1, |columns| (*columns).max(1)) as u64;
    let num_inputs: usize = spec.shape.iter().skip(1).product();
    let draws_per_value = match spec.initial {
        InitialValues::Scaled | InitialValues::Small => DRAWS_PER_NORMAL,
        InitialValues::StepSizes => 1,
        InitialValues::Zeros | InitialValues::Ones | InitialValues::LogCount => 0,
    };
    numbers.skip(range.start * draws_per_value);
    let mut bytes = Vec::with_capacity(2 * (range.end - range.start) as usize);
    for position in range {
        let value = match spec.initial {
            InitialValues::Scaled => numbers.normal() / (num_inputs as f64).sqrt(),
            InitialValues::Small => 0.02 * numbers.normal(),
            InitialValues::Zeros => 0.0,
            InitialValues::Ones => 1.0,
            InitialValues::LogCount => ((position % row_len) as f64 + 1.0).ln(),
            InitialValues::StepSizes => {
                let size = (numbers.uniform() * (0.1_f64.ln() - 0.001_f64.ln()) + 0.001_f64.ln()).exp();
                // The inverse of softplus.
                size + (-(-size).exp_m1()).ln()
            }
        };
        bytes.extend_from_slice(&bf16::from_f64(value).to_le_bytes());
    }
    bytes
}

/// The random numbers of a tensor: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), seeded with seed and name.
#[derive(Debug, Clone, Copy)]
struct RandomNumbers(u64);

/// Draws of 64 bits for a normal number.
const DRAWS_PER_NORMAL: u64 = 3;

/// What the state grows by at each draw.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl RandomNumbers {
    fn new(seed: u64, name: &str) -> Self {
        let Digest(bytes) = Digest::of_fields([&seed.to_le_bytes()[..], name.as_bytes()]);
        // The first 8 bytes, little-endian.
        Self(bytes.into_iter().take(8).rev().fold(0, |seed, byte| seed << 8 | u64::from(byte)))
    }

    /// Passes over a number of draws.
    fn skip(&mut self, num_draws: u64) {
        self.0 = self.0.wrapping_add(STEP.wrapping_mul(num_draws));
    }

    fn bits(&mut self) -> u64 {
        self.skip(1);
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
        for _ in 0..DRAWS_PER_NORMAL {
            // Four numbers of 16 bits per draw: `bf16` has fewer bits.
            let bits = self.bits();
            for shift in [0, 16, 32, 48] {
                sum += (((bits >> shift) & 0xffff) as f64 + 0.5) / 65_536.0;
            }
        }
        sum
    }
}
