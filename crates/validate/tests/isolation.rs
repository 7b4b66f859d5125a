//! Samples that share a packed sequence do not see each other, and windows do not change results.

use candle_core::{Device, Tensor};
use manyframe_media::RgbImage;
use manyframe_validate::checkpoint::Preset;
use manyframe_validate::{
    Checkpoint, HybridModel, IGNORED, IMAGE, ImageFeatures, ImageTokens, ModelConfig, ModelOptions, Sequence,
    write_random,
};

/// A small model with every kind of layer and a vocabulary of 300.
pub(crate) fn model(window_tokens: usize) -> HybridModel {
    model_of_experts(window_tokens, 4)
}

fn model_of_experts(window_tokens: usize, num_experts: usize) -> HybridModel {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("model");
    let preset = Preset::Tiny.config();
    let mut config = ModelConfig { language: preset.language.clone(), ..preset };
    config.language.vocab_size = 300;
    config.language.num_experts = num_experts;
    write_random(&directory, &config, 5).unwrap();
    let image_tokens = ImageTokens::TwoD { edge: 6 };
    let options = ModelOptions { window_tokens, image_tokens, ..ModelOptions::on(Device::Cpu) };
    HybridModel::read(&Checkpoint::open(&directory).unwrap(), options).unwrap()
}

pub(crate) fn text(length: usize, salt: i64) -> Vec<i64> {
    (0..length as i64).map(|position| (position * 31 + salt) % 300).collect()
}

fn sequence(model: &HybridModel, ids: &[i64]) -> Sequence {
    let labels: Vec<_> = ids.iter().map(|&id| if id == IMAGE { IGNORED } else { id }).collect();
    Sequence::try_new(ids, &labels, model.sequence_sizes()).unwrap()
}

#[test]
fn changing_the_last_token_of_a_sample_changes_no_loss_of_the_next() {
    // Experts get their tokens in batches, whose size decides how matrix products round.
    for (window_tokens, num_experts, rounding) in
        [(usize::MAX, 1, 0.0), (8, 1, 0.0), (usize::MAX, 4, 4e-6), (8, 4, 4e-6)]
    {
        let model = model_of_experts(window_tokens, num_experts);
        let none = ImageFeatures::none();
        let next = sequence(&model, &text(30, 7));
        let losses_after = |last: i64| {
            let mut first = text(21, 3);
            *first.last_mut().unwrap() = last;
            let first = sequence(&model, &first);
            model.losses(&[(&first, &none), (&next, &none)]).unwrap().pop().unwrap()
        };
        let (one, other) = (losses_after(1), losses_after(299));
        assert_eq!((one.values.len(), &one.positions), (29, &other.positions));
        for (one, other) in one.values.iter().zip(&other.values) {
            assert!((one - other).abs() <= rounding, "{one} {other}");
        }
    }
}

#[test]
fn windows_that_cut_images_and_answers_do_not_change_the_losses() {
    let whole = model(usize::MAX);
    let cut = model(13);
    let photo = |level: u8| {
        let pixels = (0..60 * 40 * 3).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 25) as u8 ^ level);
        RgbImage::try_new(60, 40, pixels.collect()).unwrap()
    };
    let features = whole.encode_images(&[photo(0), photo(255)]).unwrap();
    let mut ids = text(5, 1);
    ids.extend([IMAGE, 17, IMAGE]);
    ids.extend(text(40, 9));
    let (with_images, plain) = (sequence(&whole, &ids), sequence(&whole, &text(20, 4)));
    let none = ImageFeatures::none();
    let batch = [(&plain, &none), (&with_images, &features)];
    let (left, right) = (whole.losses(&batch).unwrap(), cut.losses(&batch).unwrap());
    assert_eq!((left.len(), right.len()), (2, 2));
    for (left, right) in left.iter().zip(&right) {
        assert_eq!(left.positions, right.positions);
        assert_eq!(left.values.len(), right.values.len());
        for (left, right) in left.values.iter().zip(&right.values) {
            assert!((left - right).abs() < 2e-5, "{left} {right}");
        }
    }
}

#[test]
fn images_reach_the_answers() {
    let model = model(4096);
    let ids = [&[IMAGE][..], &text(10, 2)].concat();
    let sequence = sequence(&model, &ids);
    let losses = |level: u8| {
        let features = model.encode_images(&[RgbImage::gray(50, 50, level).unwrap()]).unwrap();
        model.losses(&[(&sequence, &features)]).unwrap().remove(0).values
    };
    assert_eq!(losses(0), losses(0));
    assert_ne!(losses(0), losses(255));
}

#[test]
fn random_weights_cost_about_the_logarithm_of_the_vocabulary() {
    let model = model(4096);
    let losses = model.losses(&[(&sequence(&model, &text(200, 2)), &ImageFeatures::none())]).unwrap().remove(0);
    let mean = losses.values.iter().sum::<f32>() / losses.values.len() as f32;
    assert!((mean - 300.0_f32.ln()).abs() < 0.1, "{mean}");
}

#[test]
fn half_precision_changes_the_mean_loss_by_little() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("model");
    let mut config = Preset::Tiny.config();
    config.language.vocab_size = 300;
    write_random(&directory, &config, 5).unwrap();
    let checkpoint = Checkpoint::open(&directory).unwrap();
    let mean = |dtype| {
        let model = HybridModel::read(&checkpoint, ModelOptions { dtype, ..ModelOptions::on(Device::Cpu) }).unwrap();
        let losses = model.losses(&[(&sequence(&model, &text(50, 2)), &ImageFeatures::none())]).unwrap().remove(0);
        Tensor::from_vec(losses.values, 49, &Device::Cpu).unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap()
    };
    let truth = mean(candle_core::DType::F32);
    for dtype in [candle_core::DType::BF16, candle_core::DType::F16] {
        assert!((mean(dtype) - truth).abs() < 0.02, "{dtype:?}");
    }
}
