//! Launches the CUDA kernels of `cuda/*.cu`. Shapes are checked by the callers.
//!
//! **Invariant:** every launch gets buffers of the sizes that its kernel reads and writes; each `SAFETY` comment lists
//! them.
//!
//! `tests/gpu.rs` compares every kernel with its CPU version; `gpu-check.sh` runs it on a machine with a GPU. `tests/host.rs`
//! does so without one, with the launches of `launch.rs`.

use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, DeviceRepr, LaunchArgs, LaunchConfig, PushKernelArg, result as driver,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorageSlice, WrapErr};
use candle_core::{CudaStorage, DType, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};
use half::{bf16, f16};

use crate::launch::{self, Launch};
use crate::window::TokenWindow;

mod ptx {
    include!(concat!(env!("OUT_DIR"), "/ptx.rs"));
}

/// A storage, and the part of it that belongs to a tensor.
pub(crate) type Input<'a> = (&'a CudaStorage, &'a Layout);

/// Arguments of [`scan`]; shapes as in [`crate::ScanInputs`].
pub(crate) struct ScanArguments<'a> {
    pub(crate) window: &'a TokenWindow,
    pub(crate) num_channels: usize,
    pub(crate) num_states: usize,
    /// u, dt and z.
    pub(crate) inputs: [Input<'a>; 3],
    /// a, b, c, d and the state, `f32`.
    pub(crate) held: &'a [Tensor; 5],
}

/// Arguments of [`convolve`]; shapes as in [`crate::ConvInputs`].
pub(crate) struct ConvArguments<'a> {
    pub(crate) window: &'a TokenWindow,
    /// Activations and history.
    pub(crate) inputs: [Input<'a>; 2],
    /// `f32`.
    pub(crate) weight: &'a Tensor,
    /// `f32`.
    pub(crate) bias: &'a Tensor,
}

/// Arguments of [`pool`].
pub(crate) struct PoolArguments<'a> {
    /// `[grids, rows × columns, channels]`.
    pub(crate) grids: Input<'a>,
    /// Rows and columns of a grid, then of a block; blocks fill the grid.
    pub(crate) sizes: [usize; 4],
    /// Shape of the result, `[grids, blocks, channels]`.
    pub(crate) shape: &'a Shape,
}

/// Arguments of [`normalize`].
pub(crate) struct NormalizeArguments<'a> {
    /// Bytes, `[images, height, width, 3]`.
    pub(crate) pixels: Input<'a>,
    pub(crate) mean: [f32; 3],
    pub(crate) deviation: [f32; 3],
    /// Type of the result.
    pub(crate) dtype: DType,
    /// Shape of the result, `[images, 3, height, width]`.
    pub(crate) shape: &'a Shape,
}

/// A type that kernels are compiled for.
trait KernelType: CudaDType + DeviceRepr {
    /// The suffix of its kernels' names.
    const NAME: &'static str;
}

impl KernelType for f32 {
    const NAME: &'static str = "f32";
}

impl KernelType for f16 {
    const NAME: &'static str = "f16";
}

impl KernelType for bf16 {
    const NAME: &'static str = "bf16";
}

/// Calls a generic function with the Rust type of a `DType`.
macro_rules! by_type {
    ($dtype:expr, $function:ident($($argument:expr),*)) => {
        match $dtype {
            DType::F32 => $function::<f32>($($argument),*),
            DType::F16 => $function::<f16>($($argument),*),
            DType::BF16 => $function::<bf16>($($argument),*),
            other => bail!("no kernel for values of {other:?}"),
        }
    };
}

/// Peak bytes in use in the device's default memory pool, from which tensors are allocated (every card since Volta has one).
#[expect(unsafe_code, reason = "the driver's C interface: a pool by its handle, a number by its address")]
pub(crate) fn peak_bytes(device: &CudaDevice) -> Result<u64> {
    let mut num_bytes = 0_u64;
    let context = device.cuda_stream().context().clone();
    context.bind_to_thread().w()?;
    // SAFETY: the context is bound to this thread, so its device and the device's default pool exist; the attribute is a
    // 64-bit number, and `num_bytes` outlives the call that writes it.
    unsafe {
        let pool = driver::device::get_default_mem_pool(context.cu_device()).w()?;
        let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        driver::mem_pool::get_attribute(pool, attribute, (&raw mut num_bytes).cast()).w()?;
    }
    Ok(num_bytes)
}

pub(crate) fn scan(arguments: &ScanArguments<'_>) -> Result<CudaStorage> {
    let [u, ..] = arguments.inputs;
    by_type!(u.0.dtype(), scan_of(arguments))
}

