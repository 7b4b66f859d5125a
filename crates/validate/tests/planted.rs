//! A tiny checkpoint with a planted rule: it answers with the colour of the one image that is not gray, wherever that is.
//!
//! ```text
//! tower: mean red, green, blue of each patch ─ projector: is it red, green or blue, and not gray?
//! attention: a token of text looks for what is not gray, and takes its colour ─ head: the token of that colour
//! ```
//!
//! All other parts of the model add nothing. So a question after any haystack has one right answer, which only pixels give.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use manyframe_media::RgbImage;
use manyframe_validate::checkpoint::Preset;
use manyframe_validate::{Checkpoint, HybridModel, ImageTokens, ModelOptions, write_random};

/// Red, green and blue; the token of each is [`FIRST_COLOUR`] and those after it.
pub(crate) const COLOURS: [[u8; 3]; 3] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]];
pub(crate) const FIRST_COLOUR: i64 = 10;
pub(crate) const VOCAB_SIZE: usize = 32;

/// Dimensions of hidden states: colours of an image, that it is not gray, that this is text, and colours that were found.
const NOT_GRAY: usize = 3;
const TEXT: usize = 4;
const FOUND: usize = 5;
const WIDTH: usize = 64;
/// What the tower adds in two dimensions so that its norm divides by the same number whatever the colour.
const PEDESTAL: f32 = 1000.0;
/// CLIP's mean and standard deviation of red, green and blue.
const CLIP: [(f32, f32); 3] = [(0.481_454_66, 0.268_629_54), (0.457_827_5, 0.261_302_6), (0.408_210_73, 0.275_777_1)];

pub(crate) fn image([red, green, blue]: [u8; 3]) -> RgbImage {
    RgbImage::try_new(28, 28, [red, green, blue].repeat(28 * 28)).unwrap()
}

/// A matrix of zeros with some values.
fn sparse(rows: usize, columns: usize, values: &[(usize, usize, f32)]) -> Tensor {
    let mut all = vec![0.0_f32; rows * columns];
    for (row, column, value) in values {
        all[row * columns + column] = *value;
    }
    Tensor::from_vec(all, (rows, columns), &Device::Cpu).unwrap()
}

/// Reads a model from tensors, by the names of LLaVA.
pub(crate) fn planted_model(window_tokens: usize) -> HybridModel {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("model");
    let mut config = Preset::Tiny.config();
    config.language.vocab_size = VOCAB_SIZE;
    write_random(&directory, &config, 3).unwrap();
    plant(&directory);
    let options =
        ModelOptions { window_tokens, image_tokens: ImageTokens::TwoD { edge: 6 }, ..ModelOptions::on(Device::Cpu) };
    HybridModel::read(&Checkpoint::open(&directory).unwrap(), options).unwrap()
}

fn plant(directory: &Path) {
    let path = directory.join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let shapes: HashMap<String, Vec<usize>> =
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect();
    // Whatever writes into the residual stream adds nothing, but for attention.
    let writers = ["mamba.out_proj.weight", "down_proj.weight", "self_attn.out_proj.weight", "mlp.fc2.weight"];
    let small = ["class_embedding", "position_embedding.weight", "patch_embedding.weight", "lm_head.weight"];
    #[expect(clippy::iter_over_hash_type, reason = "each is changed by itself")]
    for (name, tensor) in &mut tensors {
        let is_zero = writers.iter().chain(&small).any(|end| name.ends_with(end));
        *tensor = tensor.to_dtype(candle_core::DType::F32).unwrap();
        if is_zero {
            *tensor = tensor.zeros_like().unwrap();
        }
    }
    let mut set = |end: &str, tensor: Tensor| {
        let name = shapes.keys().find(|name| name.ends_with(end)).unwrap();
        tensors.insert(name.clone(), tensor.reshape(shapes[name].as_slice()).unwrap());
    };
    plant_tower(&mut set);
    plant_language(&mut set);
    candle_core::safetensors::save(&tensors, &path).unwrap();
}

fn plant_tower(set: &mut dyn FnMut(&str, Tensor)) {
    // Dimension c is the mean of channel c over a patch of 14 × 14 pixels.
    let of_channel = |channel: usize| (0..196).map(move |pixel| (channel, channel * 196 + pixel, 1.0 / 196.0));
    let patch: Vec<_> = (0..3).flat_map(of_channel).collect();
    set("embeddings.patch_embedding.weight", sparse(WIDTH, 3 * 196, &patch));
    let positions: Vec<_> = (0..577).flat_map(|row| [(row, 62, PEDESTAL), (row, 63, -PEDESTAL)]).collect();
    set("embeddings.position_embedding.weight", sparse(577, WIDTH, &positions));
    let deviation = PEDESTAL * (2.0_f32 / WIDTH as f32).sqrt();
    set("pre_layrnorm.weight", Tensor::full(deviation, WIDTH, &Device::Cpu).unwrap());
    // Neuron c: how much channel c exceeds the next one, beyond 0.3 of the range; 0 for gray.
    let (mut weights, mut biases) = (Vec::new(), vec![0.0_f32; WIDTH]);
    for colour in 0..3 {
        let next = (colour + 1) % 3;
        weights.push((colour, colour, 20.0 * CLIP[colour].1));
        weights.push((colour, next, -20.0 * CLIP[next].1));
        biases[colour] = 20.0 * (CLIP[colour].0 - CLIP[next].0 - 0.3);
    }
    set("mm_projector.0.weight", sparse(WIDTH, WIDTH, &weights));
    set("mm_projector.0.bias", Tensor::from_vec(biases, WIDTH, &Device::Cpu).unwrap());
    let hidden: Vec<_> =
        (0..3).flat_map(|colour| [(colour, colour, 1.0 / 14.0), (NOT_GRAY, colour, 1.0 / 14.0)]).collect();
    set("mm_projector.2.weight", sparse(WIDTH, WIDTH, &hidden));
}

fn plant_language(set: &mut dyn FnMut(&str, Tensor)) {
    let text: Vec<_> = (0..VOCAB_SIZE).map(|id| (id, TEXT, 1.0)).collect();
    set("embed_tokens.weight", sparse(VOCAB_SIZE, WIDTH, &text));
    // Head 0 asks, as text, for what is not gray, and takes its colour.
    set("model.layers.2.self_attn.q_proj.weight", sparse(WIDTH, WIDTH, &[(0, TEXT, 2.5)]));
    set("model.layers.2.self_attn.k_proj.weight", sparse(32, WIDTH, &[(0, NOT_GRAY, 2.5)]));
    let colours: Vec<_> = (0..3).map(|colour| (1 + colour, colour, 1.0)).collect();
    set("model.layers.2.self_attn.v_proj.weight", sparse(32, WIDTH, &colours));
    let found: Vec<_> = (0..3).map(|colour| (FOUND + colour, 1 + colour, 1.0)).collect();
    set("model.layers.2.self_attn.o_proj.weight", sparse(WIDTH, WIDTH, &found));
    let head: Vec<_> = (0..3).map(|colour| (FIRST_COLOUR as usize + colour, FOUND + colour, 2.0)).collect();
    set("lm_head.weight", sparse(VOCAB_SIZE, WIDTH, &head));
}
