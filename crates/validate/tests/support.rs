//! Where reference outputs are, and how they are compared.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use manyframe_validate::{Checkpoint, HybridModel, ImageTokens, ModelOptions};

/// The root of the workspace: `CARGO_MANIFEST_DIR` as set by cargo or `kernels/gpu-check.sh`, or else where this was compiled.
pub(crate) fn root() -> PathBuf {
    variable("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
        .join("../..")
}

fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "make and scripts choose references, device and type through the environment"
    )]
    std::env::var(name).ok()
}

/// Models with the outputs of transformers: the committed ones, and those in the directory that `make parity` fills.
pub(crate) fn references() -> Vec<PathBuf> {
    let folders = [Some(root().join("tests/golden/models")), variable("MANYFRAME_PARITY").map(PathBuf::from)];
    let mut models: Vec<PathBuf> = folders
        .into_iter()
        .flatten()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    models.sort();
    models
}

/// A directory of further references beside the workspace; without it, the test is skipped.
pub(crate) fn shared() -> Option<PathBuf> {
    let folder = variable("MANYFRAME_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let parity = folder.join("parity");
    if parity.is_dir() {
        return Some(parity);
    }
    manyframe_skip::skip(&format!("{} does not exist", parity.display()));
    None
}

pub(crate) fn expected(model: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(model.join("expected.safetensors"), &Device::Cpu).unwrap()
}

/// Where models run: the CPU, unless `kernels/gpu-check.sh` sets another device.
fn device() -> Device {
    let is_cuda = variable("MANYFRAME_DEVICE").is_some_and(|device| device == "cuda");
    if is_cuda { Device::new_cuda(0).unwrap() } else { Device::Cpu }
}

/// The number type of models: `f32`, unless the script sets another one.
fn dtype() -> DType {
    variable("MANYFRAME_DTYPE").map_or(DType::F32, |dtype| dtype.parse().unwrap())
}

pub(crate) fn options(window_tokens: usize) -> ModelOptions {
    ModelOptions {
        window_tokens,
        image_tokens: ImageTokens::TwoD { edge: 4 },
        dtype: dtype(),
        ..ModelOptions::on(device())
    }
}

pub(crate) fn read(model: &Path, window_tokens: usize) -> HybridModel {
    HybridModel::read(&Checkpoint::open(model).unwrap(), options(window_tokens)).unwrap()
}

pub(crate) fn ids(tensor: &Tensor) -> Vec<i64> {
    tensor.to_dtype(DType::I64).unwrap().to_vec1().unwrap()
}

/// Compares values with a reference in `f32`. In 16 bits, where rounding may also make a router choose another of two experts with
/// nearly equal scores, the root mean square of the differences may be a tenth of that of the values; PyTorch in `bf16` reaches a
/// twentieth on the committed models.
pub(crate) fn assert_close(ours: &Tensor, truth: &Tensor, most: f32, what: &str) {
    assert_eq!(ours.dims(), truth.dims(), "{what}");
    let values = |tensor: &Tensor| -> Vec<f32> {
        let there = tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        there.flatten_all().unwrap().to_vec1().unwrap()
    };
    let (ours, truth) = (values(ours), values(truth));
    let differences: Vec<f32> = ours.iter().zip(&truth).map(|(ours, truth)| (ours - truth).abs()).collect();
    let largest =
        differences.iter().fold(0.0, |most: f32, value| if value.is_nan() { *value } else { most.max(*value) });
    if dtype() == DType::F32 {
        println!("{what}: at most {largest:e} apart");
        assert!(largest <= most, "{what} differs by {largest}");
    } else {
        let mean_square = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
        let ratio = (mean_square(&differences) / mean_square(&truth)).sqrt();
        println!("{what}: {ratio:e} of its size apart");
        assert!(ratio <= 0.1, "{what} differs by {ratio} of its size");
    }
}
