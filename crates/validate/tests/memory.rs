//! Memory grows linearly with length.

#![expect(clippy::cast_possible_wrap, reason = "lengths of some thousands")]

use candle_core::Device;
use manyframe_validate::checkpoint::Preset;
use manyframe_validate::{Checkpoint, HybridModel, ImageFeatures, ModelOptions, Sequence, write_random};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

#[test]
fn four_times_the_tokens_take_about_four_times_the_memory() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("model");
    let mut config = Preset::Tiny.config();
    config.language.vocab_size = 256;
    config.language.hidden_size = 16;
    config.language.num_attention_heads = 1;
    config.language.num_key_value_heads = Some(1);
    write_random(&directory, &config, 1).unwrap();
    let options = ModelOptions { window_tokens: 2048, ..ModelOptions::on(Device::Cpu) };
    let model = HybridModel::read(&Checkpoint::open(&directory).unwrap(), options).unwrap();
    let mut peaks = Vec::new();
    for length in [10_240, 20_480, 40_960] {
        let ids: Vec<i64> = (0..length).map(|position| position * 7 % 256).collect();
        let sequence = Sequence::try_new(&ids, &ids, model.sequence_sizes()).unwrap();
        ALLOCATED.reset_peak_usage();
        let before = ALLOCATED.current_usage();
        let losses = model.losses(&[(&sequence, &ImageFeatures::none())]).unwrap();
        assert_eq!(losses[0].values.len() as i64, length - 1);
        peaks.push(ALLOCATED.peak_usage().saturating_sub(before) as f64 / f64::from(1 << 20));
    }
    // All pairs of 40,960 tokens would take 6 GiB.
    let [short, _, long] = peaks[..] else { panic!("{peaks:?}") };
    assert!(long < 4.0 * short, "MiB beyond the model at 10,240, 20,480 and 40,960 tokens: {peaks:.1?}");
}
