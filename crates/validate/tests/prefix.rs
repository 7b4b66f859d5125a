//! A prefix that is run once and continued many times has the logits of whole sequences.

use manyframe_media::RgbImage;
use manyframe_validate::{
    HybridModel, IGNORED, IMAGE, ImageFeatures, Prefix, PromptEntry, Sequence, ValidateError, prompt_entries,
};

use crate::isolation::{model, text};
use crate::support::assert_close;

fn photo(level: u8) -> RgbImage {
    let pixels = (0..60 * 40 * 3).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 25) as u8 ^ level);
    RgbImage::try_new(60, 40, pixels.collect()).unwrap()
}

const LEVELS: [u8; 3] = [0, 90, 255];

/// Text, an image, text, two images in a row.
fn haystack() -> Vec<i64> {
    [&text(9, 1)[..], &[IMAGE], &text(5, 2), &[IMAGE, IMAGE]].concat()
}

fn entries(model: &HybridModel, ids: &[i64]) -> Vec<PromptEntry> {
    let num_images = ids.iter().filter(|id| **id == IMAGE).count();
    let keys: Vec<u64> = LEVELS.iter().take(num_images).map(|level| u64::from(*level)).collect();
    prompt_entries(ids, &keys, model.sequence_sizes()).unwrap()
}

fn extended(model: &HybridModel, mut prefix: Prefix, ids: &[i64]) -> Prefix {
    let read = &mut |image: usize| -> Result<RgbImage, ValidateError> { Ok(photo(LEVELS[image])) };
    model.extend(&mut prefix, &entries(model, ids), read).unwrap();
    prefix
}

/// `−ln p` of the last `num` ids of a sequence that runs whole.
fn by_whole(model: &HybridModel, ids: &[i64], num: usize) -> f64 {
    let mut labels = vec![IGNORED; ids.len() - num];
    labels.extend(&ids[ids.len() - num..]);
    let sequence = Sequence::try_new(ids, &labels, model.sequence_sizes()).unwrap();
    let features = model.encode_images(&LEVELS.map(photo)).unwrap();
    let losses: Vec<(&Sequence, &ImageFeatures)> = vec![(&sequence, &features)];
    model.losses(&losses).unwrap()[0].values.iter().map(|loss| f64::from(*loss)).sum()
}

#[test]
fn continuations_of_a_shared_prefix_have_the_likelihoods_of_whole_sequences() {
    let whole = model(usize::MAX);
    // One window, windows that fall between images, and windows of a single token.
    for window_tokens in [usize::MAX, 40, 1] {
        let cut = model(window_tokens);
        let haystack_state = extended(&cut, cut.begin().unwrap(), &haystack());
        assert_eq!(haystack_state.num_tokens(), 14 + 3 * 36);
        for (question_len, option_len) in [(1, 1), (2, 3), (12, 2), (30, 1)] {
            let (question, option) = (text(question_len, 7), text(option_len, 11));
            let asked = extended(&cut, haystack_state.clone(), &question);
            let ids: Vec<u32> = option.iter().map(|id| *id as u32).collect();
            let score = cut.score(&asked, &ids).unwrap();
            let truth = by_whole(&whole, &[haystack(), question, option].concat(), option_len);
            assert!((score.log_likelihood + truth).abs() < 2e-5, "{window_tokens} {score:?} {truth}");
        }
    }
}

#[test]
fn logits_do_not_depend_on_where_a_prompt_is_cut() {
    let model = model(13);
    let ids = [haystack(), text(20, 3)].concat();
    let logits = |prefix: &Prefix| model.jamba().logits(prefix.last_hidden().unwrap()).unwrap();
    let whole = logits(&extended(&model, model.begin().unwrap(), &ids));
    for cut in [1, 9, 14, 15, 17, 18, 36] {
        let (before, after) = ids.split_at(cut);
        let prefix = extended(&model, model.begin().unwrap(), before);
        let num_before = before.iter().filter(|id| **id == IMAGE).count();
        let num_after = after.iter().filter(|id| **id == IMAGE).count();
        let keys: Vec<u64> = LEVELS[num_before..].iter().map(|level| u64::from(*level)).collect();
        let rest = prompt_entries(after, &keys[..num_after], model.sequence_sizes()).unwrap();
        let mut continued = prefix.clone();
        let read = &mut |image: usize| -> Result<RgbImage, ValidateError> { Ok(photo(LEVELS[num_before + image])) };
        model.extend(&mut continued, &rest, read).unwrap();
        assert_close(&logits(&continued), &whole, 2e-5, &format!("cut at {cut}"));
        // What was continued is as it was.
        assert_eq!(prefix.num_tokens(), before.len() + num_before * 35);
    }
}

#[test]
fn the_greedy_continuation_is_the_one_of_the_largest_logits() {
    let model = model(4096);
    let prefix = extended(&model, model.begin().unwrap(), &text(30, 5));
    let logits = model.jamba().logits(prefix.last_hidden().unwrap()).unwrap();
    let best = logits.argmax(1).unwrap().to_vec1::<u32>().unwrap()[0];
    assert!(model.score(&prefix, &[best]).unwrap().is_greedy);
    let other = model.score(&prefix, &[(best + 1) % 300]).unwrap();
    assert!(!other.is_greedy);
    let likelihoods: f64 = (0..300).map(|id| model.score(&prefix, &[id]).unwrap().log_likelihood.exp()).sum();
    assert!((likelihoods - 1.0).abs() < 1e-4, "{likelihoods}");
    assert!(model.score(&prefix, &[]).is_err());
    assert!(model.score(&model.begin().unwrap(), &[1]).is_err());
}
