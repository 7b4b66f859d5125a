//! Attention built from candle's matrix products, block by block, for devices where those are fastest.

use std::ops::Range;

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::inputs::{AttentionInputs, HeadSizes, QueryBlock};
use crate::window::TokenWindow;

/// Sizes of the blocks that scores are computed in, at least 1 each.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockSizes {
    pub(super) num_queries: usize,
    pub(super) num_keys: usize,
}

/// 4 Mi scores per head: at 32 heads, 512 MiB in `f32`.
const DEFAULT_SIZES: BlockSizes = BlockSizes { num_queries: 1024, num_keys: 4096 };

/// [`attention`](super::attention) on any device.
pub(super) fn attention_in_blocks(inputs: AttentionInputs<'_>, window: &TokenWindow) -> Result<Tensor> {
    in_blocks_of(DEFAULT_SIZES, inputs, window)
}

pub(super) fn in_blocks_of(blocks: BlockSizes, inputs: AttentionInputs<'_>, window: &TokenWindow) -> Result<Tensor> {
    let sizes = inputs.check(window)?;
    let blockwise = BlockwiseAttention { inputs, sizes, max_keys: blocks.num_keys };
    let blocks = QueryBlock::all(window, blocks.num_queries).into_iter();
    let outputs: Vec<Tensor> = blocks.map(|block| blockwise.attend(block)).collect::<Result<_>>()?;
    match outputs.as_slice() {
        [] => inputs.q.zeros_like(),
        outputs => Tensor::cat(outputs, 0)?.to_dtype(inputs.q.dtype()),
    }
}

/// Attention over at most `max_keys` keys at a time.
struct BlockwiseAttention<'a> {
    inputs: AttentionInputs<'a>,
    sizes: HeadSizes,
    max_keys: usize,
}

impl BlockwiseAttention<'_> {
    /// The outputs of a block of queries, `[queries, heads, width]`, `f32`.
    fn attend(&self, block: QueryBlock) -> Result<Tensor> {
        let queries = grouped(&self.inputs.q.narrow(0, block.first_query, block.num_queries)?, self.sizes)?;
        let mut blocks_of_keys = (0..block.num_keys()).step_by(self.max_keys).map(|first| -> Result<_> {
            let keys = first..block.num_keys().min(first + self.max_keys);
            let values = by_group(self.inputs.v, block, &keys)?;
            Ok((self.scores(&queries, block, keys)?, values))
        });
        let Some(first) = blocks_of_keys.next() else { bail!("a block of queries sees no key") };
        let (scores, values) = first?;
        let mut running = RunningSoftmax::new(&scores, &values)?;
        for next in blocks_of_keys {
            let (scores, values) = next?;
            running = running.join(&scores, &values)?;
        }
        ungrouped(&running.values.broadcast_div(&running.sum)?, block.num_queries, self.sizes)
    }

    /// Scores of a range of the sample's keys, −∞ for keys that come after their query:
    /// `[groups, heads per group × queries, keys]`, `f32`.
    fn scores(&self, queries: &Tensor, block: QueryBlock, keys: Range<usize>) -> Result<Tensor> {
        let scores = queries.matmul(&by_group(self.inputs.k, block, &keys)?.t()?)?.to_dtype(DType::F32)?;
        let shape = (self.sizes.num_groups, self.sizes.heads_per_group(), block.num_queries, keys.len());
        match mask(block, keys, queries.device())? {
            None => Ok(scores),
            Some(mask) => scores.reshape(shape)?.broadcast_add(&mask)?.reshape(scores.shape()),
        }
    }
}

/// A range of the sample's keys or values, `[groups, keys, width]`.
fn by_group(tensor: &Tensor, block: QueryBlock, keys: &Range<usize>) -> Result<Tensor> {
    tensor.narrow(0, block.first_key + keys.start, keys.len())?.transpose(0, 1)?.contiguous()
}

/// Softmax over the keys so far, `[groups, heads per group × queries, ·]`, `f32`.
struct RunningSoftmax {
    max: Tensor,
    sum: Tensor,
    /// Weighted sums of values.
    values: Tensor,
}

impl RunningSoftmax {
    fn new(scores: &Tensor, values: &Tensor) -> Result<Self> {
        Self::with_max(scores.max_keepdim(D::Minus1)?, scores, values)
    }

    fn with_max(max: Tensor, scores: &Tensor, values: &Tensor) -> Result<Self> {
        let weights = scores.broadcast_sub(&max)?.exp()?;
        let sum = weights.sum_keepdim(D::Minus1)?;
        let values = weights.to_dtype(values.dtype())?.matmul(values)?.to_dtype(DType::F32)?;
        Ok(Self { max, sum, values })
    }

    /// Adds the scores of further keys; earlier sums are rescaled to the new maximum.
    fn join(self, scores: &Tensor, values: &Tensor) -> Result<Self> {
        let max = self.max.maximum(&scores.max_keepdim(D::Minus1)?)?;
        let scale = (self.max - &max)?.exp()?;
        let new = Self::with_max(max, scores, values)?;
        Ok(Self {
            max: new.max,
            sum: ((self.sum * &scale)? + new.sum)?,
            values: (self.values.broadcast_mul(&scale)? + new.values)?,
        })
    }
}

/// `[queries, heads, width]` as `[groups, heads per group × queries, width]`, multiplied by the scale of scores.
fn grouped(q: &Tensor, sizes: HeadSizes) -> Result<Tensor> {
    let num_queries = q.dim(0)?;
    let rows = sizes.heads_per_group() * num_queries;
    (q.transpose(0, 1)?.contiguous()? * f64::from(sizes.scale()))?.reshape((sizes.num_groups, rows, sizes.width))
}

/// `[groups, heads per group × queries, width]` as `[queries, heads, width]`.
fn ungrouped(values: &Tensor, num_queries: usize, sizes: HeadSizes) -> Result<Tensor> {
    values.reshape((sizes.num_heads, num_queries, sizes.width))?.transpose(0, 1)?.contiguous()
}

/// −∞ where a key comes after its query, `[queries, keys]`; `None` if none does.
///
/// A row may be all −∞ for a later range of keys, but never for the first one, so that the running maximum is finite.
fn mask(block: QueryBlock, keys: Range<usize>, device: &Device) -> Result<Option<Tensor>> {
    if keys.end <= block.num_earlier + 1 {
        return Ok(None);
    }
    let num_seen = (0..block.num_queries).map(|query| block.num_seen(query, &keys) as u32);
    let num_seen = Tensor::from_vec(num_seen.collect::<Vec<_>>(), (block.num_queries, 1), device)?;
    let is_seen = Tensor::arange(0, keys.len() as u32, device)?.unsqueeze(0)?.broadcast_lt(&num_seen)?;
    let [seen, unseen] = [0.0, f32::NEG_INFINITY]
        .map(|value| Tensor::new(value, device).and_then(|value| value.broadcast_as(is_seen.shape())));
    is_seen.where_cond(&seen?, &unseen?).map(Some)
}
