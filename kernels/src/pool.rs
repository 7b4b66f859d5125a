//! Mean pooling of grids of feature vectors, which sets the number of tokens per image.
//!
//! LongLLaVA (arXiv 2409.02889) pools the 24×24 vectors of CLIP ViT-L/14 at 336 px by 2×2 to 12×12 = 144 tokens, or by 4×4 to
//! 6×6 = 36 tokens. Its first training stage pools runs of 4 along the sequence instead.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::storage::{prepared, values};

/// A grid of vectors, and the size of the blocks that are averaged.
///
/// # Invariants
/// * All sizes are positive, and the grid holds a whole number of blocks in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    rows: usize,
    columns: usize,
    window_rows: usize,
    window_columns: usize,
}

impl Pool {
    /// Blocks of `window × window` on a grid of `edge × edge`; `None` unless they fill it.
    pub fn two_d(edge: usize, window: usize) -> Option<Self> {
        Self::new((edge, edge), (window, window))
    }

    /// Runs of `window` in a sequence of `num_vectors`; `None` unless they fill it.
    pub fn one_d(num_vectors: usize, window: usize) -> Option<Self> {
        Self::new((1, num_vectors), (1, window))
    }

    fn new((rows, columns): (usize, usize), (window_rows, window_columns): (usize, usize)) -> Option<Self> {
        let fits = |edge: usize, window: usize| edge > 0 && window > 0 && edge.is_multiple_of(window);
        let is_whole = fits(rows, window_rows) && fits(columns, window_columns);
        is_whole.then_some(Self { rows, columns, window_rows, window_columns })
    }

    /// Vectors of a grid before pooling.
    pub fn num_inputs(self) -> usize {
        self.rows * self.columns
    }

    /// Vectors of a grid after pooling.
    pub fn num_outputs(self) -> usize {
        self.num_inputs() / (self.window_rows * self.window_columns)
    }

    /// Rows and columns of the grid, then of a block.
    #[cfg(feature = "cuda")]
    pub(crate) fn sizes(self) -> [usize; 4] {
        [self.rows, self.columns, self.window_rows, self.window_columns]
    }

    /// Averages blocks of grids, `[B, inputs, num_channels]`, into zeros, `[B, outputs, num_channels]`. Neither is empty.
    #[expect(clippy::indexing_slicing, reason = "the operation has checked the shape, and blocks fill the grid")]
    fn average(self, grids: &[f32], pooled: &mut [f32], num_channels: usize) {
        let scale = 1.0 / (self.window_rows * self.window_columns) as f32;
        let blocks_per_row = self.columns / self.window_columns;
        pooled.par_chunks_mut(num_channels).enumerate().for_each(|(output, mean)| {
            let (grid, block) = (output / self.num_outputs(), output % self.num_outputs());
            let (top, left) = (block / blocks_per_row * self.window_rows, block % blocks_per_row * self.window_columns);
            for row in top..top + self.window_rows {
                let first = grid * self.num_inputs() + row * self.columns + left;
                let vectors = &grids[first * num_channels..][..self.window_columns * num_channels];
                for vector in vectors.chunks_exact(num_channels) {
                    mean.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
                }
            }
            for sum in mean {
                *sum *= scale;
            }
        });
    }
}

/// The mean of each block, row by row: `[B, inputs, C]` to `[B, outputs, C]`, summed in `f32`.
///
/// # Errors
///
/// Grids of another size.
pub fn pool(grids: &Tensor, pool: Pool) -> Result<Tensor> {
    prepared(grids)?.apply_op1_no_bwd(&PoolOp(pool))?.to_dtype(grids.dtype())
}

struct PoolOp(Pool);

impl PoolOp {
    fn shape(&self, layout: &Layout) -> Result<Shape> {
        let (num_grids, num_vectors, num_channels) = layout.shape().dims3()?;
        if num_vectors != self.0.num_inputs() {
            bail!("a grid has {num_vectors} vectors, expected {}", self.0.num_inputs());
        }
        Ok((num_grids, self.0.num_outputs(), num_channels).into())
    }
}

impl CustomOp1 for PoolOp {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = self.shape(layout)?;
        let (_, _, num_channels) = shape.dims3()?;
        let mut pooled = vec![0.0; shape.elem_count()];
        if !pooled.is_empty() {
            self.0.average(values(storage, layout)?, &mut pooled, num_channels);
        }
        Ok((CpuStorage::F32(pooled), shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let shape = self.shape(layout)?;
        let arguments = crate::cuda::PoolArguments { grids: (storage, layout), sizes: self.0.sizes(), shape: &shape };
        Ok((crate::cuda::pool(&arguments)?, shape))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    fn pooled(values: &[f32], num_channels: usize, how: Pool) -> Vec<f32> {
        let shape = (1, values.len() / num_channels, num_channels);
        let grids = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        super::pool(&grids, how).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn blocks_are_averaged_channel_by_channel() {
        // Two channels on a 2×2 grid: 1 2 3 4 and ten times that.
        let grid = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0];
        assert_eq!(pooled(&grid, 2, Pool::two_d(2, 2).unwrap()), [2.5, 25.0]);
        assert_eq!(pooled(&grid, 2, Pool::two_d(2, 1).unwrap()), grid);
        assert_eq!(pooled(&grid, 2, Pool::one_d(4, 2).unwrap()), [1.5, 15.0, 3.5, 35.0]);
    }

    #[test]
    fn clip_pools_to_144_and_36_tokens() {
        assert_eq!(Pool::two_d(24, 2).map(Pool::num_outputs), Some(144));
        assert_eq!(Pool::two_d(24, 4).map(Pool::num_outputs), Some(36));
        assert_eq!(Pool::one_d(576, 4).map(Pool::num_outputs), Some(144));
    }

    #[test]
    fn blocks_that_do_not_fill_the_grid_are_rejected() {
        assert_eq!(Pool::two_d(3, 2), None);
        assert_eq!(Pool::two_d(3, 0), None);
        assert_eq!(Pool::two_d(0, 1), None);
        let grid = Tensor::zeros((1, 8, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(super::pool(&grid, Pool::two_d(3, 3).unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn pooling_keeps_the_mean(values in prop::collection::vec(-1.0_f32..1.0, 36)) {
            let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
            prop_assert!((mean(&values) - mean(&pooled(&values, 1, Pool::two_d(6, 3).unwrap()))).abs() < 1e-5);
        }
    }
}
