//! The selective scan of Mamba (arXiv 2312.00752, algorithm 2), over packed samples.
//!
//! ```text
//! Δ = softplus(dt)     hₜ = exp(Δₜ·A)·hₜ₋₁ + Δₜ·uₜ·Bₜ     yₜ = (hₜ·Cₜ + D·uₜ)·silu(zₜ)
//! ```
//!
//! Time runs along the rows. The state is `f32` whatever the values are, starts at zero with every sample, and is handed
//! from window to window, so that memory does not grow with the length of a sequence.

mod cpu;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};

use crate::Window;
use crate::storage::{expect_shape, held, prepared, prepared_f32, values};

/// What a scan reads. T tokens, D channels, N states of a channel.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// Inputs, `[T, D]`.
    pub u: &'a Tensor,
    /// Step widths before softplus, `[T, D]`.
    pub dt: &'a Tensor,
    /// Gates before SiLU, `[T, D]`.
    pub z: &'a Tensor,
    /// Decay, `[D, N]`: negative numbers.
    pub a: &'a Tensor,
    /// Input weights, `[T, N]`.
    pub b: &'a Tensor,
    /// Output weights, `[T, N]`.
    pub c: &'a Tensor,
    /// Skip weights, `[D]`.
    pub d: &'a Tensor,
    /// The state after the window before this one, `[D, N]`; not read if the window begins with a new sample.
    pub state: &'a Tensor,
}

/// What a scan gives.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// Outputs, `[T, D]`, in the type of the inputs.
    pub y: Tensor,
    /// The state after the last token, `[D, N]`, `f32`.
    pub state: Tensor,
}

/// Runs the scan over a window.
pub fn selective_scan(scan: Scan<'_>, window: &Window) -> Result<Scanned> {
    let (num_channels, num_states) = scan.a.dims2()?;
    let num_tokens = window.num_tokens();
    for (name, tensor) in [("u", scan.u), ("dt", scan.dt), ("z", scan.z)] {
        expect_shape(name, tensor, &[num_tokens, num_channels])?;
    }
    expect_shape("b", scan.b, &[num_tokens, num_states])?;
    expect_shape("c", scan.c, &[num_tokens, num_states])?;
    expect_shape("d", scan.d, &[num_channels])?;
    expect_shape("state", scan.state, &[num_channels, num_states])?;
    let op = ScanOp {
        window: window.clone(),
        num_channels,
        num_states,
        a: prepared_f32(scan.a)?,
        b: prepared_f32(scan.b)?,
        c: prepared_f32(scan.c)?,
        d: prepared_f32(scan.d)?,
        state: prepared_f32(scan.state)?,
    };
    let both = prepared(scan.u)?.apply_op3_no_bwd(&prepared(scan.dt)?, &prepared(scan.z)?, &op)?;
    let num_outputs = num_tokens * num_channels;
    let y = both.narrow(0, 0, num_outputs)?.reshape((num_tokens, num_channels))?.to_dtype(scan.u.dtype())?;
    // A copy: a view would keep the outputs alive as long as the state.
    let state = both.narrow(0, num_outputs, num_channels * num_states)?.copy()?.reshape((num_channels, num_states))?;
    Ok(Scanned { y, state })
}

/// The operation over u, dt and z. A candle operation has one result: outputs and then the state, flat, `f32`.
pub(crate) struct ScanOp {
    pub(crate) window: Window,
    pub(crate) num_channels: usize,
    pub(crate) num_states: usize,
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
    pub(crate) c: Tensor,
    pub(crate) d: Tensor,
    pub(crate) state: Tensor,
}

impl ScanOp {
    fn shape(&self) -> Shape {
        (self.num_channels * (self.window.num_tokens() + self.num_states)).into()
    }
}

impl CustomOp3 for ScanOp {
    fn name(&self) -> &'static str {
        "selective-scan"
    }

    fn cpu_fwd(
        &self,
        u: &CpuStorage,
        u_layout: &Layout,
        dt: &CpuStorage,
        dt_layout: &Layout,
        z: &CpuStorage,
        z_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (u, dt, z) = (values(u, u_layout)?, values(dt, dt_layout)?, values(z, z_layout)?);
        let [a, b, c] = [held(&self.a), held(&self.b), held(&self.c)];
        let [d, state] = [held(&self.d), held(&self.state)];
        let (a, b, c, d, state) = (a.values()?, b.values()?, c.values()?, d.values()?, state.values()?);
        let inputs = cpu::Inputs { u, dt, z, a, b, c, d, state };
        let result = cpu::scan(&inputs, &self.window, self.num_channels, self.num_states);
        Ok((CpuStorage::F32(result), self.shape()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        u: &candle_core::CudaStorage,
        u_layout: &Layout,
        dt: &candle_core::CudaStorage,
        dt_layout: &Layout,
        z: &candle_core::CudaStorage,
        z_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        Ok((crate::cuda::scan(self, [(u, u_layout), (dt, dt_layout), (z, z_layout)])?, self.shape()))
    }
}

/// The state before the first token of a sample.
pub fn initial_state(num_channels: usize, num_states: usize, device: &candle_core::Device) -> Result<Tensor> {
    Tensor::zeros((num_channels, num_states), DType::F32, device)
}

#[cfg(test)]
mod tests;
