//! Checkpoints of any bytes: one that opens has every tensor that it lists, or says that a file is damaged.
//!
//! Up to the first line break: `config.json`. The rest is `model.safetensors`.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use manyframe_validate::{Checkpoint, HybridModel, ModelOptions};

/// Bytes of weights above which a model is not read.
const MAX_BYTES: u64 = 1 << 24;

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("config.json"), &bytes[..end]).expect("space for it");
    let tensors = folder.path().join("model.safetensors");
    fs::write(&tensors, &bytes[end + 1..]).expect("space for it");
    let checkpoint = match Checkpoint::open(folder.path()) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(checkpoint.digest(), Checkpoint::open(folder.path()).expect("as before").digest());
    if fs::metadata(&tensors).is_ok_and(|file| file.len() <= MAX_BYTES) {
        let options =
            ModelOptions::on(manyframe_validate::open_device("cpu".parse().expect("a device")).expect("a CPU"));
        let _model = HybridModel::read(&checkpoint, options);
    }
});
