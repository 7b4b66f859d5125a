//! The feed-forward half of a layer: an MLP, or a mixture of experts (MoE) that routes each token to a few of them.

use candle_core::{DType, Result, Tensor};

use crate::config::{FeedForwardKind, JambaConfig};
use crate::error::ValidateError;
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

/// Experts, and the router that sends each token to the few most probable ones. Their outputs are weighted by the router's
/// probabilities, which are not rescaled to a sum of 1.
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
        let routes: Vec<_> = probabilities.iter().map(|of_token| most_probable(of_token, self.num_chosen)).collect();
        let mut y = x.zeros_like()?;
        for (expert, member) in self.members.iter().enumerate() {
            let (tokens, weights): (Vec<u32>, Vec<f32>) = routed_to(expert, &routes).unzip();
            let num_tokens = tokens.len();
            if num_tokens == 0 {
                continue;
            }
            let tokens = Tensor::from_vec(tokens, num_tokens, x.device())?;
            let weights = Tensor::from_vec(weights, (num_tokens, 1), x.device())?.to_dtype(x.dtype())?;
            let weighted = member.forward(&x.index_select(&tokens, 0)?)?.broadcast_mul(&weights)?;
            y = y.index_add(&tokens, &weighted, 0)?;
        }
        Ok(y)
    }
}

/// An expert and its probability.
type Route = (usize, f32);

/// The most probable experts, the first of equals first. NaN counts as most probable, so that it reaches the loss.
fn most_probable(probabilities: &[f32], num_chosen: usize) -> Vec<Route> {
    let mut ranked: Vec<Route> = probabilities.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    ranked.truncate(num_chosen);
    ranked
}

/// The tokens that are sent to an expert, with its weight, in order.
fn routed_to(expert: usize, routes: &[Vec<Route>]) -> impl Iterator<Item = (u32, f32)> {
    routes.iter().enumerate().filter_map(move |(token, routes)| {
        let (_, weight) = routes.iter().find(|(chosen, _)| *chosen == expert)?;
        Some((token as u32, *weight))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_comes_first_and_nan_before_all() {
        assert_eq!(most_probable(&[0.2, 0.4, 0.4, 0.0], 2), [(1, 0.4), (2, 0.4)]);
        assert_eq!(most_probable(&[0.2, f32::NAN, 0.4], 1).first().map(|(expert, _)| *expert), Some(1));
    }

    #[test]
    fn each_token_reaches_its_experts_with_their_probabilities() {
        let routes = [vec![(1, 0.4), (2, 0.3)], vec![(0, 0.9), (1, 0.05)]];
        assert_eq!(routed_to(1, &routes).collect::<Vec<_>>(), [(0, 0.4), (1, 0.05)]);
        assert_eq!(routed_to(3, &routes).count(), 0);
    }
}
