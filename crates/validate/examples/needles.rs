//! Times questions about one haystack of images: `needles MODEL DEVICE NUM_QUESTIONS NUM_IMAGESxTOKENS…`. Prints a line of JSON for each.
//!
//! `1000x144` is 1,000 images at 144 tokens each, with LongLLaVA's seven delimiter tokens per image. Each question has four options of
//! one token. The haystack runs once for all questions, as in `manyframe validate --needles`; `ratio` is what they would take one by
//! one, over what they take together. `peak_bytes` is memory beyond the model's, on the CPU.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use manyframe_kernels::peak_device_bytes;
use manyframe_media::RgbImage;
use manyframe_validate::{Checkpoint, HybridModel, ImageTokens, ModelOptions, PromptEntry, ValidateError, open_device};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Text tokens between two images, `</img><t><img>`, in Jamba's tokenizer.
const DELIMITER_TOKENS: u32 = 7;
/// Tokens of a question with its options.
const QUESTION_TOKENS: u32 = 60;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, device, num_questions, work @ ..] = arguments.as_slice() else {
        return Err("usage: needles MODEL cpu|cuda NUM_QUESTIONS NUM_IMAGESxTOKENS…".into());
    };
    let (checkpoint, num_questions) = (Checkpoint::open(Path::new(model))?, num_questions.parse()?);
    let device = open_device(device.parse()?)?;
    for work in work {
        let (num_images, per_image) = work.split_once('x').ok_or("expected NUM_IMAGESxTOKENS")?;
        let image_tokens = ImageTokens::square(per_image.parse()?).ok_or("not a square number of tokens")?;
        let options = ModelOptions { image_tokens, ..ModelOptions::on(device.clone()) };
        let model = HybridModel::read(&checkpoint, options)?;
        let timing = time(&model, num_images.parse()?, num_questions)?;
        #[expect(clippy::print_stdout, reason = "the result of the example")]
        {
            println!("{timing}");
        }
    }
    Ok(())
}

/// Seconds of some questions about a haystack.
fn time(model: &HybridModel, num_images: u64, num_questions: u32) -> Result<serde_json::Value, Failed> {
    let of_image =
        |image| [PromptEntry::Image(image)].into_iter().chain((1..=DELIMITER_TOKENS).map(PromptEntry::Token));
    let haystack: Vec<PromptEntry> = (0..num_images).flat_map(of_image).collect();
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    let start = Instant::now();
    let mut prefix = model.begin()?;
    model.extend(&mut prefix, &haystack, &mut |image| gray(image))?;
    model.options().device.synchronize()?;
    let haystack_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    for question in 0..num_questions {
        let mut asked = prefix.clone();
        let words: Vec<PromptEntry> =
            (0..QUESTION_TOKENS).map(|word| PromptEntry::Token((word + question) % 100)).collect();
        model.extend(&mut asked, &words, &mut |image| gray(image))?;
        for option in 0..4 {
            model.score(&asked, &[option])?;
        }
    }
    model.options().device.synchronize()?;
    let questions_s = start.elapsed().as_secs_f64();
    let per_question_s = questions_s / f64::from(num_questions);
    Ok(serde_json::json!({
        "images": num_images,
        "tokens": prefix.num_tokens(),
        "haystack_seconds": haystack_s,
        "seconds_per_question": per_question_s,
        "questions": num_questions,
        "ratio": f64::from(num_questions) * (haystack_s + per_question_s) / (haystack_s + questions_s),
        "peak_bytes": ALLOCATED.peak_usage().saturating_sub(before),
        "peak_device_bytes": peak_device_bytes(&model.options().device)?,
    }))
}

fn gray(image: usize) -> Result<RgbImage, ValidateError> {
    let gray = RgbImage::gray(336, 336, (image % 251) as u8);
    gray.ok_or_else(|| ValidateError::Unfit { detail: "there are no images of this size".to_owned() })
}
