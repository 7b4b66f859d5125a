//! The kernels of `cuda/*.cu`, compiled for the CPU, agree with their CPU versions.
//!
//! `host/cuda.h` replaces CUDA: the threads of a block are real threads. Every launch runs twice: under AddressSanitizer and
//! UndefinedBehaviorSanitizer, with buffers of exactly the stated sizes, and under ThreadSanitizer. Launches are those of
//! `src/launch.rs`, which `src/cuda.rs` makes as well. What this cannot see: the buffers' order in `src/cuda.rs`, the driver,
//! and the last bit of CUDA's own `expf`. Needs a C++ compiler: `CXX`, or `c++`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "helpers of tests, which clippy does not recognise as tests"
)]
#![expect(clippy::float_cmp, reason = "equal infinities are no distance apart")]
#![expect(clippy::many_single_char_names, reason = "the letters are those of the papers")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use manyframe_kernels::{
    ConvInputs, CrossEntropyInputs, PackedSamples, Pool, ScanInputs, TokenWindow, causal_conv, cross_entropy,
    normalize, normalize_images, pool, selective_scan,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[path = "../src/launch.rs"]
mod launch;

use launch::Launch;

/// The types that kernels are compiled for, and the relative distance of neighbouring values.
const TYPES: [(DType, &str, f32); 3] =
    [(DType::F32, "f32", 0.0), (DType::F16, "f16", 1.0 / 2048.0), (DType::BF16, "bf16", 1.0 / 256.0)];

/// The same cases in every run.
fn cases(number: u32) -> ProptestConfig {
    let (rng_seed, max_shrink_iters) = (RngSeed::Fixed(12), 30);
    ProptestConfig { rng_seed, max_shrink_iters, failure_persistence: None, ..ProptestConfig::with_cases(number) }
}

static MEMORY: LazyLock<PathBuf> = LazyLock::new(|| compiled("memory", &["-fsanitize=address,undefined"]));
static THREADS: LazyLock<PathBuf> = LazyLock::new(|| compiled("threads", &["-fsanitize=thread"]));

/// Compiles the kernels.
fn compiled(name: &str, flags: &[&str]) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host");
    let program =
        tempfile::Builder::new().prefix(name).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep().join("run");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let compiling = Command::new(&compiler)
        .args(["-std=c++17", "-O1", "-g", "-pthread", "-ffp-contract=off", "-fno-sanitize-recover=all"])
        .args(["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"])
        .args(flags)
        .arg("-I")
        .args([&sources, &sources.join("run.cpp")])
        .arg("-o")
        .arg(&program)
        .output();
    let output = compiling.unwrap_or_else(|error| panic!("{compiler}: {error}; this test needs a C++ compiler"));
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    program
}

/// The bytes of a kernel's buffer.
fn bytes(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.flatten_all().unwrap();
    match tensor.dtype() {
        DType::F32 => flat.to_vec1::<f32>().unwrap().iter().flat_map(|value| value.to_ne_bytes()).collect(),
        DType::F16 => flat.to_vec1::<f16>().unwrap().iter().flat_map(|value| value.to_ne_bytes()).collect(),
        DType::BF16 => flat.to_vec1::<bf16>().unwrap().iter().flat_map(|value| value.to_ne_bytes()).collect(),
        DType::U32 => flat.to_vec1::<u32>().unwrap().iter().flat_map(|value| value.to_ne_bytes()).collect(),
        DType::U8 => flat.to_vec1::<u8>().unwrap(),
        other => panic!("no kernel takes {other:?}"),
    }
}

/// The values of a type, as `f32`.
fn values(bytes: &[u8], dtype: DType) -> Vec<f32> {
    match dtype {
        DType::F32 => bytes.chunks_exact(4).map(|value| f32::from_ne_bytes(value.try_into().unwrap())).collect(),
        DType::F16 => {
            bytes.chunks_exact(2).map(|value| f16::from_ne_bytes(value.try_into().unwrap()).to_f32()).collect()
        }
        DType::BF16 => {
            bytes.chunks_exact(2).map(|value| bf16::from_ne_bytes(value.try_into().unwrap()).to_f32()).collect()
        }
        other => panic!("no kernel makes {other:?}"),
    }
}

