//! What CPU kernels see of candle's tensors: `f32` values, row after row.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, StorageRef, Tensor, bail};

/// The values of a contiguous `f32` tensor.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    values_of(storage.as_slice::<f32>()?, layout)
}

/// The values that a contiguous layout picks out of a storage.
pub(crate) fn values_of<'a, T>(storage: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    let range = layout.contiguous_offsets().map(|(start, end)| start..end);
    match range.and_then(|range| storage.get(range)) {
        Some(values) => Ok(values),
        None => bail!("a kernel wants contiguous values, found the layout {layout:?}"),
    }
}

/// As kernels want a tensor: contiguous, and `f32` on the CPU, where they compute in nothing else.
pub(crate) fn prepared(tensor: &Tensor) -> Result<Tensor> {
    if tensor.device().is_cpu() { tensor.to_dtype(DType::F32)?.contiguous() } else { tensor.contiguous() }
}

/// A tensor of parameters or states as kernels want it: contiguous `f32` on every device.
pub(crate) fn prepared_f32(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)?.contiguous()
}

/// A contiguous `f32` tensor on the CPU, held for reading.
pub(crate) struct Held<'a> {
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

/// Holds a tensor for reading.
pub(crate) fn held(tensor: &Tensor) -> Held<'_> {
    let (storage, layout) = tensor.storage_and_layout();
    Held { storage, layout }
}

impl Held<'_> {
    /// Its values.
    pub(crate) fn values(&self) -> Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(storage) => values(storage, self.layout),
            _ => bail!("a kernel wants all of its tensors on one device"),
        }
    }
}

/// Refuses a tensor of another shape.
pub(crate) fn expect_shape(name: &str, tensor: &Tensor, expected: &[usize]) -> Result<()> {
    if tensor.dims() == expected {
        Ok(())
    } else {
        bail!("{name} has the shape {:?}, expected {expected:?}", tensor.dims())
    }
}
