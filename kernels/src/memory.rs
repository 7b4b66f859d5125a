//! How much memory a device has given out. On the CPU nothing is counted: the system tells what a process takes.

use candle_core::{Device, Result};

/// The most bytes of a GPU that were in use at a time, by tensors and whatever else came from the pool that they come from;
/// `None` for the CPU.
pub fn peak_device_bytes(device: &Device) -> Result<Option<u64>> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => crate::cuda::peak_bytes(device).map(Some),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_counted_on_the_cpu() {
        assert_eq!(peak_device_bytes(&Device::Cpu).unwrap(), None);
    }
}
