//! Times one long sequence: `prefill MODEL DEVICE REPEATS WORK…`. Prints one line of JSON per WORK.
//!
//! WORK is `8192` for that many tokens of text, or `1000x144` for 1000 images at 144 tokens each with LongLLaVA's seven delimiter
//! tokens per image. DEVICE is `cpu` or `cuda`. Times are the best of REPEATS. On the CPU, text runs in one window with all its
//! logits, as `tests/parity/compare.py` makes PyTorch run the same checkpoint; on a GPU it runs in windows, as in a validation,
//! with the last logits only.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::DType;
use manyframe_core::DeviceChoice;
use manyframe_kernels::{PackedSamples, peak_device_bytes};
use manyframe_media::RgbImage;
use manyframe_validate::{Checkpoint, HybridModel, IGNORED, IMAGE, ImageTokens, ModelOptions, Sequence, open_device};

/// Text tokens between two images, `</img><t><img>`, in Jamba's tokenizer.
const DELIMITER_TOKENS: usize = 7;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, device, repeats, work @ ..] = arguments.as_slice() else {
        return Err("usage: prefill MODEL cpu|cuda REPEATS WORK…".into());
    };
    let choice: DeviceChoice = device.parse()?;
    let (checkpoint, repeats) = (Checkpoint::open(Path::new(model))?, repeats.parse()?);
    let mut options = ModelOptions::on(open_device(choice)?);
    let mut open = HybridModel::read(&checkpoint, options.clone())?;
    for work in work {
        let timing = match work.split_once('x') {
            None => text(&open, work.parse()?, repeats)?,
            Some((num_images, per_image)) => {
                let per_image: usize = per_image.parse()?;
                if options.image_tokens.num_tokens() != per_image {
                    options.image_tokens = ImageTokens::square(per_image).ok_or("not a square number of tokens")?;
                    // Read again, because memory may not hold the weights twice.
                    drop(open);
                    open = HybridModel::read(&checkpoint, options.clone())?;
                }
                images(&open, num_images.parse()?, repeats)?
            }
        };
        #[expect(clippy::print_stdout, reason = "the result of the example")]
        {
            println!("{timing}");
        }
    }
    Ok(())
}

/// Seconds of a sequence of text.
fn text(model: &HybridModel, num_tokens: usize, repeats: usize) -> Result<serde_json::Value, Failed> {
    let is_cpu = model.options().device.is_cpu();
    let ids: Vec<u32> =
        (0..num_tokens).map(|position| (position * 31 % model.sequence_sizes().vocab_size.min(300)) as u32).collect();
    let window_tokens = if is_cpu { num_tokens } else { model.options().window_tokens };
    let seconds = best(repeats, || {
        let mut state = model.jamba().start()?;
        for window in PackedSamples::from_lengths([num_tokens]).windows(window_tokens) {
            let num_here = window.num_tokens();
            let ids = ids.get(window.start()..window.start() + num_here).ok_or("a window beyond the sequence")?;
            let hidden = model.jamba().forward(&model.jamba().embed(ids)?, &window, &mut state)?;
            let wanted = if is_cpu { hidden } else { hidden.narrow(0, num_here - 1, 1)? };
            // Reading a number back waits for the device.
            model.jamba().logits(&wanted)?.sum_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
        }
        Ok(())
    })?;
    Ok(serde_json::json!({
        "tokens": num_tokens,
        "seconds": seconds,
        "tokens_per_s": num_tokens as f64 / seconds,
        "peak_device_bytes": peak_device_bytes(&model.options().device)?,
    }))
}

/// Seconds of images through the tower, and of their sequence through the language model with one loss at its end.
fn images(model: &HybridModel, num_images: usize, repeats: usize) -> Result<serde_json::Value, Failed> {
    let sizes = model.sequence_sizes();
    let shades = (0..num_images).map(|image| RgbImage::gray(336, 336, (image % 251) as u8));
    let shades: Vec<RgbImage> = shades.collect::<Option<_>>().ok_or("no image")?;
    let mut ids = Vec::new();
    for _image in 0..num_images {
        ids.push(IMAGE);
        ids.extend((1..).take(DELIMITER_TOKENS));
    }
    let mut labels = vec![IGNORED; ids.len()];
    let (Some(id), Some(label)) = (ids.last(), labels.last_mut()) else { return Err("no image".into()) };
    *label = *id;
    let sequence =
        Sequence::try_new(&ids, &labels, sizes).map_err(|reason| format!("no sequence: {}", reason.as_str()))?;
    let mut features = None;
    let tower_s = best(repeats, || {
        let encoded = model.encode_images(&shades)?;
        model.options().device.synchronize()?;
        features = Some(encoded);
        Ok(())
    })?;
    let features = features.ok_or("nothing was run")?;
    let language_s = best(repeats, || model.losses(&[(&sequence, &features)]).map(|_| ()).map_err(Into::into))?;
    Ok(serde_json::json!({
        "images": num_images,
        "tokens_per_image": sizes.tokens_per_image,
        "tokens": sequence.len(),
        "tower_seconds": tower_s,
        "images_per_s": num_images as f64 / tower_s,
        "seconds": language_s,
        "tokens_per_s": sequence.len() as f64 / language_s,
        "peak_device_bytes": peak_device_bytes(&model.options().device)?,
    }))
}

/// The shortest time of some runs, in seconds.
fn best(repeats: usize, mut run: impl FnMut() -> Result<(), Failed>) -> Result<f64, Failed> {
    let mut best = f64::INFINITY;
    for _ in 0..repeats.max(1) {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
