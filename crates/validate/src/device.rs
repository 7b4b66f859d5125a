//! Opens the device a model runs on: the CPU, or the first GPU.
//!
//! It does not choose a number type, and never opens more than one GPU.

use candle_core::Device;
use manyframe_core::DeviceChoice;

use crate::error::ValidateError;

/// Opens the device. `Auto` falls back to the CPU and logs why.
///
/// # Errors
///
/// [`ValidateError::Compute`] if a GPU was asked for and none can be opened.
pub fn open_device(choice: DeviceChoice) -> Result<Device, ValidateError> {
    let cuda = || Device::new_cuda(0).map_err(ValidateError::compute("on the GPU"));
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda => cuda(),
        DeviceChoice::Auto if !candle_core::utils::cuda_is_available() => Ok(Device::Cpu),
        DeviceChoice::Auto => cuda().or_else(|error| {
            tracing::info!(%error, "no GPU; the model runs on the CPU");
            Ok(Device::Cpu)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there() {
        assert!(open_device(DeviceChoice::Cpu).unwrap().is_cpu());
        assert_eq!(open_device(DeviceChoice::Cuda).is_ok(), candle_core::utils::cuda_is_available());
    }
}
