//! Mean pooling of grids of feature vectors: how many tokens an image takes.
//!
//! LongLLaVA (arXiv 2409.02889) pools the 24×24 vectors of CLIP ViT-L/14 at 336 px by 2×2 to 12×12, which is 144 tokens
//! an image, and by 4×4 to 6×6, which is 36. Its first training stage pools runs of 4 along the sequence instead.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::storage::{prepared, values};

/// A grid and the blocks whose vectors are averaged.
///
/// # Invariants
/// * All numbers are positive, and the grid holds a whole number of blocks in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    rows: usize,
    columns: usize,
    window_rows: usize,
    window_columns: usize,
}

impl Pool {
    /// Blocks of `window × window` on a grid of `edge × edge`; `None` if they do not fill it.
    pub fn two_d(edge: usize, window: usize) -> Option<Self> {
        Self::new((edge, edge), (window, window))
    }

    /// Runs of `window` in a sequence of `num_vectors`; `None` if they do not fill it.
    pub fn one_d(num_vectors: usize, window: usize) -> Option<Self> {
        Self::new((1, num_vectors), (1, window))
    }

    fn new((rows, columns): (usize, usize), (window_rows, window_columns): (usize, usize)) -> Option<Self> {
        let fits = |edge: usize, window: usize| edge > 0 && window > 0 && edge.is_multiple_of(window);
        let is_whole = fits(rows, window_rows) && fits(columns, window_columns);
        is_whole.then_some(Self { rows, columns, window_rows, window_columns })
    }

    /// Vectors of the grid.
    pub fn num_inputs(self) -> usize {
        self.rows * self.columns
    }

    /// Vectors after pooling.
    pub fn num_outputs(self) -> usize {
        self.num_inputs() / (self.window_rows * self.window_columns)
    }

    /// The numbers that a CUDA kernel takes: rows, columns, rows and columns of a block.
    #[cfg(feature = "cuda")]
    pub(crate) fn numbers(self) -> [usize; 4] {
        [self.rows, self.columns, self.window_rows, self.window_columns]
    }
}

/// The means of the blocks, row by row: `[B, inputs, C]` becomes `[B, outputs, C]`. Sums are `f32`.
pub fn pool(grids: &Tensor, pool: Pool) -> Result<Tensor> {
    prepared(grids)?.apply_op1_no_bwd(&PoolOp(pool))?.to_dtype(grids.dtype())
}

pub(crate) struct PoolOp(pub(crate) Pool);

impl PoolOp {
    fn shape(&self, layout: &Layout) -> Result<Shape> {
        let (num_grids, num_vectors, num_channels) = layout.shape().dims3()?;
        if num_vectors != self.0.num_inputs() {
            bail!("a grid to be pooled has {num_vectors} vectors, expected {}", self.0.num_inputs());
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
        let num_channels = layout.dims().last().copied().unwrap_or(0);
        let pooled = pool_on_cpu(values(storage, layout)?, self.0, num_channels, shape.elem_count());
        Ok((CpuStorage::F32(pooled), shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let shape = self.shape(layout)?;
        Ok((crate::cuda::pool(self, storage, layout, &shape)?, shape))
    }
}

fn pool_on_cpu(grids: &[f32], pool: Pool, num_channels: usize, num_values: usize) -> Vec<f32> {
    let mut pooled = vec![0.0; num_values];
    if num_values == 0 {
        return pooled;
    }
    let scale = 1.0 / (pool.window_rows * pool.window_columns) as f32;
    let blocks_per_row = pool.columns / pool.window_columns;
    pooled.par_chunks_mut(num_channels).enumerate().for_each(|(output, mean)| {
        let (grid, block) = (output / pool.num_outputs(), output % pool.num_outputs());
        let (top, left) = (block / blocks_per_row * pool.window_rows, block % blocks_per_row * pool.window_columns);
        for row in top..top + pool.window_rows {
            let first = grid * pool.num_inputs() + row * pool.columns + left;
            let vectors = &grids[first * num_channels..][..pool.window_columns * num_channels];
            for vector in vectors.chunks_exact(num_channels) {
                mean.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
            }
        }
        for sum in mean {
            *sum *= scale;
        }
    });
    pooled
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
    fn blocks_that_do_not_fill_the_grid_are_refused() {
        assert_eq!(Pool::two_d(3, 2), None);
        assert_eq!(Pool::two_d(3, 0), None);
        assert_eq!(Pool::two_d(0, 1), None);
        let grid = Tensor::zeros((1, 8, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(super::pool(&grid, Pool::two_d(3, 3).unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn the_mean_of_the_whole_is_kept(values in prop::collection::vec(-1.0_f32..1.0, 36)) {
            let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
            prop_assert!((mean(&values) - mean(&pooled(&values, 1, Pool::two_d(6, 3).unwrap()))).abs() < 1e-5);
        }
    }
}
