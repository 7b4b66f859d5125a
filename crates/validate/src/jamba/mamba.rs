//! The Mamba mixer (arXiv 2312.00752) with Jamba's norms on step sizes, B and C (arXiv 2403.19887).

use candle_core::{Result, Tensor};
use manyframe_kernels::{ConvInputs, ScanInputs, TokenWindow, causal_conv, scan, selective_scan};

use crate::config::JambaConfig;
use crate::error::ValidateError;
use crate::layers::{Linear, Parameters, RmsNorm, split_last};

#[derive(Debug)]
pub(super) struct Mamba {
    in_proj: Linear,
    /// `[channels, taps]`, `f32`.
    conv_weight: Tensor,
    /// `[channels]`, `f32`; zeros where the model has no bias.
    conv_bias: Tensor,
    x_proj: Linear,
    dt_norm: RmsNorm,
    b_norm: RmsNorm,
    c_norm: RmsNorm,
    dt_proj: Linear,
    /// `−exp(A_log)`, `[channels, states]`, `f32`.
    a: Tensor,
    /// `[channels]`, `f32`.
    d: Tensor,
    out_proj: Linear,
    num_channels: usize,
    num_states: usize,
    dt_rank: usize,
    /// The history before the first window: zeros, `[taps − 1, channels]`.
    no_history: Tensor,
}

/// The last inputs of the convolution, `[taps − 1, channels]`, and the state of the scan, `[channels, states]`.
#[derive(Debug, Clone)]
pub(super) struct MambaState {
    history: Tensor,
    scan: Tensor,
}

impl Mamba {
    pub(super) fn read(parameters: &Parameters<'_>, config: &JambaConfig) -> std::result::Result<Self, ValidateError> {
        let linear = |name: &str| {
            if config.mamba_proj_bias { parameters.linear_with_bias(name) } else { parameters.linear(name) }
        };
        let norm = |name: &str| parameters.rms_norm(name, config.rms_norm_eps);
        let compute = || ValidateError::compute("the parameters of a Mamba layer");
        let in_proj = linear("in_proj")?;
        let num_channels = config.num_channels();
        let a_log = parameters.tensor_f32("A_log")?;
        let conv_weight = parameters.tensor_f32("conv1d.weight")?.squeeze(1).map_err(compute())?;
        let conv_bias = if config.mamba_conv_bias {
            parameters.tensor_f32("conv1d.bias")?
        } else {
            Tensor::zeros(num_channels, a_log.dtype(), a_log.device()).map_err(compute())?
        };
        let history = (config.mamba_d_conv - 1, num_channels);
        Ok(Self {
            in_proj,
            conv_weight,
            conv_bias,
            x_proj: parameters.linear("x_proj")?,
            dt_norm: norm("dt_layernorm")?,
            b_norm: norm("b_layernorm")?,
            c_norm: norm("c_layernorm")?,
            dt_proj: parameters.linear_with_bias("dt_proj")?,
            a: a_log.exp().and_then(|a| a.neg()).map_err(compute())?,
            no_history: Tensor::zeros(history, parameters.dtype(), parameters.device()).map_err(compute())?,
            d: parameters.tensor_f32("D")?,
            out_proj: linear("out_proj")?,
            num_channels,
            num_states: config.mamba_d_state,
            dt_rank: config.dt_rank(),
        })
    }

    /// The state before the first window.
    pub(super) fn start(&self) -> Result<MambaState> {
        let scan = scan::initial_state(self.num_channels, self.num_states, self.a.device())?;
        Ok(MambaState { history: self.no_history.clone(), scan })
    }

    /// `[T, hidden]` to `[T, hidden]`.
    #[expect(clippy::many_single_char_names, reason = "the letters are those of the paper")]
    pub(super) fn forward(&self, x: &Tensor, window: &TokenWindow, state: &mut MambaState) -> Result<Tensor> {
        let [u, z] = split_last(&self.in_proj.forward(x)?, [self.num_channels; 2])?;
        let conv = ConvInputs { x: &u, history: &state.history, weight: &self.conv_weight, bias: &self.conv_bias };
        let convolved = causal_conv(conv, window)?;
        let u = convolved.y;
        let widths = [self.dt_rank, self.num_states, self.num_states];
        let [dt, b, c] = split_last(&self.x_proj.forward(&u)?, widths)?;
        let dt = self.dt_proj.forward(&self.dt_norm.forward(&dt)?)?;
        let (b, c) = (self.b_norm.forward(&b)?, self.c_norm.forward(&c)?);
        let scan = ScanInputs { u: &u, dt: &dt, z: &z, a: &self.a, b: &b, c: &c, d: &self.d, state: &state.scan };
        let scanned = selective_scan(scan, window)?;
        *state = MambaState { history: convolved.history, scan: scanned.state };
        self.out_proj.forward(&scanned.y)
    }
}
