//! Attention made of candle's matrix products, block by block: for devices that multiply matrices faster than we could.

use candle_core::{D, DType, Device, Result, Tensor};

use super::Sizes;
use crate::Window;

/// Queries of a block.
const QUERIES: usize = 1024;
/// Keys of a block: 1 Gi scores at 128 heads, 256 MiB in `f32` at the 8 heads of a small model.
const KEYS: usize = 4096;

/// As [`super::attention`], on any device.
pub fn attention_in_blocks(q: &Tensor, k: &Tensor, v: &Tensor, window: &Window) -> Result<Tensor> {
    in_blocks_of((QUERIES, KEYS), q, k, v, window)
}

pub(super) fn in_blocks_of(
    (block_queries, block_keys): (usize, usize),
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    window: &Window,
) -> Result<Tensor> {
    let sizes = Sizes::of(q, k, v, window)?;
    let mut outputs = Vec::new();
    for (tokens, num_before) in window.samples() {
        let first_key = tokens.start + window.num_before() - num_before;
        for first_query in tokens.clone().step_by(block_queries.max(1)) {
            let num_queries = block_queries.max(1).min(tokens.end - first_query);
            let num_earlier = num_before + first_query - tokens.start;
            let queries = grouped(&q.narrow(0, first_query, num_queries)?, sizes)?;
            let mut running: Option<Running> = None;
            let num_keys = num_earlier + num_queries;
            for first in (0..num_keys).step_by(block_keys.max(1)) {
                let num = block_keys.max(1).min(num_keys - first);
                let by_group = |t: &Tensor| t.narrow(0, first_key + first, num)?.transpose(0, 1)?.contiguous();
                let (keys, values) = (by_group(k)?, by_group(v)?);
                let scores = queries.matmul(&keys.t()?)?.to_dtype(DType::F32)?;
                let scores = match mask(num_earlier, num_queries, first, num, q.device())? {
                    None => scores,
                    Some(mask) => {
                        let shape = (sizes.num_groups, sizes.heads_per_group(), num_queries, num);
                        scores.reshape(shape)?.broadcast_add(&mask)?.reshape(scores.shape())?
                    }
                };
                running = Some(Running::join(running, &scores, &values)?);
            }
            if let Some(running) = running {
                outputs.push(ungrouped(&running.values.broadcast_div(&running.sum)?, num_queries, sizes)?);
            }
        }
    }
    match outputs.as_slice() {
        [] => q.zeros_like(),
        outputs => Tensor::cat(outputs, 0)?.to_dtype(q.dtype()),
    }
}

/// What has been seen of the keys: `[groups, heads per group × queries, ·]`, `f32`.
struct Running {
    most: Tensor,
    sum: Tensor,
    values: Tensor,
}

impl Running {
    fn join(before: Option<Self>, scores: &Tensor, values: &Tensor) -> Result<Self> {
        let most = scores.max_keepdim(D::Minus1)?;
        let most = before.as_ref().map_or(Ok(most.clone()), |before| before.most.maximum(&most))?;
        let weights = scores.broadcast_sub(&most)?.exp()?;
        let sum = weights.sum_keepdim(D::Minus1)?;
        let values = weights.to_dtype(values.dtype())?.matmul(values)?.to_dtype(DType::F32)?;
        let Some(before) = before else { return Ok(Self { most, sum, values }) };
        let scale = (before.most - &most)?.exp()?;
        Ok(Self {
            sum: ((before.sum * &scale)? + sum)?,
            values: (before.values.broadcast_mul(&scale)? + values)?,
            most,
        })
    }
}

/// `[queries, heads, width]` as `[groups, heads per group × queries, width]`, scaled.
fn grouped(q: &Tensor, sizes: Sizes) -> Result<Tensor> {
    let num_queries = q.dim(0)?;
    let rows = sizes.heads_per_group() * num_queries;
    (q.transpose(0, 1)?.contiguous()? * f64::from(sizes.scale()))?.reshape((sizes.num_groups, rows, sizes.width))
}

/// The way back.
fn ungrouped(values: &Tensor, num_queries: usize, sizes: Sizes) -> Result<Tensor> {
    values.reshape((sizes.num_heads, num_queries, sizes.width))?.transpose(0, 1)?.contiguous()
}

/// −∞ where a key stands after a query, `[queries, keys]`; `None` if no key does.
///
/// Every query of a block sees the first key of each block of keys but those that begin after it; such a row is all −∞ only
/// together with an earlier block that it did see, so that its maximum is finite.
fn mask(num_earlier: usize, num_queries: usize, first: usize, num: usize, device: &Device) -> Result<Option<Tensor>> {
    if first + num <= num_earlier + 1 {
        return Ok(None);
    }
    let rows = (0..num_queries).flat_map(|query| {
        let num_seen = (num_earlier + query + 1).saturating_sub(first);
        (0..num).map(move |key| if key < num_seen { 0.0_f32 } else { f32::NEG_INFINITY })
    });
    Tensor::from_vec(rows.collect(), (num_queries, num), device).map(Some)
}
