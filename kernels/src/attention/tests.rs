//! Attention against its definition, in windows, in blocks, and beside neighbours.

use candle_core::{DType, Device};
use proptest::prelude::*;

use super::*;
use crate::Packing;

fn tensor(shape: (usize, usize, usize), salt: usize) -> Tensor {
    let num = shape.0 * shape.1 * shape.2;
    let values = (0..num).map(|index| (((index + salt) * 7919 % 1013) as f32 / 506.5 - 1.0) * 2.0);
    Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
}

struct Case {
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

impl Case {
    fn new(num_tokens: usize, (num_heads, num_groups, width): (usize, usize, usize)) -> Self {
        let keys = (num_tokens, num_groups, width);
        Self { q: tensor((num_tokens, num_heads, width), 1), k: tensor(keys, 500), v: tensor(keys, 900) }
    }

    fn run(&self, packing: &Packing, max_tokens: usize, how: impl Fn(&[Tensor; 3], &Window) -> Tensor) -> Vec<f32> {
        let windows = packing.windows(max_tokens).map(|window| {
            let (start, num) = (window.start(), window.num_tokens());
            let keys = |t: &Tensor| t.narrow(0, start - window.num_before(), num + window.num_before()).unwrap();
            how(&[self.q.narrow(0, start, num).unwrap(), keys(&self.k), keys(&self.v)], &window)
        });
        windows.flat_map(|outputs| outputs.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
    }

    fn by_definition(&self, packing: &Packing) -> Vec<f32> {
        let values = |t: &Tensor| -> Vec<Vec<Vec<f32>>> { t.to_vec3().unwrap() };
        let (q, k, v) = (values(&self.q), values(&self.k), values(&self.v));
        let (num_heads, per_group) = (q[0].len(), q[0].len() / k[0].len());
        let mut outputs = Vec::new();
        for (token, queries) in q.iter().enumerate() {
            let first = packing.ends().iter().rev().find(|&&end| end <= token).copied().unwrap_or(0);
            for head in 0..num_heads {
                let query = &queries[head];
                let score = |key: usize| -> f64 {
                    let product = query.iter().zip(&k[key][head / per_group]).map(|(a, b)| f64::from(a * b));
                    product.sum::<f64>() / (query.len() as f64).sqrt()
                };
                let weights: Vec<f64> = (first..=token).map(|key| score(key).exp()).collect();
                let sum: f64 = weights.iter().sum();
                outputs.extend((0..query.len()).map(|index| {
                    let weighted = weights.iter().enumerate();
                    let value = |key: usize| f64::from(v[first + key][head / per_group][index]);
                    (weighted.map(|(key, weight)| weight * value(key)).sum::<f64>() / sum) as f32
                }));
            }
        }
        outputs
    }
}

fn ours(tensors: &[Tensor; 3], window: &Window) -> Tensor {
    attention(&tensors[0], &tensors[1], &tensors[2], window).unwrap()
}

fn most_different(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn both_versions_follow_the_definition() {
    let packing = Packing::from_lengths([150, 1, 70, 33]);
    let case = Case::new(254, (6, 2, 24));
    let truth = case.by_definition(&packing);
    assert!(most_different(&case.run(&packing, 254, ours), &truth) < 2e-6);
    let blocks =
        case.run(&packing, 254, |t, window| blocks::in_blocks_of((16, 40), &t[0], &t[1], &t[2], window).unwrap());
    assert!(most_different(&blocks, &truth) < 2e-6);
}

#[test]
fn nan_reaches_the_tokens_that_see_it_and_no_others() {
    let mut case = Case::new(80, (2, 1, 8));
    let poison = Tensor::full(f32::NAN, (1, 1, 8), &Device::Cpu).unwrap();
    case.k = Tensor::cat(&[&case.k.narrow(0, 0, 70).unwrap(), &poison, &case.k.narrow(0, 71, 9).unwrap()], 0).unwrap();
    let outputs = case.run(&Packing::from_lengths([40, 40]), 80, ours);
    for (token, values) in outputs.chunks(16).enumerate() {
        assert_eq!(values.iter().any(|value| value.is_nan()), token >= 70, "token {token}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let case = Case::new(4, (3, 2, 8));
    assert!(attention(&case.q, &case.k, &case.v, &Window::of_one(4)).is_err());
    let case = Case::new(4, (4, 2, 8));
    assert!(attention(&case.q, &case.k, &case.v, &Window::of_one(3)).is_err());
    assert_eq!(attention(&case.q, &case.k, &case.v, &Window::of_one(4)).unwrap().dtype(), DType::F32);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn windows_do_not_change_the_result(
        lengths in prop::collection::vec(1_usize..90, 1..4),
        step in 1_usize..100,
        sizes in prop::sample::select(vec![(1, 1, 4), (4, 2, 16), (4, 1, 20)]),
    ) {
        let packing = Packing::from_lengths(lengths);
        let case = Case::new(packing.num_tokens(), sizes);
        let whole = case.run(&packing, usize::MAX, ours);
        prop_assert!(most_different(&whole, &case.run(&packing, step, ours)) < 2e-6);
        let blocks = |t: &[Tensor; 3], window: &Window| {
            blocks::in_blocks_of((7, 9), &t[0], &t[1], &t[2], window).unwrap()
        };
        prop_assert!(most_different(&whole, &case.run(&packing, step, blocks)) < 4e-6);
    }
}
