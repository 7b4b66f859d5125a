//! Tensors as kernels read them, contiguous values in row-major order, and the memory they take on a device.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, StorageRef, Tensor, bail};

/// The values of a contiguous `f32` tensor.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    contiguous(storage.as_slice::<f32>()?, layout)
}

/// The part of a storage that a contiguous layout covers.
pub(crate) fn contiguous<'a, T>(storage: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    let range = layout.contiguous_offsets().map(|(start, end)| start..end);
    match range.and_then(|range| storage.get(range)) {
        Some(values) => Ok(values),
        None => bail!("a kernel needs contiguous values, found the layout {layout:?}"),
    }
}

/// A tensor as kernels take activations: contiguous, and `f32` on the CPU, the only type that CPU kernels compute in.
pub(crate) fn prepared(tensor: &Tensor) -> Result<Tensor> {
    if tensor.device().is_cpu() { tensor.to_dtype(DType::F32)?.contiguous() } else { tensor.contiguous() }
}

/// A tensor as kernels take parameters and states: contiguous `f32` on every device.
pub(crate) fn prepared_f32(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)?.contiguous()
}

/// A contiguous `f32` tensor on the CPU, borrowed for reading.
pub(crate) struct BorrowedTensor<'a> {
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

/// Borrows a tensor for reading.
pub(crate) fn borrowed(tensor: &Tensor) -> BorrowedTensor<'_> {
    let (storage, layout) = tensor.storage_and_layout();
    BorrowedTensor { storage, layout }
}

impl BorrowedTensor<'_> {
    /// Its values.
    pub(crate) fn values(&self) -> Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(storage) => values(storage, self.layout),
            _ => bail!("a kernel needs all of its tensors on one device"),
        }
    }
}

/// Fails if a tensor has another shape.
pub(crate) fn expect_shape(name: &str, tensor: &Tensor, expected: &[usize]) -> Result<()> {
    if tensor.dims() == expected {
        Ok(())
    } else {
        bail!("{name} has the shape {:?}, expected {expected:?}", tensor.dims())
    }
}

/// The peak number of bytes in use in a GPU's default memory pool, from which tensors are allocated; `None` on the CPU, where
/// the operating system keeps count.
///
/// # Errors
///
/// The driver does not answer.
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

    #[test]
    fn values_must_be_contiguous() {
        let tensor = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(borrowed(&tensor).values().unwrap().len(), 6);
        assert!(borrowed(&tensor.t().unwrap()).values().is_err());
        assert!(borrowed(&tensor.to_dtype(DType::F16).unwrap()).values().is_err());
    }
}