/// A launch as the program reads it.
fn written(launch: &Launch, type_name: &str, buffers: &[Vec<u8>]) -> Vec<u8> {
    let name = launch.name(type_name);
    let Launch { num_blocks, threads_per_block, numbers, .. } = launch;
    let lengths = [name.len(), buffers.len(), numbers.len()].map(|length| length as u32);
    let header = [lengths[0], *num_blocks, *threads_per_block, lengths[1], lengths[2]];
    let mut input: Vec<u8> = header.iter().flat_map(|number| number.to_ne_bytes()).collect();
    input.extend(name.bytes());
    for buffer in buffers {
        input.extend((buffer.len() as u32).to_ne_bytes());
        input.extend(buffer);
    }
    input.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
    input
}

/// Starts a program, at fixed addresses if that is allowed: not every sanitizer finds its memory among random ones.
fn started(program: &Path) -> Child {
    let fixed = Command::new("setarch").args(["-R", "true"]).output().is_ok_and(|output| output.status.success());
    let mut command = if fixed { Command::new("setarch") } else { Command::new(program) };
    if fixed {
        command.arg("-R").arg(program);
    }
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.env("ASAN_OPTIONS", "detect_leaks=0").env("TSAN_OPTIONS", "halt_on_error=1").spawn().unwrap()
}

/// Runs a launch; what the program says if it fails.
fn run(child: &mut Option<Child>, program: &Path, input: &[u8], num_bytes: usize) -> Result<Vec<u8>, String> {
    let mut output = vec![0; num_bytes];
    let running = child.get_or_insert_with(|| started(program));
    let to = running.stdin.as_mut().unwrap();
    let is_written = to.write_all(input).and_then(|()| to.flush());
    match is_written.and_then(|()| running.stdout.as_mut().unwrap().read_exact(&mut output)) {
        Ok(()) => Ok(output),
        Err(error) => {
            let ended = child.take().unwrap().wait_with_output().unwrap();
            Err(format!("{error}, {}: {}", ended.status, String::from_utf8_lossy(&ended.stderr)))
        }
    }
}

/// The output of a kernel for inputs of a type; its own type, and its number of values. A value that is not written is NaN.
fn launched(
    (launch, type_name): (&Launch, &str),
    mut buffers: Vec<Vec<u8>>,
    (dtype, num_outputs): (DType, usize),
) -> Vec<f32> {
    static RUNNING: Mutex<[Option<Child>; 2]> = Mutex::new([None, None]);
    let num_bytes = num_outputs * dtype.size_in_bytes();
    buffers.push(vec![0xff; num_bytes]);
    let input = written(launch, type_name, &buffers);
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let [memory, threads] = running.each_mut();
    let [memory, threads] = [(&MEMORY, memory), (&THREADS, threads)].map(|(program, child)| {
        run(child, program, &input, num_bytes).unwrap_or_else(|error| panic!("{launch:?}: {error}"))
    });
    assert_eq!(memory, threads, "{launch:?} has two results");
    values(&memory, dtype)
}

/// Pseudo-random values from −1 to 1, rounded to a type.
fn noise(shape: &[usize], seed: u64, dtype: DType) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn f32s(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::F32).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    f32s(tensor).flatten_all().unwrap().to_vec1().unwrap()
}

/// Fails unless the values are as close as the rounding to a type allows; NaN is close to NaN only.
fn assert_close(ours: &[f32], truth: &[f32], rounding: f32) {
    assert_eq!(ours.len(), truth.len());
    for (index, (ours, truth)) in ours.iter().zip(truth).enumerate() {
        let tolerance = 1e-5_f32.mul_add(truth.abs().max(1.0), rounding * truth.abs());
        let is_close = ours == truth || (ours - truth).abs() <= tolerance || (ours.is_nan() && truth.is_nan());
        assert!(is_close, "value {index}: {ours}, expected {truth}");
    }
}

/// A window's rows of a tensor.
fn rows(tensor: &Tensor, window: &TokenWindow) -> Tensor {
    tensor.narrow(0, window.start(), window.num_tokens()).unwrap().contiguous().unwrap()
}

fn num_earlier(window: &TokenWindow) -> impl Iterator<Item = usize> {
    window.samples().flat_map(|(tokens, num_before)| (num_before..).take(tokens.len()))
}

