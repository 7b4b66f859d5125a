//! What follows the mixer: an MLP, or a mixture of experts of which each token sees a few.

use candle_core::{DType, Result, Tensor};

use crate::ValidateError;
use crate::config::{FeedForwardKind, JambaConfig};
use crate::layers::{Linear, Parameters};

#[derive(Debug)]
pub(super) enum FeedForward {
    Dense(Mlp),
    Experts(Experts),
}

/// `down(silu(gate(x))·up(x))`.
#[derive(Debug)]
pub(super) struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Experts, and the router that sends each token to the most probable few of them, weighted by their probabilities as
/// they are: not scaled to a sum of 1.
#[derive(Debug)]
pub(super) struct Experts {
    router: Linear,
    members: Vec<Mlp>,
    num_chosen: usize,
}

impl FeedForward {
    pub(super) fn read(
        parameters: &Parameters<'_>,
        config: &JambaConfig,
        layer: usize,
    ) -> std::result::Result<Self, ValidateError> {
        match config.feed_forward(layer) {
            FeedForwardKind::Dense => Mlp::read(parameters).map(Self::Dense),
            FeedForwardKind::Experts => {
                let experts = parameters.below("experts");
                let experts = (0..config.num_experts).map(|expert| Mlp::read(&experts.below(expert)));
                Ok(Self::Experts(Experts {
                    router: parameters.linear("router")?,
                    members: experts.collect::<std::result::Result<_, _>>()?,
                    num_chosen: config.num_experts_per_tok,
                }))
            }
        }
    }

    /// `[T, hidden]` to `[T, hidden]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(mlp) => mlp.forward(x),
            Self::Experts(experts) => experts.forward(x),
        }
    }
}

impl Mlp {
    fn read(parameters: &Parameters<'_>) -> std::result::Result<Self, ValidateError> {
        Ok(Self {
            gate: parameters.linear("gate_proj")?,
            up: parameters.linear("up_proj")?,
            down: parameters.linear("down_proj")?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&(self.gate.forward(x)?.silu()? * self.up.forward(x)?)?)
    }
}

impl Experts {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let logits = self.router.forward(x)?.to_dtype(DType::F32)?;
        let probabilities = candle_nn::ops::softmax_last_dim(&logits)?.to_vec2::<f32>()?;
        let mut sent = vec![(Vec::new(), Vec::new()); self.members.len()];
        for (token, probabilities) in probabilities.iter().enumerate() {
            for (expert, probability) in most_probable(probabilities, self.num_chosen) {
                if let Some((tokens, weights)) = sent.get_mut(expert) {
                    tokens.push(token as u32);
                    weights.push(probability);
                }
            }
        }
        let mut y = x.zeros_like()?;
        for (member, (tokens, weights)) in self.members.iter().zip(sent) {
            let num_tokens = tokens.len();
            if num_tokens == 0 {
                continue;
            }
            let tokens = Tensor::from_vec(tokens, num_tokens, x.device())?;
            let weights = Tensor::from_vec(weights, (num_tokens, 1), x.device())?.to_dtype(x.dtype())?;
            let given = member.forward(&x.index_select(&tokens, 0)?)?.broadcast_mul(&weights)?;
            y = y.index_add(&tokens, &given, 0)?;
        }
        Ok(y)
    }
}

/// The most probable few, the first of equals first. NaN counts as most probable, so that it is not hidden.
fn most_probable(probabilities: &[f32], num_chosen: usize) -> impl Iterator<Item = (usize, f32)> {
    let mut ranked: Vec<(usize, f32)> = probabilities.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    ranked.into_iter().take(num_chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_comes_first() {
        let chosen: Vec<_> = most_probable(&[0.2, 0.4, 0.4, 0.0], 2).collect();
        assert_eq!(chosen, [(1, 0.4), (2, 0.4)]);
    }
}
