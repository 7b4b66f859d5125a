//! The scan against its definition in double precision, across windows and sample boundaries.

use candle_core::{Device, IndexOp};
use proptest::prelude::*;

use super::*;
use crate::window::PackedSamples;

const CHANNELS: usize = 37;
const STATES: usize = 5;

struct Case {
    /// u, dt, z, b, c, a, d.
    tensors: Vec<Tensor>,
}

/// Pseudo-random values from −1 to 1, the same on every machine.
fn noise(num: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..num).map(|_| next()).collect()
}

impl Case {
    fn new(num_tokens: usize, seed: u64) -> Self {
        let tensor = |rows: usize, columns: usize, seed: u64| {
            Tensor::from_vec(noise(rows * columns, seed), (rows, columns), &Device::Cpu).unwrap()
        };
        let wide = |salt| tensor(num_tokens, CHANNELS, seed + salt);
        let narrow = |salt| tensor(num_tokens, STATES, seed + salt);
        let a = (tensor(CHANNELS, STATES, seed + 5).exp().unwrap() * -2.0).unwrap();
        let d = tensor(1, CHANNELS, seed + 6).squeeze(0).unwrap();
        Self { tensors: vec![wide(1), wide(2), wide(3), narrow(4), narrow(7), a, d] }
    }

    fn run(&self, packing: &PackedSamples, window: &TokenWindow, state: &Tensor) -> ScanOutputs {
        assert!(window.start() + window.num_tokens() <= packing.num_tokens());
        let rows = |index: usize| self.tensors[index].narrow(0, window.start(), window.num_tokens()).unwrap();
        let (u, dt, z, b, c) = (rows(0), rows(1), rows(2), rows(3), rows(4));
        let scan = ScanInputs { u: &u, dt: &dt, z: &z, a: &self.tensors[5], b: &b, c: &c, d: &self.tensors[6], state };
        selective_scan(scan, window).unwrap()
    }

    fn in_windows(&self, packing: &PackedSamples, max_tokens: usize) -> Vec<Vec<f32>> {
        let mut state = initial_state(CHANNELS, STATES, &Device::Cpu).unwrap();
        let mut rows = Vec::new();
        for window in packing.windows(max_tokens) {
            let scanned = self.run(packing, &window, &state);
            state = scanned.state;
            rows.extend(scanned.y.to_vec2::<f32>().unwrap());
        }
        rows
    }

    /// The definition, one channel and one token at a time.
    fn by_definition(&self, packing: &PackedSamples) -> Vec<Vec<f64>> {
        let rows: Vec<Vec<Vec<f32>>> = self.tensors[..6].iter().map(|t| t.to_vec2().unwrap()).collect();
        let d: Vec<f32> = self.tensors[6].to_vec1().unwrap();
        let mut h = vec![[0.0_f64; STATES]; CHANNELS];
        let mut outputs = Vec::new();
        for token in 0..packing.num_tokens() {
            if packing.ends().contains(&token) {
                h = vec![[0.0; STATES]; CHANNELS];
            }
            outputs.push(
                (0..CHANNELS)
                    .map(|channel| {
                        let value = |tensor: usize| f64::from(rows[tensor][token][channel]);
                        let (u, step, gate) = (value(0), value(1).exp().ln_1p(), value(2));
                        let mut y = f64::from(d[channel]) * u;
                        for state in 0..STATES {
                            let decay = (step * f64::from(rows[5][channel][state])).exp();
                            h[channel][state] = decay * h[channel][state] + step * u * f64::from(rows[3][token][state]);
                            y += h[channel][state] * f64::from(rows[4][token][state]);
                        }
                        y * gate / (1.0 + (-gate).exp())
                    })
                    .collect(),
            );
        }
        outputs
    }
}

#[test]
fn the_scan_follows_its_definition() {
    let (case, packing) = (Case::new(300, 1), PackedSamples::from_lengths([100, 1, 199]));
    let ours = case.in_windows(&packing, 300);
    let truth = case.by_definition(&packing);
    assert_eq!(ours.len(), truth.len());
    let differences = ours.iter().flatten().zip(truth.iter().flatten()).map(|(a, b)| (f64::from(*a) - b).abs());
    assert!(differences.fold(0.0, f64::max) < 1e-5);
}

#[test]
fn outputs_have_the_type_of_the_inputs_and_the_state_is_f32() {
    let case = Case::new(4, 3);
    let window = TokenWindow::of_one(4);
    let state = initial_state(CHANNELS, STATES, &Device::Cpu).unwrap();
    let half = |index: usize| case.tensors[index].to_dtype(DType::BF16).unwrap();
    let (u, dt, z, b, c) = (half(0), half(1), half(2), half(3), half(4));
    let scan =
        ScanInputs { u: &u, dt: &dt, z: &z, a: &case.tensors[5], b: &b, c: &c, d: &case.tensors[6], state: &state };
    let scanned = selective_scan(scan, &window).unwrap();
    assert_eq!((scanned.y.dtype(), scanned.state.dtype()), (DType::BF16, DType::F32));
}

#[test]
fn nan_reaches_the_outputs() {
    let mut case = Case::new(3, 9);
    case.tensors[0] = (&case.tensors[0] * f64::NAN).unwrap();
    let scanned = case.in_windows(&PackedSamples::from_lengths([3]), 3);
    assert!(scanned.iter().flatten().all(|y| y.is_nan()));
}

#[test]
fn another_shape_is_an_error() {
    let case = Case::new(4, 3);
    let state = initial_state(CHANNELS, STATES, &Device::Cpu).unwrap();
    let t = &case.tensors;
    let scan = ScanInputs { u: &t[0], dt: &t[1], z: &t[2], a: &t[5], b: &t[3], c: &t[4], d: &t[6], state: &state };
    assert!(selective_scan(scan, &TokenWindow::of_one(4)).is_ok());
    assert!(selective_scan(ScanInputs { c: &t[0], ..scan }, &TokenWindow::of_one(4)).is_err());
    assert!(selective_scan(scan, &TokenWindow::of_one(3)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn windows_do_not_change_the_result(lengths in prop::collection::vec(1_usize..60, 1..5), step in 1_usize..70) {
        let packing = PackedSamples::from_lengths(lengths);
        let case = Case::new(packing.num_tokens(), 2);
        prop_assert_eq!(case.in_windows(&packing, usize::MAX), case.in_windows(&packing, step));
    }

    #[test]
    fn a_sample_does_not_see_the_one_before(first in 1_usize..40, second in 1_usize..40) {
        let case = Case::new(first + second, 4);
        let packed = case.in_windows(&PackedSamples::from_lengths([first, second]), 16);
        let alone = Case { tensors: case.tensors.iter().enumerate().map(|(index, tensor)| {
            if index < 5 { tensor.i(first..).unwrap() } else { tensor.clone() }
        }).collect() };
        prop_assert_eq!(&packed[first..], &alone.in_windows(&PackedSamples::from_lengths([second]), 16)[..]);
    }
}
