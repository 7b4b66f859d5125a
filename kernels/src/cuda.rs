//! Launches the CUDA kernels of `cuda/*.cu`. The rest of the crate checks shapes; here numbers become launches.
//!
//! **Invariant:** every launch is given buffers of the sizes that its kernel reads and writes, as the comment beside it says.
//!
//! Agreement with the CPU kernels is what `gpu-check.sh` tests, on a machine with a GPU.

use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg, result as driver,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorageSlice, WrapErr};
use candle_core::{CudaStorage, DType, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};
use half::{bf16, f16};

use crate::conv::ConvOp;
use crate::normalize::{Normalization, NormalizeOp};
use crate::pool::PoolOp;
use crate::scan::ScanOp;

mod ptx {
    include!(concat!(env!("OUT_DIR"), "/ptx.rs"));
}

/// A storage and what of it is meant.
pub(crate) type Input<'a> = (&'a CudaStorage, &'a Layout);

/// Most states of a channel that the scan has room for; `MOST_STATES` in `selective_scan.cu`.
const MOST_STATES: usize = 64;

/// A type that kernels are compiled for.
trait KernelType: CudaDType + DeviceRepr {
    /// The end of the names of its kernels.
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

/// Runs a generic function for the type of values.
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

/// The most bytes that the device's pool ever held in use. Tensors are allocated from it, as every card since Volta can.
#[expect(unsafe_code, reason = "the driver's own interface: a pool by its handle, a number by its address")]
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

pub(crate) fn scan(op: &ScanOp, inputs: [Input<'_>; 3]) -> Result<CudaStorage> {
    by_type!(inputs[0].0.dtype(), scan_of(op, inputs))
}

#[expect(unsafe_code, reason = "a launch runs code that no compiler has checked against its buffers")]
fn scan_of<T: KernelType>(op: &ScanOp, [u, dt, z]: [Input<'_>; 3]) -> Result<CudaStorage> {
    if op.num_states > MOST_STATES {
        bail!("{} states of a channel; the kernel has room for {MOST_STATES}", op.num_states);
    }
    let device = u.0.device().clone();
    let (num_tokens, num_channels) = (op.window.num_tokens(), op.num_channels);
    let mut is_first = vec![0_u8; num_tokens];
    for (tokens, num_before) in op.window.samples() {
        is_first[tokens.start] = u8::from(num_before == 0);
    }
    let is_first = device.clone_htod(&is_first)?;
    let inputs = [view::<T>(u)?, view::<T>(dt)?, view::<T>(z)?];
    let held = [&op.a, &op.b, &op.c, &op.d, &op.state].map(Tensor::storage_and_layout);
    let held = held.iter().map(view_f32).collect::<Result<Vec<_>>>()?;
    let out = output::<f32>(&device, num_channels * (num_tokens + op.num_states))?;
    let numbers = numbers([num_tokens, num_channels, op.num_states])?;
    let name = format!("selective_scan_{}", T::NAME);
    let function = device.get_or_load_custom_func(&name, "selective_scan", ptx::SELECTIVE_SCAN)?;
    let mut launch = function.builder();
    for values in &inputs {
        launch.arg(values);
    }
    for values in &held {
        launch.arg(values);
    }
    launch.arg(&is_first).arg(&out);
    for number in &numbers {
        launch.arg(number);
    }
    // SAFETY: `selective_scan` checked the shapes: u, dt, z are tokens × channels; a and state channels × states; b and c
    // tokens × states; d channels; is_first has a byte for each token; out is (tokens + states) × channels.
    unsafe { launch.launch(blocks_of(num_channels, 64)?) }.w()?;
    Ok(CudaStorage { slice: CudaStorageSlice::F32(out), device })
}

pub(crate) fn convolve(op: &ConvOp, x: Input<'_>, history: Input<'_>) -> Result<CudaStorage> {
    by_type!(x.0.dtype(), convolve_of(op, x, history))
}

#[expect(unsafe_code, reason = "a launch runs code that no compiler has checked against its buffers")]
fn convolve_of<T: KernelType>(op: &ConvOp, x: Input<'_>, history: Input<'_>) -> Result<CudaStorage> {
    let device = x.0.device().clone();
    let (num_channels, num_taps) = op.weight.dims2()?;
    let num_tokens = op.window.num_tokens();
    let mut num_earlier = Vec::with_capacity(num_tokens);
    for (tokens, num_before) in op.window.samples() {
        num_earlier.extend((num_before..).take(tokens.len()).map(|earlier| u32::try_from(earlier).unwrap_or(u32::MAX)));
    }
    let num_earlier = device.clone_htod(&num_earlier)?;
    let inputs = [view::<T>(x)?, view::<T>(history)?];
    let held = [&op.weight, &op.bias].map(Tensor::storage_and_layout);
    let held = held.iter().map(view_f32).collect::<Result<Vec<_>>>()?;
    let out = output::<T>(&device, num_tokens * num_channels)?;
    let numbers = numbers([num_tokens, num_channels, num_taps])?;
    let name = format!("causal_conv_{}", T::NAME);
    let function = device.get_or_load_custom_func(&name, "causal_conv", ptx::CAUSAL_CONV)?;
    let mut launch = function.builder();
    for values in &inputs {
        launch.arg(values);
    }
    for values in &held {
        launch.arg(values);
    }
    launch.arg(&num_earlier).arg(&out);
    for number in &numbers {
        launch.arg(number);
    }
    // SAFETY: `causal_conv` checked the shapes: x is tokens × channels, history (taps − 1) × channels, weight channels × taps,
    // bias channels; num_earlier has a number for each token; out is tokens × channels.
    unsafe { launch.launch(blocks_of(num_tokens * num_channels, 256)?) }.w()?;
    Ok(T::wrap_cuda_slice(out, device))
}

pub(crate) fn pool(op: &PoolOp, storage: &CudaStorage, layout: &Layout, shape: &Shape) -> Result<CudaStorage> {
    by_type!(storage.dtype(), pool_of(op, (storage, layout), shape))
}

#[expect(unsafe_code, reason = "a launch runs code that no compiler has checked against its buffers")]
fn pool_of<T: KernelType>(op: &PoolOp, grids: Input<'_>, shape: &Shape) -> Result<CudaStorage> {
    let device = grids.0.device().clone();
    let (num_grids, _, num_channels) = shape.dims3()?;
    let [rows, columns, window_rows, window_columns] = op.0.numbers();
    let input = view::<T>(grids)?;
    let out = output::<T>(&device, shape.elem_count())?;
    let numbers = numbers([num_grids, rows, columns, window_rows, window_columns, num_channels])?;
    let name = format!("pool_{}", T::NAME);
    let function = device.get_or_load_custom_func(&name, "pool", ptx::POOL)?;
    let mut launch = function.builder();
    launch.arg(&input).arg(&out);
    for number in &numbers {
        launch.arg(number);
    }
    // SAFETY: the operation checked that input is grids × (rows × columns) × channels, and `Pool` that blocks fill the grid;
    // out has one value for each block and channel.
    unsafe { launch.launch(blocks_of(shape.elem_count(), 256)?) }.w()?;
    Ok(T::wrap_cuda_slice(out, device))
}

pub(crate) fn normalize(
    op: &NormalizeOp,
    storage: &CudaStorage,
    layout: &Layout,
    shape: &Shape,
) -> Result<CudaStorage> {
    by_type!(op.dtype, normalize_of(op, (storage, layout), shape))
}

#[expect(unsafe_code, reason = "a launch runs code that no compiler has checked against its buffers")]
fn normalize_of<T: KernelType>(op: &NormalizeOp, pixels: Input<'_>, shape: &Shape) -> Result<CudaStorage> {
    let device = pixels.0.device().clone();
    let (num_images, _, height_px, width_px) = shape.dims4()?;
    let input = view::<u8>(pixels)?;
    let out = output::<T>(&device, shape.elem_count())?;
    let numbers = numbers([num_images, height_px * width_px])?;
    let Normalization { mean, deviation } = op.normalization;
    let name = format!("normalize_{}", T::NAME);
    let function = device.get_or_load_custom_func(&name, "normalize", ptx::NORMALIZE)?;
    let mut launch = function.builder();
    launch.arg(&input).arg(&out);
    for number in &numbers {
        launch.arg(number);
    }
    for number in mean.iter().chain(&deviation) {
        launch.arg(number);
    }
    // SAFETY: the operation checked that pixels are images × height × width × 3 bytes; out has as many values.
    unsafe { launch.launch(blocks_of(num_images * height_px * width_px, 256)?) }.w()?;
    Ok(T::wrap_cuda_slice(out, device))
}

pub(crate) fn losses(logits: Input<'_>, targets: Input<'_>) -> Result<CudaStorage> {
    by_type!(logits.0.dtype(), losses_of(logits, targets))
}

#[expect(unsafe_code, reason = "a launch runs code that no compiler has checked against its buffers")]
fn losses_of<T: KernelType>(logits: Input<'_>, targets: Input<'_>) -> Result<CudaStorage> {
    let device = logits.0.device().clone();
    let (num_rows, num_tokens) = logits.1.shape().dims2()?;
    if targets.1.shape().elem_count() != num_rows {
        bail!("{num_rows} rows of logits have {} targets", targets.1.shape().elem_count());
    }
    let (logits, targets) = (view::<T>(logits)?, view::<u32>(targets)?);
    let out = output::<f32>(&device, num_rows)?;
    let [grid, num_tokens] = numbers([num_rows, num_tokens])?;
    let name = format!("cross_entropy_{}", T::NAME);
    let function = device.get_or_load_custom_func(&name, "cross_entropy", ptx::CROSS_ENTROPY)?;
    let mut launch = function.builder();
    launch.arg(&logits).arg(&targets).arg(&out).arg(&num_tokens);
    let config = LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (256, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: logits are rows × tokens; targets and out have one entry for each row; there is one block for each row, of as
    // many threads as the kernel has places in shared memory. The kernel itself checks targets against the number of tokens.
    unsafe { launch.launch(config) }.w()?;
    Ok(CudaStorage { slice: CudaStorageSlice::F32(out), device })
}

/// The values that a contiguous layout picks out of a storage.
fn view<T: CudaDType>((storage, layout): Input<'_>) -> Result<CudaView<'_, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice::<T>()?.slice(start..end)),
        None => bail!("a kernel wants contiguous values, found the layout {layout:?}"),
    }
}

/// The `f32` values of a tensor that an operation holds.
fn view_f32<'a>((storage, layout): &'a (StorageRef<'_>, &Layout)) -> Result<CudaView<'a, f32>> {
    match &**storage {
        Storage::Cuda(storage) => view((storage, layout)),
        _ => bail!("a kernel wants all of its tensors on one device"),
    }
}

/// Memory that a kernel will write.
#[expect(unsafe_code, reason = "zeroing what is written at once anyway would cost as much as some kernels")]
fn output<T: DeviceRepr>(device: &CudaDevice, num_values: usize) -> Result<CudaSlice<T>> {
    // SAFETY: every kernel here writes each value of its output before anyone reads it.
    unsafe { device.alloc::<T>(num_values) }
}

/// Enough blocks for one thread each.
fn blocks_of(num_threads: usize, threads_per_block: u32) -> Result<LaunchConfig> {
    let [num_blocks] = numbers([num_threads.div_ceil(threads_per_block as usize)])?;
    Ok(LaunchConfig { grid_dim: (num_blocks, 1, 1), block_dim: (threads_per_block, 1, 1), shared_mem_bytes: 0 })
}

/// Numbers as kernels take them.
fn numbers<const N: usize>(values: [usize; N]) -> Result<[u32; N]> {
    let mut numbers = [0; N];
    for (number, value) in numbers.iter_mut().zip(values) {
        match u32::try_from(value) {
            Ok(value) => *number = value,
            Err(_) => bail!("{value} is more than a kernel can count"),
        }
    }
    Ok(numbers)
}
