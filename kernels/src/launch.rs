//! What a launch of each kernel in `cuda/*.cu` takes besides its buffers: blocks, threads and numbers.
//!
//! It knows nothing of a driver, so that `tests/host.rs` runs the kernels on the CPU just as `cuda.rs` launches them.

use candle_core::{Result, bail};

/// Maximum number of states per channel that the scan has room for; `MAX_STATES` in `selective_scan.cu`.
const MAX_STATES: usize = 64;
/// Threads of a block of `selective_scan.cu`, which share what they read ahead.
const THREADS_PER_SCAN: u32 = 64;
/// Threads of a block of `cross_entropy.cu`, which has as many slots in shared memory.
const THREADS_PER_ROW: u32 = 256;

/// A launch of a kernel. A kernel takes its buffers first, inputs before the output, and then numbers.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The kernel's file, and its name up to the type.
    pub(crate) kernel: &'static str,
    /// 0 if there is nothing to compute; a driver refuses such a launch.
    pub(crate) num_blocks: u32,
    pub(crate) threads_per_block: u32,
    /// An `f32` is given by its bits.
    pub(crate) numbers: Vec<u32>,
}

impl Launch {
    /// Buffers: u, dt, z, a, b, c, d, state, [`is_first`], output.
    pub(crate) fn scan(num_tokens: usize, num_channels: usize, num_states: usize) -> Result<Self> {
        if num_states > MAX_STATES {
            bail!("{num_states} states per channel, expected at most {MAX_STATES}");
        }
        Self::new("selective_scan", (num_channels, THREADS_PER_SCAN), &[num_tokens, num_channels, num_states])
    }

    /// Buffers: activations, history, weight, bias, [`num_earlier`], output.
    pub(crate) fn convolution(num_tokens: usize, num_channels: usize, num_taps: usize) -> Result<Self> {
        Self::new("causal_conv", (num_tokens * num_channels, 256), &[num_tokens, num_channels, num_taps])
    }

    /// Buffers: grids, output. Sizes are rows and columns of a grid, then of a block; blocks fill the grid.
    pub(crate) fn pool(num_grids: usize, sizes: [usize; 4], num_channels: usize) -> Result<Self> {
        let [rows, columns, window_rows, window_columns] = sizes;
        let num_outputs = num_grids * (rows / window_rows) * (columns / window_columns) * num_channels;
        let numbers = [num_grids, rows, columns, window_rows, window_columns, num_channels];
        Self::new("pool", (num_outputs, 256), &numbers)
    }

    /// Buffers: pixels, output.
    pub(crate) fn normalize(num_images: usize, plane_len: usize, mean: [f32; 3], deviation: [f32; 3]) -> Result<Self> {
        let mut launch = Self::new("normalize", (num_images * plane_len, 256), &[num_images, plane_len])?;
        launch.numbers.extend(mean.into_iter().chain(deviation).map(f32::to_bits));
        Ok(launch)
    }

    /// Buffers: logits, targets, output.
    pub(crate) fn losses(num_rows: usize, vocab_size: usize) -> Result<Self> {
        let num_threads = num_rows * THREADS_PER_ROW as usize;
        Self::new("cross_entropy", (num_threads, THREADS_PER_ROW), &[vocab_size])
    }

    /// Enough blocks for a number of threads.
    fn new(kernel: &'static str, (num_threads, per_block): (usize, u32), numbers: &[usize]) -> Result<Self> {
        let num_blocks = number(num_threads.div_ceil(per_block as usize))?;
        let numbers = numbers.iter().copied().map(number).collect::<Result<_>>()?;
        Ok(Self { kernel, num_blocks, threads_per_block: per_block, numbers })
    }

    /// The kernel for values of a type: `f32`, `f16` or `bf16`.
    pub(crate) fn name(&self, type_name: &str) -> String {
        format!("{}_{type_name}", self.kernel)
    }
}

/// For each token, 1 if it is the first of its sample, given the tokens of its sample before it.
pub(crate) fn is_first(num_earlier: impl Iterator<Item = usize>) -> Vec<u8> {
    num_earlier.map(|num_earlier| u8::from(num_earlier == 0)).collect()
}

/// For each token, the tokens of its sample before it, as far as a tap looks back.
pub(crate) fn num_earlier(num_earlier: impl Iterator<Item = usize>, num_taps: usize) -> Vec<u32> {
    num_earlier.map(|num_earlier| num_earlier.min(num_taps) as u32).collect()
}

/// A number in the 32 bits that kernels take.
fn number(value: usize) -> Result<u32> {
    match u32::try_from(value) {
        Ok(number) => Ok(number),
        Err(_) => bail!("{value} does not fit into the 32 bits of a kernel's argument"),
    }
}
