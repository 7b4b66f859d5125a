//! The scan against its definition in double precision, across windows and sample boundaries.

use candle_core::Device;
use proptest::prelude::*;

use super::*;
use crate::window::PackedSamples;

const CHANNELS: usize = 37;
const STATES: usize = 5;

/// Random inputs of a whole packing; shapes as in [`ScanInputs`].
#[derive(Clone)]
struct ScanCase {
    u: Tensor,
    dt: Tensor,
    z: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor,
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

impl ScanCase {
    fn new(num_tokens: usize, seed: u64) -> Self {
        let tensor = |rows: usize, columns: usize, seed: u64| {
            Tensor::from_vec(noise(rows * columns, seed), (rows, columns), &Device::Cpu).unwrap()
        };
        let wide = |salt| tensor(num_tokens, CHANNELS, seed + salt);
        let narrow = |salt| tensor(num_tokens, STATES, seed + salt);
        let a = (tensor(CHANNELS, STATES, seed + 5).exp().unwrap() * -2.0).unwrap();
        let d = tensor(1, CHANNELS, seed + 6).squeeze(0).unwrap();
        Self { u: wide(1), dt: wide(2), z: wide(3), a, b: narrow(4), c: narrow(7), d }
    }

    /// The same inputs for some of the tokens.
    fn tokens(&self, start: usize, num: usize) -> Self {
        let rows = |tensor: &Tensor| tensor.narrow(0, start, num).unwrap();
        Self {
            u: rows(&self.u),
            dt: rows(&self.dt),
            z: rows(&self.z),
            b: rows(&self.b),
            c: rows(&self.c),
            ..self.clone()
        }
    }

    fn inputs<'a>(&'a self, state: &'a Tensor) -> ScanInputs<'a> {
        let Self { u, dt, z, a, b, c, d } = self;
        ScanInputs { u, dt, z, a, b, c, d, state }
    }

    /// The outputs by token, computed window by window.
    fn in_windows(&self, packing: &PackedSamples, max_tokens: usize) -> Vec<Vec<f32>> {
        let mut state = initial_state(CHANNELS, STATES, &Device::Cpu).unwrap();
        let mut rows = Vec::new();
        for window in packing.windows(max_tokens) {
            let case = self.tokens(window.start(), window.num_tokens());
            let scanned = selective_scan(case.inputs(&state), &window).unwrap();
            state = scanned.state;
            rows.extend(scanned.y.to_vec2::<f32>().unwrap());
        }
        rows
    }

