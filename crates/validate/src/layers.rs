//! Linear and norm layers, and how layers read their parameters from a checkpoint.

use candle_core::{D, DType, Device, Result, Tensor, bail};

use crate::checkpoint::Checkpoint;
use crate::error::ValidateError;

/// Reads the parameters whose names begin with a prefix, in one type and onto one device.
#[derive(Clone)]
pub(crate) struct Parameters<'a> {
    checkpoint: &'a Checkpoint,
    prefix: String,
    dtype: DType,
    device: &'a Device,
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, dtype: DType, device: &'a Device) -> Self {
        Self { checkpoint, prefix: String::new(), dtype, device }
    }

    /// The parameters whose names continue with `name.`.
    pub(crate) fn below(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// The type that parameters are read in.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device that parameters are read onto.
    pub(crate) fn device(&self) -> &'a Device {
        self.device
    }

    pub(crate) fn tensor(&self, name: &str) -> std::result::Result<Tensor, ValidateError> {
        self.checkpoint.tensor(&format!("{}{name}", self.prefix), self.dtype, self.device)
    }

    /// A tensor in `f32`, as kernels take some parameters whatever the type of the rest.
    pub(crate) fn tensor_f32(&self, name: &str) -> std::result::Result<Tensor, ValidateError> {
        self.checkpoint.tensor(&format!("{}{name}", self.prefix), DType::F32, self.device)
    }

    pub(crate) fn linear(&self, name: &str) -> std::result::Result<Linear, ValidateError> {
        Ok(Linear { weight: self.tensor(&format!("{name}.weight"))?, bias: None })
    }

    pub(crate) fn linear_with_bias(&self, name: &str) -> std::result::Result<Linear, ValidateError> {
        Ok(Linear { bias: Some(self.tensor(&format!("{name}.bias"))?), ..self.linear(name)? })
    }

    pub(crate) fn rms_norm(&self, name: &str, eps: f64) -> std::result::Result<RmsNorm, ValidateError> {
        Ok(RmsNorm { weight: self.tensor(&format!("{name}.weight"))?, eps: eps as f32 })
    }

    pub(crate) fn layer_norm(&self, name: &str, eps: f64) -> std::result::Result<LayerNorm, ValidateError> {
        let (weight, bias) = (self.tensor(&format!("{name}.weight"))?, self.tensor(&format!("{name}.bias"))?);
        Ok(LayerNorm { weight, bias, eps: eps as f32 })
    }
}

/// `x·Wᵀ`, plus a bias if there is one.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `[…, inputs]` to `[…, outputs]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (num_outputs, num_inputs) = self.weight.dims2()?;
        let [outer @ .., _] = x.dims() else { bail!("a linear layer needs at least one axis") };
        let shape = [outer, &[num_outputs]].concat();
        // One matrix product over all rows, because a batched one would multiply them one by one.
        let rows = x.reshape(((), num_inputs))?.matmul(&self.weight.t()?)?;
        let rows = self.bias.as_ref().map_or(Ok(rows.clone()), |bias| rows.broadcast_add(bias))?;
        rows.reshape(shape)
    }
}

/// `x / √(mean(x²) + ε)·w`, computed in `f32`.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps)
    }
}

/// `(x − mean) / √(variance + ε)·w + b`, computed in `f32`.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl LayerNorm {
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(&x.contiguous()?, &self.weight, &self.bias, self.eps)
    }
}

/// Splits the last axis into parts of these widths.
pub(crate) fn split_last<const N: usize>(x: &Tensor, widths: [usize; N]) -> Result<[Tensor; N]> {
    // Handles of the whole, each replaced by its part.
    let mut parts = widths.map(|_| x.clone());
    let mut start = 0;
    for (part, width) in parts.iter_mut().zip(widths) {
        *part = x.narrow(D::Minus1, start, width)?;
        start += width;
    }
    Ok(parts)
}
