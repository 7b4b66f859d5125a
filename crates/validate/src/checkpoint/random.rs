//! A model with random weights, the same from the same seed on every machine.
//!
//! With such a model a loss near the logarithm of the vocabulary says that the wiring is right. It judges no data.

use std::io::Write;
use std::path::Path;

use half::bf16;
use manyframe_base::files::Flush;
use manyframe_base::{AtomicFile, FileError, StagedDirectory, write_json};
use manyframe_core::Digest;
use serde_json::{Map, Value, json};

use super::files::SINGLE_FILE;
use super::names::written;
use super::specs::{Start, TensorSpec, specs};
use crate::ValidateError;
use crate::config::{CONFIG_FILE, ModelConfig};

/// Writes a model of random `bf16` weights into a new directory: `config.json` and `model.safetensors`.
///
/// Nothing is kept in memory but one row at a time, and nothing is there under its name before it is whole.
pub fn write_random(directory: &Path, config: &ModelConfig, seed: u64) -> Result<(), ValidateError> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(ValidateError::Config { path: directory.join(CONFIG_FILE), problems });
    }
    if directory.exists() {
        return Err(ValidateError::Occupied { path: directory.to_owned() });
    }
    let staged = StagedDirectory::beside(directory)?;
    write_json(&staged.path().join(CONFIG_FILE), &described(config))?;
    let tensors_path = staged.path().join(SINGLE_FILE);
    let mut tensors = AtomicFile::create(&tensors_path)?;
    write_safetensors(&mut tensors, config, seed).map_err(FileError::write(&tensors_path))?;
    tensors.publish()?;
    Ok(staged.publish(Flush::Done)?)
}

/// The configuration as transformers reads it, with a note that the weights are random.
fn described(config: &ModelConfig) -> Value {
    let mut value = json!(config);
    if let Value::Object(fields) = &mut value {
        fields.insert("model_type".to_owned(), json!("jamba"));
        fields.insert("architectures".to_owned(), json!(["JambaForCausalLM"]));
        fields.insert("dtype".to_owned(), json!("bfloat16"));
        fields.insert(RANDOM.to_owned(), json!(true));
    }
    value
}

/// The field of a configuration that says that its weights are random.
pub(crate) const RANDOM: &str = "manyframe_random_weights";

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
    // Tensors begin at a multiple of 8 bytes.
    text.resize(text.len().next_multiple_of(8), b' ');
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(&text)?;
    specs(config).try_for_each(|spec| write_values(file, &spec, seed))
}

fn write_values(file: &mut dyn Write, spec: &TensorSpec, seed: u64) -> std::io::Result<()> {
    let row_len = spec.shape.last().copied().unwrap_or(1).max(1);
    let num_inputs: usize = spec.shape.iter().skip(1).product();
    let mut numbers = Numbers::new(seed, &spec.name);
    let mut row = Vec::with_capacity(2 * row_len);
    for _ in 0..spec.num_values() / row_len as u64 {
        row.clear();
        for column in 0..row_len {
            let value = match spec.start {
                Start::Scaled => numbers.normal() / (num_inputs as f64).sqrt(),
                Start::Small => 0.02 * numbers.normal(),
                Start::Zeros => 0.0,
                Start::Ones => 1.0,
                Start::LogCount => (column as f64 + 1.0).ln(),
                Start::StepWidths => {
                    let width = (numbers.uniform() * (0.1_f64.ln() - 0.001_f64.ln()) + 0.001_f64.ln()).exp();
                    // The inverse of softplus.
                    width + (-(-width).exp_m1()).ln()
                }
            };
            row.extend_from_slice(&bf16::from_f64(value).to_le_bytes());
        }
        file.write_all(&row)?;
    }
    Ok(())
}

/// Random numbers of a tensor: SplitMix64 (Steele and others, 2014), started by seed and name.
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64, name: &str) -> Self {
        let Digest(bytes) = Digest::of_fields([&seed.to_le_bytes()[..], name.as_bytes()]);
        let mut first = [0; 8];
        first.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Self(u64::from_le_bytes(first))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from 0 to 1.
    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Close to a standard normal number: twelve uniform ones less six. Sums only, so that every machine gets the same.
    fn normal(&mut self) -> f64 {
        let mut sum = -6.0;
        for _ in 0..3 {
            // Four numbers of 16 bits from each draw; their steps vanish in `bf16`.
            let bits = self.bits();
            for shift in [0, 16, 32, 48] {
                sum += (((bits >> shift) & 0xffff) as f64 + 0.5) / 65_536.0;
            }
        }
        sum
    }
}
