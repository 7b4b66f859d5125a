//! Where references are, and models put together from them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use manyframe_validate::{Checkpoint, HybridModel, ImageTokens, ModelOptions};

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Models with what transformers computes with them: the committed ones, and those in the folder that `make parity` fills.
pub(crate) fn references() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the folder is given by make")]
    let fresh = std::env::var("MANYFRAME_PARITY").ok().map(PathBuf::from);
    let folders = [Some(root().join("tests/golden/models")), fresh];
    let mut models: Vec<PathBuf> = folders
        .into_iter()
        .flatten()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    models.sort();
    models
}

/// A folder of further references beside the workspace, or none, which is said.
pub(crate) fn shared() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where the folder is differs between machines")]
    let folder = std::env::var("MANYFRAME_SHARED").map_or_else(|_unset| root().join("../shared"), PathBuf::from);
    let parity = folder.join("parity");
    if parity.is_dir() {
        return Some(parity);
    }
    println!("skipped: {} is not there", parity.display());
    None
}

pub(crate) fn expected(model: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(model.join("expected.safetensors"), &Device::Cpu).unwrap()
}

/// Where models run: on the CPU, unless `kernels/gpu-check.sh` says otherwise.
fn device() -> Device {
    #[expect(clippy::disallowed_methods, reason = "the device is given by a script")]
    let is_cuda = std::env::var("MANYFRAME_DEVICE").is_ok_and(|device| device == "cuda");
    if is_cuda { Device::new_cuda(0).unwrap() } else { Device::Cpu }
}

pub(crate) fn options(window_tokens: usize) -> ModelOptions {
    ModelOptions {
        window_tokens,
        image_tokens: ImageTokens::TwoD { edge: 4 },
        dtype: DType::F32,
        ..ModelOptions::on(device())
    }
}

pub(crate) fn read(model: &Path, window_tokens: usize) -> HybridModel {
    HybridModel::read(&Checkpoint::open(model).unwrap(), options(window_tokens)).unwrap()
}

pub(crate) fn ids(tensor: &Tensor) -> Vec<i64> {
    tensor.to_dtype(DType::I64).unwrap().to_vec1().unwrap()
}

/// The largest absolute difference; NaN counts as one.
pub(crate) fn most_different(left: &Tensor, right: &Tensor) -> f32 {
    let (left, right) = (left.to_device(&Device::Cpu).unwrap(), right.to_device(&Device::Cpu).unwrap());
    assert_eq!(left.dims(), right.dims());
    let difference = (left - right).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    difference.into_iter().fold(0.0, |most, value| if value > most || value.is_nan() { value } else { most })
}
