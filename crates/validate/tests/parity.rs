//! Logits, losses and hidden states equal those of transformers, as `tests/parity/make_golden.py` recorded them.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, IndexOp, Tensor};
use manyframe_kernels::{PackedSamples, TokenWindow};
use manyframe_validate::{Checkpoint, HybridModel, ImageFeatures, Sequence, SequenceSizes};

use crate::support::{assert_close, expected, ids, options, read, references, shared};

/// The logits of samples that are packed into one sequence, by sample.
fn logits(model: &HybridModel, samples: &[Vec<i64>], window_tokens: usize) -> Vec<Tensor> {
    let packing = PackedSamples::from_lengths(samples.iter().map(Vec::len));
    let all: Vec<u32> = samples.iter().flatten().map(|&id| id as u32).collect();
    let jamba = model.jamba();
    let embeddings = jamba.embed(&all).unwrap();
    let mut state = jamba.start().unwrap();
    let windows = packing.windows(window_tokens).map(|window| {
        let embeddings = embeddings.narrow(0, window.start(), window.num_tokens()).unwrap();
        jamba.logits(&jamba.forward(&embeddings, &window, &mut state).unwrap()).unwrap()
    });
    let all = Tensor::cat(&windows.collect::<Vec<_>>(), 0).unwrap();
    let starts = [0].into_iter().chain(packing.ends().iter().copied());
    starts.zip(samples).map(|(start, sample)| all.narrow(0, start, sample.len()).unwrap()).collect()
}

/// A tensor in the type and on the device of a model.
fn input(tensor: &Tensor, model: &HybridModel) -> Tensor {
    tensor.to_device(&model.options().device).unwrap().to_dtype(model.options().dtype).unwrap()
}

fn is_kind(model: &Path, kind: &str) -> bool {
    model.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(kind))
}

#[test]
fn logits_and_losses_of_packed_samples_are_those_of_each_sample_alone() {
    let mut num_models = 0;
    for path in references().iter().filter(|path| is_kind(path, "jamba")) {
        num_models += 1;
        let expected = expected(path);
        for window_tokens in [usize::MAX, 9] {
            let model = read(path, window_tokens);
            let samples: Vec<_> = (0..4).map(|nth| ids(&expected[&format!("{nth}.input_ids")])).collect();
            for (nth, ours) in logits(&model, &samples, window_tokens).iter().enumerate() {
                let what = format!("{}: logits of sample {nth}", path.display());
                assert_close(ours, &expected[&format!("{nth}.logits")], 1e-4, &what);
            }
            let sequences: Vec<_> = samples
                .iter()
                .enumerate()
                .map(|(nth, sample)| {
                    let labels = ids(&expected[&format!("{nth}.labels")]);
                    let sizes = SequenceSizes { tokens_per_image: 1, ..model.sequence_sizes() };
                    Sequence::try_new(sample, &labels, sizes).unwrap()
                })
                .collect();
            let none = ImageFeatures::none();
            let batch: Vec<_> = sequences.iter().map(|sequence| (sequence, &none)).collect();
            for (nth, losses) in model.losses(&batch).unwrap().iter().enumerate() {
                let expected: Vec<f32> = expected[&format!("{nth}.losses")].to_vec1().unwrap();
                assert_eq!(losses.values.len(), expected.iter().filter(|loss| **loss != 0.0).count());
                let truth: Vec<f32> = losses.positions.iter().map(|position| expected[*position]).collect();
                let [ours, truth] =
                    [&losses.values, &truth].map(|losses| Tensor::new(&losses[..], &Device::Cpu).unwrap());
                if truth.elem_count() > 0 {
                    assert_close(&ours, &truth, 1e-5, &format!("{}: losses of sample {nth}", path.display()));
                }
            }
        }
    }
    assert!(num_models >= 3);
}

