//! 2-D mean pooling of a square grid of feature vectors.
//!
//! LongLLaVA (arXiv 2409.02889) pools the 24×24 vectors of CLIP ViT-L/14 at 336 px by 2×2 to 12×12, which is 144 tokens
//! an image, and by 4×4 to 6×6, which is 36.

/// Why a grid cannot be pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolError {
    /// The edge is 0, or not a multiple of the window.
    Edge,
    /// The values are not `edge × edge × num_channels`.
    Length,
}

impl std::fmt::Display for PoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Edge => "the edge of the grid is not a positive multiple of the window",
            Self::Length => "the number of values is not edge × edge × channels",
        })
    }
}

impl std::error::Error for PoolError {}

/// The mean of every `window × window` block of a grid of shape `[edge, edge, num_channels]`, row by row.
///
/// The result has the shape `[edge / window, edge / window, num_channels]`. Sums are taken in `f32`, row by row.
pub fn pool_2d(grid: &[f32], edge: usize, num_channels: usize, window: usize) -> Result<Vec<f32>, PoolError> {
    if window == 0 || edge == 0 || !edge.is_multiple_of(window) {
        return Err(PoolError::Edge);
    }
    if edge.checked_mul(edge).and_then(|cells| cells.checked_mul(num_channels)) != Some(grid.len()) {
        return Err(PoolError::Length);
    }
    if num_channels == 0 {
        return Ok(Vec::new());
    }
    let pooled_edge = edge / window;
    let mut pooled = vec![0.0; pooled_edge * pooled_edge * num_channels];
    for (cell, vector) in grid.chunks_exact(num_channels).enumerate() {
        let (row, column) = (cell / edge, cell % edge);
        let block = (row / window) * pooled_edge + column / window;
        for (sum, value) in pooled.iter_mut().skip(block * num_channels).zip(vector) {
            *sum += value;
        }
    }
    let scale = 1.0 / (window * window) as f32;
    for value in &mut pooled {
        *value *= scale;
    }
    Ok(pooled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_are_averaged_channel_by_channel() {
        // Two channels on a 2×2 grid: 1 2 3 4 and ten times that.
        let grid = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0];
        assert_eq!(pool_2d(&grid, 2, 2, 2), Ok(vec![2.5, 25.0]));
        assert_eq!(pool_2d(&grid, 2, 2, 1), Ok(grid.to_vec()));
    }

    #[test]
    fn clip_pools_to_144_and_36_tokens() {
        let grid = vec![0.5; 24 * 24 * 8];
        assert_eq!(pool_2d(&grid, 24, 8, 2).map(|pooled| pooled.len() / 8), Ok(144));
        assert_eq!(pool_2d(&grid, 24, 8, 4).map(|pooled| pooled.len() / 8), Ok(36));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        assert_eq!(pool_2d(&[0.0; 9], 3, 1, 2), Err(PoolError::Edge));
        assert_eq!(pool_2d(&[0.0; 9], 3, 1, 0), Err(PoolError::Edge));
        assert_eq!(pool_2d(&[0.0; 8], 3, 1, 3), Err(PoolError::Length));
    }

    proptest! {
        #[test]
        fn the_mean_of_the_whole_is_kept(values in prop::collection::vec(-1.0_f32..1.0, 36)) {
            let pooled = pool_2d(&values, 6, 1, 3).unwrap();
            let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
            prop_assert!((mean(&values) - mean(&pooled)).abs() < 1e-5);
        }
    }
}
