//! Every CUDA kernel agrees with its CPU version. Needs the feature `cuda`; without a GPU, tests say that they are skipped.
#![cfg(feature = "cuda")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, which clippy does not recognise as tests"
)]
#![expect(clippy::many_single_char_names, reason = "the letters are those of the papers")]

use candle_core::{DType, Device, Tensor};
use manyframe_kernels::{
    AttentionInputs, ConvInputs, CrossEntropyInputs, PackedSamples, Pool, ScanInputs, attention, causal_conv,
    cross_entropy, normalize, normalize_images, pool, selective_scan,
};

/// The types that kernels are compiled for, and the tolerance for results of about 1.
const TYPES: [(DType, f32); 3] = [(DType::F32, 1e-5), (DType::F16, 4e-3), (DType::BF16, 4e-2)];

fn gpu() -> Option<Device> {
    match Device::new_cuda(0) {
        Ok(device) => Some(device),
        Err(error) => {
            manyframe_skip::note_unasked(&format!("no GPU ({error})"));
            None
        }
    }
}

fn noise(shape: &[usize], salt: usize) -> Tensor {
    let num: usize = shape.iter().product();
    let values = (0..num).map(|index| ((index + salt) * 7919 % 1013) as f32 / 506.5 - 1.0);
    Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
}

/// Runs a computation on the CPU in `f32` and on the GPU in every type, and compares.
fn check<const N: usize>(inputs: &[Tensor; N], run: impl Fn(&[Tensor; N]) -> Tensor) {
    let Some(gpu) = gpu() else { return };
    for (dtype, tolerance) in TYPES {
        // Rounded first, so that both see the same numbers.
        let rounded = inputs.each_ref().map(|t| t.to_dtype(dtype).unwrap());
        let wide = rounded.each_ref().map(|t| t.to_dtype(DType::F32).unwrap());
        let truth = run(&wide);
        let there = rounded.each_ref().map(|t| t.to_device(&gpu).unwrap());
        let ours = run(&there).to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let scale = truth.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap().max(1.0);
        let difference = (ours - truth).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        println!("{dtype:?}: {difference:e} of {scale}");
        assert!(difference <= tolerance * scale, "{dtype:?}: {difference} of {scale}");
    }
}

fn packing() -> PackedSamples {
    PackedSamples::from_lengths([100, 1, 300, 99])
}

#[test]
fn scan_agrees() {
    for num_states in [16, 5] {
        let (tokens, channels) = (500, 130);
        let wide = |salt| noise(&[tokens, channels], salt);
        let narrow = |salt| noise(&[tokens, num_states], salt);
        check(&[wide(1), wide(2), wide(3), narrow(4), narrow(5)], |[u, dt, z, b, c]| {
            let device = u.device();
            let a = (noise(&[channels, num_states], 6).exp().unwrap() * -1.0).unwrap().to_device(device).unwrap();
            let d = noise(&[channels], 7).to_device(device).unwrap();
            let mut state = noise(&[channels, num_states], 8).to_device(device).unwrap();
            let packing = packing();
            let windows = packing.windows(128).map(|window| {
                let rows = |t: &Tensor| t.narrow(0, window.start(), window.num_tokens()).unwrap();
                let (u, dt, z, b, c) = (rows(u), rows(dt), rows(z), rows(b), rows(c));
                let scan = ScanInputs { u: &u, dt: &dt, z: &z, a: &a, b: &b, c: &c, d: &d, state: &state };
                let scanned = selective_scan(scan, &window).unwrap();
                state = scanned.state;
                scanned.y
            });
            Tensor::cat(&windows.collect::<Vec<_>>(), 0).unwrap()
        });
    }
}

#[test]
fn convolution_agrees() {
    let (channels, taps) = (70, 4);
    check(&[noise(&[500, channels], 1), noise(&[channels, taps], 2), noise(&[channels], 3)], |[x, weight, bias]| {
        let mut history = Tensor::zeros((taps - 1, channels), x.dtype(), x.device()).unwrap();
        let packing = packing();
        let windows = packing.windows(60).map(|window| {
            let x = x.narrow(0, window.start(), window.num_tokens()).unwrap();
            let conv = ConvInputs { x: &x, history: &history, weight, bias };
            let convolved = causal_conv(conv, &window).unwrap();
            history = convolved.history;
            convolved.y
        });
        Tensor::cat(&windows.collect::<Vec<_>>(), 0).unwrap()
    });
}

#[test]
fn attention_agrees() {
    check(&[noise(&[500, 8, 64], 1), noise(&[500, 2, 64], 2), noise(&[500, 2, 64], 3)], |[q, k, v]| {
        attention(AttentionInputs { q, k, v }, &packing().window(0..500)).unwrap()
    });
}

#[test]
fn pooling_agrees() {
    check(&[noise(&[3, 576, 40], 1)], |[grids]| pool(grids, Pool::two_d(24, 2).unwrap()).unwrap());
    check(&[noise(&[3, 576, 40], 1)], |[grids]| pool(grids, Pool::one_d(576, 4).unwrap()).unwrap());
}

#[test]
fn losses_agree() {
    let targets: Vec<u32> = (0..50).map(|row| row * 17 % 1000).collect();
    check(&[noise(&[50, 64], 1), noise(&[1000, 64], 2)], |[hidden, head]| {
        cross_entropy(CrossEntropyInputs { hidden, head, targets: &targets }).unwrap()
    });
}

#[test]
fn normalised_pixels_agree() {
    let Some(gpu) = gpu() else { return };
    let levels = (0..2 * 30 * 20 * 3).map(|index: u32| (index * 7) as u8).collect::<Vec<_>>();
    let pixels = Tensor::from_vec(levels, (2, 30, 20, 3), &Device::Cpu).unwrap();
    let truth = normalize_images(&pixels, normalize::CLIP, DType::F32).unwrap();
    let ours = normalize_images(&pixels.to_device(&gpu).unwrap(), normalize::CLIP, DType::F32).unwrap();
    let difference = (ours.to_device(&Device::Cpu).unwrap() - truth).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() < 1e-5);
}