/// Puts together a language model, a vision tower that transformers wrote, and a projector of zeros.
fn with_tower(language: &Path, tower: &Path, parent: &Path) -> PathBuf {
    let model = parent.join(tower.file_name().unwrap());
    fs::create_dir_all(model.join("vision_tower")).unwrap();
    for (from, to) in [(language, model.clone()), (tower, model.join("vision_tower"))] {
        for name in ["config.json", "model.safetensors"] {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
    let config = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path.join("config.json")).unwrap()).unwrap()
    };
    let width = |path: &Path| config(path)["hidden_size"].as_u64().unwrap() as usize;
    let (inputs, outputs) = (width(tower), width(language));
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let tensors = [
        ("multi_modal_projector.linear_1.weight", zeros(&[outputs, inputs])),
        ("multi_modal_projector.linear_1.bias", zeros(&[outputs])),
        ("multi_modal_projector.linear_2.weight", zeros(&[outputs, outputs])),
        ("multi_modal_projector.linear_2.bias", zeros(&[outputs])),
    ];
    let path = model.join("mm_projector.safetensors");
    candle_core::safetensors::save(&tensors.map(|(name, tensor)| (name.to_owned(), tensor)).into(), path).unwrap();
    model
}

fn check_towers(language: &Path, towers: &[PathBuf]) {
    let parent = tempfile::tempdir().unwrap();
    for tower in towers {
        let expected = expected(tower);
        let model = with_tower(language, tower, parent.path());
        let text = fs::read_to_string(model.join("config.json")).unwrap();
        let num_states = expected.keys().filter(|name| name.starts_with("hidden.")).count();
        assert!(num_states >= 2, "{}", tower.display());
        for state in 0..num_states {
            let text = text.replacen('{', &format!("{{\"mm_vision_select_layer\": {state},"), 1);
            #[expect(
                clippy::disallowed_methods,
                reason = "a file that a crash leaves incomplete does no harm in a test"
            )]
            fs::write(model.join("config.json"), text).unwrap();
            let checkpoint = Checkpoint::open(&model).unwrap();
            let model = HybridModel::read(&checkpoint, options(64)).unwrap();
            let features = model.tower().unwrap().features(&input(&expected["pixel_values"], &model)).unwrap();
            // Without the class token.
            let truth = expected[&format!("hidden.{state}")].i((.., 1.., ..)).unwrap();
            assert_close(&features, &truth, 1e-4, &format!("{}: hidden state {state}", tower.display()));
        }
    }
}

#[test]
fn hidden_states_of_vision_towers_are_those_of_clip() {
    let models = references();
    let towers: Vec<_> = models.iter().filter(|path| is_kind(path, "clip")).cloned().collect();
    assert!(towers.len() >= 2);
    let language = models.iter().find(|path| is_kind(path, "jamba")).unwrap();
    check_towers(language, &towers);
}

#[test]
fn the_shared_references_are_reproduced() {
    let Some(folder) = shared() else { return };
    for name in ["jamba-tiny", "jamba-tiny-dense"] {
        let path = folder.join(name);
        let (model, expected) = (read(&path, 64), expected(&path));
        let close = |ours: &Tensor, truth: &Tensor, what: &str| {
            assert_close(ours, truth, 1e-4, &format!("{name} {what}"));
        };
        let rows = |key: &str| {
            let tensor = expected[key].clone();
            (0..tensor.dim(0).unwrap()).map(move |row| ids(&tensor.get(row).unwrap()))
        };
        let samples: Vec<_> = rows("input_ids").collect();
        for (row, ours) in logits(&model, &samples, 7).iter().enumerate() {
            close(ours, &expected["logits"].get(row).unwrap(), "logits");
        }
        // Those are padded on the left; here, samples begin where the padding ends.
        for (row, sample) in rows("padded.input_ids").enumerate() {
            let mask = ids(&expected["padded.attention_mask"].get(row).unwrap());
            let first = mask.iter().take_while(|kept| **kept == 0).count();
            let ours = logits(&model, &[sample[first..].to_vec()], usize::MAX);
            close(&ours[0], &expected["padded.logits"].i((row, first..)).unwrap(), "padded logits");
        }
        let embeddings = input(&expected["embeds.inputs_embeds"].get(0).unwrap(), &model);
        let (jamba, window) = (model.jamba(), TokenWindow::of_one(embeddings.dim(0).unwrap()));
        let hidden = jamba.forward(&embeddings, &window, &mut jamba.start().unwrap()).unwrap();
        close(&jamba.logits(&hidden).unwrap(), &expected["embeds.logits"].get(0).unwrap(), "logits of embeddings");
        let greedy: Vec<_> = rows("greedy.tokens").collect();
        // One token at a time, as in decoding.
        close(&logits(&model, &greedy, 1)[0], &expected["greedy.full_logits"].get(0).unwrap(), "decoded logits");
    }
    check_towers(&folder.join("jamba-tiny"), &[folder.join("clip-vision-tiny")]);
}
