//! Compiles `cuda/*.cu` to PTX if the feature `cuda` is on. PTX is portable: the driver compiles it for its card.
//!
//! `NVCC` is the compiler (default: `bin/nvcc` in `CUDA_HOME`, or `nvcc` on the path); `KERNEL_ARCH` is the oldest supported
//! architecture (default: `compute_80`, Ampere).

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is configured by its environment, and its output is rewritten if it is cut off"
)]

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const KERNELS: [&str; 5] = ["selective_scan", "causal_conv", "pool", "normalize", "cross_entropy"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=cuda");
    println!("cargo::rerun-if-env-changed=NVCC");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    println!("cargo::rerun-if-env-changed=KERNEL_ARCH");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let nvcc = env::var("NVCC").unwrap_or_else(|_| {
        env::var("CUDA_HOME").map_or_else(|_| "nvcc".to_owned(), |home| format!("{home}/bin/nvcc"))
    });
    let architecture = env::var("KERNEL_ARCH").unwrap_or_else(|_| "compute_80".to_owned());
    let mut constants = String::new();
    for kernel in KERNELS {
        let ptx = out.join(format!("{kernel}.ptx"));
        let status = Command::new(&nvcc)
            .args(["-ptx", "-O3", "-std=c++17", &format!("-arch={architecture}")])
            .arg(format!("cuda/{kernel}.cu"))
            .arg("-o")
            .arg(&ptx)
            .status()
            .map_err(|error| format!("cannot run {nvcc}: {error}; set NVCC or CUDA_HOME"))?;
        if !status.success() {
            return Err(format!("{nvcc} cannot compile cuda/{kernel}.cu").into());
        }
        let name = kernel.to_uppercase();
        constants += &format!("pub(super) const {name}: &str = include_str!({:?});\n", ptx.display().to_string());
    }
    fs::write(out.join("ptx.rs"), constants)?;
    Ok(())
}
