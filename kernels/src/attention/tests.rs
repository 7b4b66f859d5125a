//! Both versions of attention against its definition, in windows and beside other samples.

use candle_core::Device;
use proptest::prelude::*;

use super::blocks::{BlockSizes, in_blocks_of};
use super::*;
use crate::window::PackedSamples;

fn tensor(shape: (usize, usize, usize), salt: usize) -> Tensor {
    let num = shape.0 * shape.1 * shape.2;
    let values = (0..num).map(|index| (((index + salt) * 7919 % 1013) as f32 / 506.5 - 1.0) * 2.0);
    Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
}

struct AttentionCase {
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

impl AttentionCase {
    fn new(num_tokens: usize, (num_heads, num_groups, width): (usize, usize, usize)) -> Self {
        let keys = (num_tokens, num_groups, width);
        Self { q: tensor((num_tokens, num_heads, width), 1), k: tensor(keys, 500), v: tensor(keys, 900) }
    }

    fn inputs(&self) -> AttentionInputs<'_> {
        AttentionInputs { q: &self.q, k: &self.k, v: &self.v }
    }

    /// The outputs of all windows, one after another.
    fn run(
        &self,
        packing: &PackedSamples,
        max_tokens: usize,
        attend: impl Fn(AttentionInputs<'_>, &TokenWindow) -> Tensor,
    ) -> Vec<f32> {
        let windows = packing.windows(max_tokens).map(|window| {
            let (start, num) = (window.start(), window.num_tokens());
            let keys = |t: &Tensor| t.narrow(0, start - window.num_before(), num + window.num_before()).unwrap();
            let (q, k, v) = (self.q.narrow(0, start, num).unwrap(), keys(&self.k), keys(&self.v));
            attend(AttentionInputs { q: &q, k: &k, v: &v }, &window)
        });
        windows.flat_map(|outputs| outputs.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
    }

    /// The definition, one query and one head at a time, in double precision.
    fn by_definition(&self, packing: &PackedSamples) -> Vec<f32> {
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

fn on_cpu(inputs: AttentionInputs<'_>, window: &TokenWindow) -> Tensor {
    attention(inputs, window).unwrap()
}

fn in_blocks(num_queries: usize, num_keys: usize) -> impl Fn(AttentionInputs<'_>, &TokenWindow) -> Tensor {
    move |inputs, window| in_blocks_of(BlockSizes { num_queries, num_keys }, inputs, window).unwrap()
}

fn max_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    assert!(left.iter().chain(right).all(|value| value.is_finite()));
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn both_versions_follow_the_definition() {
    let packing = PackedSamples::from_lengths([150, 1, 70, 33]);
    let case = AttentionCase::new(254, (6, 2, 24));
    let truth = case.by_definition(&packing);
    assert!(max_difference(&case.run(&packing, 254, on_cpu), &truth) < 2e-6);
    let blocks = case.run(&packing, 254, in_blocks(16, 40));
    assert!(max_difference(&blocks, &truth) < 2e-6);
}

#[test]
fn nan_reaches_exactly_the_tokens_that_see_it() {
    let mut case = AttentionCase::new(80, (2, 1, 8));
    let poison = Tensor::full(f32::NAN, (1, 1, 8), &Device::Cpu).unwrap();
    case.k = Tensor::cat(&[&case.k.narrow(0, 0, 70).unwrap(), &poison, &case.k.narrow(0, 71, 9).unwrap()], 0).unwrap();
    let outputs = case.run(&PackedSamples::from_lengths([40, 40]), 80, on_cpu);
    for (token, values) in outputs.chunks(16).enumerate() {
        assert_eq!(values.iter().any(|value| value.is_nan()), token >= 70, "token {token}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_rejected() {
    let case = AttentionCase::new(4, (3, 2, 8));
    assert!(attention(case.inputs(), &TokenWindow::of_one(4)).is_err(), "3 heads share 2 groups");
    let case = AttentionCase::new(4, (4, 2, 8));
    assert!(attention(case.inputs(), &TokenWindow::of_one(3)).is_err(), "4 tokens in a window of 3");
    let other = tensor((4, 2, 16), 1);
    assert!(
        attention(AttentionInputs { v: &other, ..case.inputs() }, &TokenWindow::of_one(4)).is_err(),
        "another width"
    );
    assert_eq!(attention(case.inputs(), &TokenWindow::of_one(4)).unwrap().dims(), [4, 4, 8]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn windows_do_not_change_the_result(
        lengths in prop::collection::vec(1_usize..90, 1..4),
        step in 1_usize..100,
        sizes in prop::sample::select(vec![(1, 1, 4), (4, 2, 16), (4, 1, 20)]),
    ) {
        let packing = PackedSamples::from_lengths(lengths);
        let case = AttentionCase::new(packing.num_tokens(), sizes);
        let whole = case.run(&packing, usize::MAX, on_cpu);
        prop_assert!(max_difference(&whole, &case.run(&packing, step, on_cpu)) < 2e-6);
        prop_assert!(max_difference(&whole, &case.run(&packing, step, in_blocks(7, 9))) < 4e-6);
    }
}