    /// The definition, one channel and one token at a time.
    fn by_definition(&self, packing: &PackedSamples) -> Vec<Vec<f64>> {
        let rows = |tensor: &Tensor| -> Vec<Vec<f32>> { tensor.to_vec2().unwrap() };
        let (u, dt, z) = (rows(&self.u), rows(&self.dt), rows(&self.z));
        let (a, b, c) = (rows(&self.a), rows(&self.b), rows(&self.c));
        let d: Vec<f32> = self.d.to_vec1().unwrap();
        let mut h = vec![[0.0_f64; STATES]; CHANNELS];
        let mut outputs = Vec::new();
        for token in 0..packing.num_tokens() {
            if packing.ends().contains(&token) {
                h = vec![[0.0; STATES]; CHANNELS];
            }
            outputs.push(
                (0..CHANNELS)
                    .map(|channel| {
                        let value = |rows: &[Vec<f32>]| f64::from(rows[token][channel]);
                        let (u, step, gate) = (value(&u), value(&dt).exp().ln_1p(), value(&z));
                        let mut y = f64::from(d[channel]) * u;
                        for state in 0..STATES {
                            let decay = (step * f64::from(a[channel][state])).exp();
                            h[channel][state] = decay * h[channel][state] + step * u * f64::from(b[token][state]);
                            y += h[channel][state] * f64::from(c[token][state]);
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
    let (case, packing) = (ScanCase::new(300, 1), PackedSamples::from_lengths([100, 1, 199]));
    let ours = case.in_windows(&packing, 300);
    let truth = case.by_definition(&packing);
    assert_eq!(ours.len(), truth.len());
    let differences = ours.iter().flatten().zip(truth.iter().flatten()).map(|(a, b)| (f64::from(*a) - b).abs());
    assert!(differences.fold(0.0, f64::max) < 1e-5);
}

#[test]
fn outputs_have_the_type_of_the_inputs_and_the_state_is_f32() {
    let case = ScanCase::new(4, 3);
    let window = TokenWindow::of_one(4);
    let state = initial_state(CHANNELS, STATES, &Device::Cpu).unwrap();
    let half = |tensor: &Tensor| tensor.to_dtype(DType::BF16).unwrap();
    let case =
        ScanCase { u: half(&case.u), dt: half(&case.dt), z: half(&case.z), b: half(&case.b), c: half(&case.c), ..case };
    let scanned = selective_scan(case.inputs(&state), &window).unwrap();
    assert_eq!((scanned.y.dtype(), scanned.state.dtype()), (DType::BF16, DType::F32));
}

#[test]
fn nan_reaches_the_outputs() {
    let mut case = ScanCase::new(3, 9);
    case.u = (&case.u * f64::NAN).unwrap();
    let scanned = case.in_windows(&PackedSamples::from_lengths([3]), 3);
    assert!(scanned.iter().flatten().all(|y| y.is_nan()));
}

#[test]
fn another_shape_is_an_error() {
    let case = ScanCase::new(4, 3);
    let state = initial_state(CHANNELS, STATES, &Device::Cpu).unwrap();
    let inputs = case.inputs(&state);
    assert!(selective_scan(inputs, &TokenWindow::of_one(4)).is_ok());
    assert!(selective_scan(ScanInputs { c: &case.u, ..inputs }, &TokenWindow::of_one(4)).is_err());
    assert!(selective_scan(inputs, &TokenWindow::of_one(3)).is_err());
}

#[test]
fn a_window_without_tokens_keeps_the_state() {
    let case = ScanCase::new(4, 3);
    let state = (initial_state(CHANNELS, STATES, &Device::Cpu).unwrap() + 2.0).unwrap();
    for at in [2, 4] {
        let window = PackedSamples::from_lengths([4]).window(at..at);
        let scanned = selective_scan(case.tokens(0, 0).inputs(&state), &window).unwrap();
        assert_eq!(scanned.state.to_vec2::<f32>().unwrap(), state.to_vec2::<f32>().unwrap());
    }
}

#[test]
fn without_states_only_the_skip_remains() {
    let case = ScanCase::new(4, 3);
    let none = |rows: usize| Tensor::zeros((rows, 0), DType::F32, &Device::Cpu).unwrap();
    let (a, b, state) = (none(CHANNELS), none(4), none(CHANNELS));
    let inputs = ScanInputs { a: &a, b: &b, c: &b, ..case.inputs(&state) };
    let scanned = selective_scan(inputs, &TokenWindow::of_one(4)).unwrap();
    let skip = (case.u.broadcast_mul(&case.d).unwrap() * case.z.silu().unwrap()).unwrap();
    let difference = (scanned.y - skip).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(difference < 1e-6);
    assert_eq!(scanned.state.dims(), [CHANNELS, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn windows_do_not_change_the_result(lengths in prop::collection::vec(1_usize..60, 1..5), step in 1_usize..70) {
        let packing = PackedSamples::from_lengths(lengths);
        let case = ScanCase::new(packing.num_tokens(), 2);
        prop_assert_eq!(case.in_windows(&packing, usize::MAX), case.in_windows(&packing, step));
    }

    #[test]
    fn a_sample_does_not_see_the_one_before(first in 1_usize..40, second in 1_usize..40) {
        let case = ScanCase::new(first + second, 4);
        let packed = case.in_windows(&PackedSamples::from_lengths([first, second]), 16);
        let alone = case.tokens(first, second);
        prop_assert_eq!(&packed[first..], &alone.in_windows(&PackedSamples::from_lengths([second]), 16)[..]);
    }
}
