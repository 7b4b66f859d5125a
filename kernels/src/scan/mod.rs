//! The selective scan of Mamba (arXiv 2312.00752, algorithm 2), over packed samples.
//!
//! ```text
//! Δ = softplus(dt)     hₜ = exp(Δₜ·A)·hₜ₋₁ + Δₜ·uₜ·Bₜ     yₜ = (hₜ·Cₜ + D·uₜ)·silu(zₜ)
//! ```
//!
//! A row is a token. The state is always `f32`, is zero at the start of every sample, and is carried from window to window, so
//! that memory does not grow with the length of a sequence.

mod cpu;

use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor};

use crate::storage::{borrowed, expect_shape, prepared, prepared_f32, values};
use crate::window::TokenWindow;
use cpu::ScanValues;

/// Inputs of [`selective_scan`]: T tokens, D channels, N states per channel.
#[derive(Debug, Clone, Copy)]
pub struct ScanInputs<'a> {
    /// Activations, `[T, D]`.
    pub u: &'a Tensor,
    /// Step sizes before softplus, `[T, D]`.
    pub dt: &'a Tensor,
    /// Gates before SiLU, `[T, D]`.
    pub z: &'a Tensor,
    /// Decay rates, `[D, N]`, negative.
    pub a: &'a Tensor,
    /// Input weights, `[T, N]`.
    pub b: &'a Tensor,
    /// Output weights, `[T, N]`.
    pub c: &'a Tensor,
    /// Skip weights, `[D]`.
    pub d: &'a Tensor,
    /// The state after the previous window, `[D, N]`; ignored if the window begins with a new sample.
    pub state: &'a Tensor,
}

/// Result of [`selective_scan`].
#[derive(Debug, Clone)]
pub struct ScanOutputs {
    /// Activations, `[T, D]`, in the type of `u`.
    pub y: Tensor,
    /// The state after the last token, `[D, N]`, `f32`.
    pub state: Tensor,
}

/// Scans the tokens of a window.
///
/// # Errors
///
/// A shape that does not fit; on CUDA also more than 64 states per channel.
pub fn selective_scan(scan: ScanInputs<'_>, window: &TokenWindow) -> Result<ScanOutputs> {
    let (num_channels, num_states) = scan.a.dims2()?;
    let num_tokens = window.num_tokens();
    for (name, tensor) in [("u", scan.u), ("dt", scan.dt), ("z", scan.z)] {
        expect_shape(name, tensor, &[num_tokens, num_channels])?;
    }
    expect_shape("b", scan.b, &[num_tokens, num_states])?;
    expect_shape("c", scan.c, &[num_tokens, num_states])?;
    expect_shape("d", scan.d, &[num_channels])?;
    expect_shape("state", scan.state, &[num_channels, num_states])?;
    let [a, b, c] = [prepared_f32(scan.a)?, prepared_f32(scan.b)?, prepared_f32(scan.c)?];
    let [d, state] = [prepared_f32(scan.d)?, prepared_f32(scan.state)?];
    let op = ScanOp { window: window.clone(), num_channels, num_states, held: [a, b, c, d, state] };
    let both = prepared(scan.u)?.apply_op3_no_bwd(&prepared(scan.dt)?, &prepared(scan.z)?, &op)?;
    let num_outputs = num_tokens * num_channels;
    let y = both.narrow(0, 0, num_outputs)?.reshape((num_tokens, num_channels))?.to_dtype(scan.u.dtype())?;
    // A copy, because a view would keep the outputs in memory as long as the state.
    let state = both.narrow(0, num_outputs, num_channels * num_states)?.copy()?.reshape((num_channels, num_states))?;
    Ok(ScanOutputs { y, state })
}

/// The state before the first token of a sequence: `[D, N]` zeros.
///
/// # Errors
///
/// Too little memory.
pub fn initial_state(num_channels: usize, num_states: usize, device: &Device) -> Result<Tensor> {
    Tensor::zeros((num_channels, num_states), DType::F32, device)
}

/// The operation over u, dt and z. As a candle operation has one result, it returns the outputs followed by the state, flat,
/// as `f32`.
struct ScanOp {
    window: TokenWindow,
    num_channels: usize,
    num_states: usize,
    /// a, b, c, d and the state, contiguous `f32`.
    held: [Tensor; 5],
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
        let [a, b, c, d, state] = self.held.each_ref().map(borrowed);
        let (a, b, c, d, state) = (a.values()?, b.values()?, c.values()?, d.values()?, state.values()?);
        let (num_channels, num_states) = (self.num_channels, self.num_states);
        let inputs = ScanValues { num_channels, num_states, u, dt, z, a, b, c, d, state };
        Ok((CpuStorage::F32(inputs.scan(&self.window)), self.shape()))
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
        let arguments = crate::cuda::ScanArguments {
            window: &self.window,
            num_channels: self.num_channels,
            num_states: self.num_states,
            inputs: [(u, u_layout), (dt, dt_layout), (z, z_layout)],
            held: &self.held,
        };
        Ok((crate::cuda::scan(&arguments)?, self.shape()))
    }
}

#[cfg(test)]
mod tests;