/// The scan of a packing, window by window: outputs and final state, on the CPU and by the kernel. The state before the first
/// window is NaN, and so is a value of the first sample if asked for.
fn check_scan(lengths: &[usize], max_tokens: usize, (channels, states): (usize, usize), seed: u64, has_nan: bool) {
    let (dtype, type_name, _) = TYPES[seed as usize % 3];
    let packing = PackedSamples::from_lengths(lengths.iter().copied());
    let tokens = packing.num_tokens();
    let mut u = noise(&[tokens, channels], seed, dtype);
    if has_nan {
        let nan = Tensor::full(f32::NAN, (1, channels), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        u = u.slice_assign(&[0..1, 0..channels], &nan).unwrap();
    }
    let [dt, z] = [1, 2].map(|salt| noise(&[tokens, channels], seed + salt, dtype));
    let [b, c] = [3, 4].map(|salt| noise(&[tokens, states], seed + salt, DType::F32));
    let a = (noise(&[channels, states], seed + 5, DType::F32).exp().unwrap() * -2.0).unwrap();
    let d = noise(&[channels], seed + 6, DType::F32);
    let mut expected_state = Tensor::full(f32::NAN, (channels, states), &Device::Cpu).unwrap();
    let mut state = expected_state.clone();
    for window in packing.windows(max_tokens) {
        let [u, dt, z, b, c] = [&u, &dt, &z, &b, &c].map(|tensor| rows(tensor, &window));
        let [wide_u, wide_dt, wide_z] = [&u, &dt, &z].map(f32s);
        let inputs =
            ScanInputs { u: &wide_u, dt: &wide_dt, z: &wide_z, a: &a, b: &b, c: &c, d: &d, state: &expected_state };
        let expected = selective_scan(inputs, &window).unwrap();
        let launch = Launch::scan(window.num_tokens(), channels, states).unwrap();
        let mut inputs = [&u, &dt, &z, &a, &b, &c, &d, &state].map(bytes).to_vec();
        inputs.push(launch::is_first(num_earlier(&window)));
        let num_outputs = channels * (window.num_tokens() + states);
        let outputs = launched((&launch, type_name), inputs, (DType::F32, num_outputs));
        let (y, last) = outputs.split_at(channels * window.num_tokens());
        assert_close(y, &flat(&expected.y), 0.0);
        assert_close(last, &flat(&expected.state), 0.0);
        expected_state = expected.state;
        state = Tensor::from_slice(last, (channels, states), &Device::Cpu).unwrap();
    }
}

/// The convolution of a packing, window by window. The history before the first window is NaN.
fn check_convolution(lengths: &[usize], max_tokens: usize, (channels, taps): (usize, usize), seed: u64) {
    let (dtype, type_name, rounding) = TYPES[seed as usize % 3];
    let packing = PackedSamples::from_lengths(lengths.iter().copied());
    let x = noise(&[packing.num_tokens(), channels], seed, dtype);
    let weight = noise(&[channels, taps], seed + 1, DType::F32);
    let bias = noise(&[channels], seed + 2, DType::F32);
    let mut history = Tensor::full(f32::NAN, (taps - 1, channels), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    for window in packing.windows(max_tokens) {
        let x = rows(&x, &window);
        let inputs = ConvInputs { x: &f32s(&x), history: &f32s(&history), weight: &weight, bias: &bias };
        let expected = causal_conv(inputs, &window).unwrap();
        let launch = Launch::convolution(window.num_tokens(), channels, taps).unwrap();
        let mut inputs = [&x, &history, &weight, &bias].map(bytes).to_vec();
        let earlier = launch::num_earlier(num_earlier(&window), taps);
        inputs.push(earlier.into_iter().flat_map(u32::to_ne_bytes).collect());
        let outputs = launched((&launch, type_name), inputs, (dtype, x.elem_count()));
        assert_close(&outputs, &flat(&expected.y), rounding);
        history = expected.history.to_dtype(dtype).unwrap();
    }
}

/// The losses of rows of logits, by the kernel.
fn losses(logits: &Tensor, targets: &[u32], type_name: &str) -> Vec<f32> {
    let (num_rows, vocab_size) = logits.dims2().unwrap();
    let launch = Launch::losses(num_rows, vocab_size).unwrap();
    let targets = targets.iter().flat_map(|target| target.to_ne_bytes()).collect();
    launched((&launch, type_name), vec![bytes(logits), targets], (DType::F32, num_rows))
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn scan_agrees(
        lengths in prop::collection::vec(1_usize..24, 1..5),
        max_tokens in 12_usize..60,
        channels in 1_usize..140,
        states in prop_oneof![Just(16_usize), 1_usize..=64],
        seed in 0_u64..1 << 40,
        has_nan: bool,
    ) {
        check_scan(&lengths, max_tokens, (channels, states), seed, has_nan);
    }

    #[test]
    fn convolution_agrees(
        lengths in prop::collection::vec(1_usize..24, 1..5),
        max_tokens in 6_usize..60,
        channels in 1_usize..60,
        taps in 1_usize..6,
        seed in 0_u64..1 << 40,
    ) {
        check_convolution(&lengths, max_tokens, (channels, taps), seed);
    }

    #[test]
    fn pooling_agrees(
        grids in 1_usize..4,
        blocks in 1_usize..5,
        window in 1_usize..5,
        channels in 1_usize..40,
        is_square: bool,
        seed in 0_u64..1 << 40,
    ) {
        let (dtype, type_name, rounding) = TYPES[seed as usize % 3];
        let edge = blocks * window;
        let (how, sizes) = if is_square {
            (Pool::two_d(edge, window).unwrap(), [edge, edge, window, window])
        } else {
            (Pool::one_d(edge, window).unwrap(), [1, edge, 1, window])
        };
        let x = noise(&[grids, how.num_inputs(), channels], seed, dtype);
        let expected = pool(&f32s(&x), how).unwrap();
        let launch = Launch::pool(grids, sizes, channels).unwrap();
        let ours = launched((&launch, type_name), vec![bytes(&x)], (dtype, expected.elem_count()));
        assert_close(&ours, &flat(&expected), rounding);
    }

    #[test]
    fn normalised_pixels_agree(
        images in 1_usize..4,
        height in 1_usize..30,
        width in 1_usize..30,
        seed in 0_u64..1 << 40,
    ) {
        let (dtype, type_name, rounding) = TYPES[seed as usize % 3];
        let levels = ((noise(&[images, height, width, 3], seed, DType::F32) + 1.0).unwrap() * 127.9).unwrap();
        let pixels = levels.to_dtype(DType::U8).unwrap();
        let how = normalize::CLIP;
        let expected = normalize_images(&pixels, how, DType::F32).unwrap();
        let launch = Launch::normalize(images, height * width, how.mean, how.deviation).unwrap();
        let ours = launched((&launch, type_name), vec![bytes(&pixels)], (dtype, expected.elem_count()));
        assert_close(&ours, &flat(&expected), rounding);
    }

    #[test]
    fn losses_agree(rows in 1_usize..5, vocab in 1_usize..700, scale in 0.1_f64..30.0, seed in 0_u64..1 << 40) {
        let (dtype, type_name, _) = TYPES[seed as usize % 3];
        let logits = (noise(&[rows, vocab], seed, DType::F32) * scale).unwrap().to_dtype(dtype).unwrap();
        let targets: Vec<u32> = (0..rows).map(|row| ((seed >> 3) as usize + row * 17) % vocab).map(|id| id as u32).collect();
        // The head is the identity, so that the hidden states are the logits.
        let head = Tensor::eye(vocab, DType::F32, &Device::Cpu).unwrap();
        let inputs = CrossEntropyInputs { hidden: &f32s(&logits), head: &head, targets: &targets };
        let expected = cross_entropy(inputs).unwrap();
        assert_close(&losses(&logits, &targets, type_name), &flat(&expected), 0.0);
    }
}

#[test]
fn extreme_activations_agree() {
    let values = [0.0, 1e-30, 88.0, 89.0, 104.0, 1e4, 1e30, 3e38, f32::INFINITY];
    let values: Vec<f32> = values.into_iter().flat_map(|value| [value, -value]).chain([f32::NAN]).collect();
    let channels = values.len();
    let window = TokenWindow::of_one(1);
    let x = Tensor::new(&values[..], &Device::Cpu).unwrap().reshape((1, channels)).unwrap();
    let [ones, zeros] = [1.0_f32, 0.0].map(|value| Tensor::full(value, (channels, 1), &Device::Cpu).unwrap());
    let (bias, history) = (zeros.squeeze(1).unwrap(), x.narrow(0, 0, 0).unwrap());
    let inputs = ConvInputs { x: &x, history: &history, weight: &ones, bias: &bias };
    let expected = causal_conv(inputs, &window).unwrap();
    let launch = Launch::convolution(1, channels, 1).unwrap();
    let buffers = vec![bytes(&x), vec![], bytes(&ones), bytes(&bias), vec![0; 4]];
    assert_close(&launched((&launch, "f32"), buffers, (DType::F32, channels)), &flat(&expected.y), 0.0);
    // As step, as gate and as input of a scan that begins and ends here.
    for varied in 0..3 {
        let mut wide = [&x; 3];
        let halves = (x.ones_like().unwrap() * 0.5).unwrap();
        (0..3).filter(|&index| index != varied).for_each(|index| wide[index] = &halves);
        let [u, dt, z] = wide;
        let one = Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap();
        let a = ones.neg().unwrap();
        let inputs = ScanInputs { u, dt, z, a: &a, b: &one, c: &one, d: &bias, state: &zeros };
        let expected = selective_scan(inputs, &window).unwrap();
        let launch = Launch::scan(1, channels, 1).unwrap();
        let mut buffers = [u, dt, z, &a, &one, &one, &bias, &zeros].map(bytes).to_vec();
        buffers.push(vec![1]);
        let outputs = launched((&launch, "f32"), buffers, (DType::F32, 2 * channels));
        let (y, last) = outputs.split_at(channels);
        assert_close(y, &flat(&expected.y), 0.0);
        assert_close(last, &flat(&expected.state), 0.0);
    }
}

#[test]
fn losses_of_extreme_logits_agree() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let cases = [
        [0.0, nan, 1.0],
        [nan, nan, nan],
        [0.0, inf, 1.0],
        [inf, inf, inf],
        [-inf, 0.0, 2.0],
        [-inf, -inf, -inf],
        [-inf, nan, 0.0],
        [6e4, -6e4, 0.0],
        [-6e4, -6e4, -6e4],
    ];
    for (dtype, type_name, _) in TYPES {
        for logits in cases {
            let logits = Tensor::new(&logits, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            for target in 0..3 {
                // One hidden value of 1, so that the head is the logits.
                let hidden = Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap();
                let head = f32s(&logits).reshape((3, 1)).unwrap();
                let inputs = CrossEntropyInputs { hidden: &hidden, head: &head, targets: &[target] };
                let expected = cross_entropy(inputs).unwrap();
                assert_close(&losses(&logits.reshape((1, 3)).unwrap(), &[target], type_name), &flat(&expected), 0.0);
            }
        }
    }
}

#[test]
fn a_target_outside_the_vocabulary_reads_nothing() {
    let logits = Tensor::zeros((1, 3), DType::F32, &Device::Cpu).unwrap();
    assert!(losses(&logits, &[3], "f32")[0].is_nan());
}

#[test]
fn every_value_is_converted_exactly() {
    // Means of one value, then of neighbours, which lie halfway between two values: the even one is the nearest.
    for (dtype, type_name, _) in &TYPES[1..] {
        let of_bits = |bits: u16| match dtype {
            DType::F16 => f16::from_bits(bits).to_f32(),
            _ => bf16::from_bits(bits).to_f32(),
        };
        let rounded = |value: f32| match dtype {
            DType::F16 => f16::from_f32(value).to_f32(),
            _ => bf16::from_f32(value).to_f32(),
        };
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_ne_bytes).collect();
        let launch = Launch::pool(1, [1, 1 << 16, 1, 1], 1).unwrap();
        let ours = launched((&launch, type_name), vec![all], (*dtype, 1 << 16));
        let exact = |ours: f32, truth: f32| ours == truth || (ours.is_nan() && truth.is_nan());
        for bits in 0..=u16::MAX {
            let (ours, truth) = (ours[usize::from(bits)], of_bits(bits));
            assert!(exact(ours, truth), "{bits:#x}: {ours}, expected {truth}");
        }
        // Pairs (0, 1), (1, 2), …
        let pairs: Vec<u8> = (0..u16::MAX).flat_map(|bits| [bits, bits + 1]).flat_map(u16::to_ne_bytes).collect();
        let num_pairs = usize::from(u16::MAX);
        let launch = Launch::pool(1, [1, 2 * num_pairs, 1, 2], 1).unwrap();
        let ours = launched((&launch, type_name), vec![pairs], (*dtype, num_pairs));
        for bits in 0..u16::MAX {
            let truth = rounded((of_bits(bits) + of_bits(bits + 1)) * 0.5);
            let ours = ours[usize::from(bits)];
            assert!(exact(ours, truth), "{bits:#x}: {ours}, expected {truth}");
        }
    }
}

#[test]
fn faults_are_found() {
    let logits = vec![0_u8; 4 * 300];
    let launch = Launch::losses(1, 300).unwrap();
    let buffers = [logits, vec![0; 4], vec![0; 4]];
    let unsynchronised = compiled("unsynchronised", &["-fsanitize=thread", "-DWITHOUT_BARRIERS"]);
    let race = run(&mut None, &unsynchronised, &written(&launch, "f32", &buffers), 4).unwrap_err();
    assert!(race.contains("data race"), "{race}");
    let [logits, targets, output] = buffers;
    let too_short = written(&launch, "f32", &[logits[4..].to_vec(), targets, output]);
    let outside = run(&mut None, &MEMORY, &too_short, 4).unwrap_err();
    assert!(outside.contains("heap-buffer-overflow"), "{outside}");
}