#[expect(unsafe_code, reason = "the compiler cannot check a launch against the buffers of its kernel")]
fn scan_of<T: KernelType>(arguments: &ScanArguments<'_>) -> Result<CudaStorage> {
    let ScanArguments { window, num_channels, num_states, inputs: [u, dt, z], held } = *arguments;
    let device = u.0.device().clone();
    let num_tokens = window.num_tokens();
    let launch = Launch::scan(num_tokens, num_channels, num_states)?;
    let is_first = device.clone_htod(&launch::is_first(window.num_earlier()))?;
    let inputs = [view::<T>(u)?, view::<T>(dt)?, view::<T>(z)?];
    let held = held.each_ref().map(Tensor::storage_and_layout);
    let held = held.iter().map(view_f32).collect::<Result<Vec<_>>>()?;
    let out = output::<f32>(&device, num_channels * (num_tokens + num_states))?;
    let function = device.get_or_load_custom_func(&launch.name(T::NAME), launch.kernel, ptx::SELECTIVE_SCAN)?;
    let mut arguments = function.builder();
    for values in &inputs {
        arguments.arg(values);
    }
    for values in &held {
        arguments.arg(values);
    }
    arguments.arg(&is_first).arg(&out);
    for number in &launch.numbers {
        arguments.arg(number);
    }
    // SAFETY: `selective_scan` checked the shapes: u, dt, z are tokens × channels; a and state channels × states; b and c
    // tokens × states; d channels; is_first has a byte per token; out is (tokens + states) × channels.
    unsafe { run(arguments, &launch) }?;
    Ok(CudaStorage { slice: CudaStorageSlice::F32(out), device })
}

pub(crate) fn convolve(arguments: &ConvArguments<'_>) -> Result<CudaStorage> {
    let [x, _] = arguments.inputs;
    by_type!(x.0.dtype(), convolve_of(arguments))
}

#[expect(unsafe_code, reason = "the compiler cannot check a launch against the buffers of its kernel")]
fn convolve_of<T: KernelType>(arguments: &ConvArguments<'_>) -> Result<CudaStorage> {
    let ConvArguments { window, inputs: [x, history], weight, bias } = *arguments;
    let device = x.0.device().clone();
    let (num_channels, num_taps) = weight.dims2()?;
    let num_tokens = window.num_tokens();
    let launch = Launch::convolution(num_tokens, num_channels, num_taps)?;
    let num_earlier = device.clone_htod(&launch::num_earlier(window.num_earlier(), num_taps))?;
    let inputs = [view::<T>(x)?, view::<T>(history)?];
    let held = [weight, bias].map(Tensor::storage_and_layout);
    let held = held.iter().map(view_f32).collect::<Result<Vec<_>>>()?;
    let out = output::<T>(&device, num_tokens * num_channels)?;
    let function = device.get_or_load_custom_func(&launch.name(T::NAME), launch.kernel, ptx::CAUSAL_CONV)?;
    let mut arguments = function.builder();
    for values in &inputs {
        arguments.arg(values);
    }
    for values in &held {
        arguments.arg(values);
    }
    arguments.arg(&num_earlier).arg(&out);
    for number in &launch.numbers {
        arguments.arg(number);
    }
    // SAFETY: `causal_conv` checked the shapes: x is tokens × channels, history (taps − 1) × channels, weight channels × taps,
    // bias channels; num_earlier has a number per token; out is tokens × channels.
    unsafe { run(arguments, &launch) }?;
    Ok(T::wrap_cuda_slice(out, device))
}

pub(crate) fn pool(arguments: &PoolArguments<'_>) -> Result<CudaStorage> {
    by_type!(arguments.grids.0.dtype(), pool_of(arguments))
}

#[expect(unsafe_code, reason = "the compiler cannot check a launch against the buffers of its kernel")]
fn pool_of<T: KernelType>(arguments: &PoolArguments<'_>) -> Result<CudaStorage> {
    let PoolArguments { grids, sizes, shape } = *arguments;
    let device = grids.0.device().clone();
    let (num_grids, _, num_channels) = shape.dims3()?;
    let input = view::<T>(grids)?;
    let out = output::<T>(&device, shape.elem_count())?;
    let launch = Launch::pool(num_grids, sizes, num_channels)?;
    let function = device.get_or_load_custom_func(&launch.name(T::NAME), launch.kernel, ptx::POOL)?;
    let mut arguments = function.builder();
    arguments.arg(&input).arg(&out);
    for number in &launch.numbers {
        arguments.arg(number);
    }
    // SAFETY: the operation checked that input is grids × (rows × columns) × channels, and `Pool` that blocks fill the grid;
    // out has one value per block and channel.
    unsafe { run(arguments, &launch) }?;
    Ok(T::wrap_cuda_slice(out, device))
}

pub(crate) fn normalize(arguments: &NormalizeArguments<'_>) -> Result<CudaStorage> {
    by_type!(arguments.dtype, normalize_of(arguments))
}

#[expect(unsafe_code, reason = "the compiler cannot check a launch against the buffers of its kernel")]
fn normalize_of<T: KernelType>(arguments: &NormalizeArguments<'_>) -> Result<CudaStorage> {
    let NormalizeArguments { pixels, mean, deviation, shape, .. } = *arguments;
    let device = pixels.0.device().clone();
    let (num_images, _, height_px, width_px) = shape.dims4()?;
    let input = view::<u8>(pixels)?;
    let out = output::<T>(&device, shape.elem_count())?;
    let launch = Launch::normalize(num_images, height_px * width_px, mean, deviation)?;
    let function = device.get_or_load_custom_func(&launch.name(T::NAME), launch.kernel, ptx::NORMALIZE)?;
    let mut arguments = function.builder();
    arguments.arg(&input).arg(&out);
    for number in &launch.numbers {
        arguments.arg(number);
    }
    // SAFETY: the operation checked that pixels are images × height × width × 3 bytes; out has the same number of values.
    unsafe { run(arguments, &launch) }?;
    Ok(T::wrap_cuda_slice(out, device))
}

/// Losses of logits `[rows, vocabulary]` for targets `[rows]`, `u32`.
pub(crate) fn losses(logits: Input<'_>, targets: Input<'_>) -> Result<CudaStorage> {
    by_type!(logits.0.dtype(), losses_of(logits, targets))
}

#[expect(unsafe_code, reason = "the compiler cannot check a launch against the buffers of its kernel")]
fn losses_of<T: KernelType>(logits: Input<'_>, targets: Input<'_>) -> Result<CudaStorage> {
    let device = logits.0.device().clone();
    let (num_rows, vocab_size) = logits.1.shape().dims2()?;
    if targets.1.shape().elem_count() != num_rows {
        bail!("{num_rows} rows of logits have {} targets", targets.1.shape().elem_count());
    }
    let (logits, targets) = (view::<T>(logits)?, view::<u32>(targets)?);
    let out = output::<f32>(&device, num_rows)?;
    let launch = Launch::losses(num_rows, vocab_size)?;
    let function = device.get_or_load_custom_func(&launch.name(T::NAME), launch.kernel, ptx::CROSS_ENTROPY)?;
    let mut arguments = function.builder();
    arguments.arg(&logits).arg(&targets).arg(&out);
    for number in &launch.numbers {
        arguments.arg(number);
    }
    // SAFETY: logits are rows × vocabulary; targets and out have one entry per row; there is one block per row, of as many
    // threads as the kernel has slots in shared memory. The kernel itself checks targets against the vocabulary.
    unsafe { run(arguments, &launch) }?;
    Ok(CudaStorage { slice: CudaStorageSlice::F32(out), device })
}

/// The part of a storage that a contiguous layout covers.
fn view<T: CudaDType>((storage, layout): Input<'_>) -> Result<CudaView<'_, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice::<T>()?.slice(start..end)),
        None => bail!("a kernel needs contiguous values, found the layout {layout:?}"),
    }
}

/// The values of an `f32` tensor.
fn view_f32<'a>((storage, layout): &'a (StorageRef<'_>, &Layout)) -> Result<CudaView<'a, f32>> {
    match &**storage {
        Storage::Cuda(storage) => view((storage, layout)),
        _ => bail!("a kernel needs all of its tensors on one device"),
    }
}

/// Uninitialised memory for a kernel's output; at least one value, because a driver allocates no empty memory.
#[expect(unsafe_code, reason = "zeroing memory that is written at once would cost as much as some kernels")]
fn output<T: DeviceRepr>(device: &CudaDevice, num_values: usize) -> Result<CudaSlice<T>> {
    // SAFETY: every kernel here writes each value of its output before anything reads it.
    unsafe { device.alloc::<T>(num_values.max(1)) }
}

/// Launches a kernel, unless there is nothing to compute.
///
/// # Safety
///
/// The arguments are those of the kernel, and their buffers have the sizes that follow from its numbers.
#[expect(unsafe_code, reason = "the compiler cannot check a launch against the buffers of its kernel")]
unsafe fn run(mut arguments: LaunchArgs<'_>, launch: &Launch) -> Result<()> {
    if launch.num_blocks == 0 {
        return Ok(());
    }
    let grid_dim = (launch.num_blocks, 1, 1);
    let config = LaunchConfig { grid_dim, block_dim: (launch.threads_per_block, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: as above.
    unsafe { arguments.launch(config) }.w()?;
    Ok(())
}
