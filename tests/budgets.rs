//! Promise: where images differ in cost, what is too long shows as much as fits by the model's own law, in the order that the
//! file says, and packs are as even as the tokens of their images.

use manyframe_core::{ModelVisual, Sample};
use manyframe_dataset::LedgerRow;
use manyframe_shards::ShardFormat;
use serde_json::{Value, json};

use crate::families::{tokenizer, tokens};
use crate::support::{Built, Workshop, llava, photo, run, stdout};

/// A pipeline for a model; what is too long is shortened by these policies.
fn workshop(model: &str, max_tokens: u64, overlength: &str) -> Workshop {
    let mut workshop = Workshop::new();
    let tokenizer = tokenizer(&workshop);
    workshop.head = format!(
        "name = \"t\"\n[output]\nformats = [\"parquet\"]\n[format]\ntokenizer = {tokenizer:?}\nmax_tokens = {max_tokens}\n\
         [model]\n{model}\n[overlength]\n{overlength}\n"
    );
    workshop
}

/// Adds a video of so many frames, two a second.
fn add_video(workshop: &mut Workshop, num_frames: u32) {
    for number in 0..num_frames {
        workshop.write(&format!("media/clip/{number}.jpg"), photo(number, 320, 240));
    }
    let record = json!([{
        "id": "clip",
        "video": "clip",
        "conversations": [{ "from": "human", "value": "<video>\nWhat?" }, { "from": "gpt", "value": "Waves." }],
    }]);
    workshop.add_source("clips", "llava_video", &record, "fps = 2.0");
}

/// The only sample of a dataset with its row of the ledger, and what the model makes of its visual.
fn only_sample(built: &Built, layout: &str) -> (LedgerRow, Sample, ModelVisual) {
    let shard = built.dataset.join(format!("parquet/{layout}/000000.parquet"));
    let sample = manyframe_shards::read(ShardFormat::Parquet, manyframe_shards::open(&shard).unwrap())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let model = sample.visuals[0].model.clone().unwrap();
    (built.row(&sample.upstream_id).clone(), sample, model)
}

/// All frames share 1.2 million pixels: with fewer of them, each is larger.
const SHARED: &str = "family = \"qwen3-vl\"\nvideo = { max_pixels = 1200000 }";

#[cfg(feature = "video")]
#[test]
fn a_video_shows_the_most_frames_that_fit_although_fewer_can_cost_more_each() {
    const MAX_TOKENS: u64 = 640;
    let mut workshop = workshop(SHARED, MAX_TOKENS, "policy = [\"fewer_frames\"]\nmin_frames = 2");
    add_video(&mut workshop, 40);
    let built = workshop.build();
    let (row, sample, model) = only_sample(&built, "temporal");
    let shown = model.frames.unwrap().taken;
    assert_eq!(row.shortened.as_deref(), Some(format!("at most {} frames per video", shown.len()).as_str()));
    assert!((2..40).contains(&shown.len()) && sample.cost.num_tokens() <= MAX_TOKENS, "{:?}", sample.cost);
    assert_eq!(sample.images.len(), shown.len());

    // What the processor is asked for with another number of frames.
    let asked = |number: usize| {
        let set = format!("video.frames={{num_frames={number}}}");
        let shared = ["--set", "video.max_pixels=1200000", "--set", &set];
        let arguments = [&["--family", "qwen3-vl"], &shared[..], &["320x240x40@2"]].concat();
        tokens(&arguments)["media"][0].clone()
    };
    assert_eq!(asked(shown.len())["frames"], json!(shown));
    assert_eq!(asked(shown.len())["num_tokens"], sample.cost.visual_tokens);
    let costs: Vec<u64> = (2..40).map(|number| asked(number)["num_tokens"].as_u64().unwrap()).collect();
    assert!(!costs.is_sorted(), "fewer frames never cost more: {costs:?}");
    // Every two frames have a time.
    let num_steps = |number: usize| number.div_ceil(2) as u64;
    let text_per_step = (sample.cost.delimiter_tokens - 2) / num_steps(shown.len());
    for number in shown.len() + 1..40 {
        let more_text = text_per_step * (num_steps(number) - num_steps(shown.len()));
        let num_tokens = costs[number - 2] + sample.cost.text_tokens + more_text;
        assert!(num_tokens > MAX_TOKENS, "{number} frames would fit: {num_tokens}");
    }
    built.verify();
}

#[cfg(feature = "video")]
#[test]
fn the_file_says_whether_pixels_or_frames_are_given_up_first() {
    let shortened = |policy: &str, max_tokens: u64| {
        let overlength = format!("policy = [{policy}]\nmin_frames = 4\nmin_pixels = 16384");
        let mut workshop = workshop("family = \"qwen3-vl\"", max_tokens, &overlength);
        add_video(&mut workshop, 12);
        let built = workshop.build();
        built.verify();
        let (row, sample, model) = only_sample(&built, "temporal");
        assert!(sample.cost.num_tokens() <= max_tokens, "{:?}", sample.cost);
        assert_eq!(model.max_pixels.is_some(), row.shortened.as_ref().unwrap().contains("pixels"));
        (row.shortened.unwrap(), sample.images.len(), model.resized_px)
    };
    // 320×240 is 80 tokens for every two frames.
    let (pixels, num_frames, resized) = shortened("\"fewer_pixels\", \"fewer_frames\"", 400);
    assert!(pixels.starts_with("at most ") && pixels.ends_with(" pixels per image and frame"), "{pixels}");
    assert_eq!((num_frames, resized.0 < 320), (12, true), "{resized:?}");
    let (frames, num_frames, resized) = shortened("\"fewer_frames\", \"fewer_pixels\"", 400);
    assert_eq!((frames, resized), (format!("at most {num_frames} frames per video"), (320, 256)));
    assert!(num_frames < 12);
    let (both, num_frames, resized) = shortened("\"fewer_pixels\", \"fewer_frames\"", 160);
    assert!(both.starts_with("at most 16384 pixels per image and frame; at most "), "{both}");
    assert!(num_frames < 12 && resized.0 * resized.1 <= 16_384, "{num_frames} frames of {resized:?}");
}

#[test]
fn an_image_is_delivered_with_as_many_pixels_as_fit() {
    let model = "family = \"qwen3-vl\"\nmin_pixels = 4096";
    let mut workshop = workshop(model, 400, "policy = [\"fewer_pixels\"]\nmin_pixels = 4096");
    workshop.write("media/1.jpg", photo(1, 1280, 720));
    workshop.add_source("a", "llava", &json!([llava("big", "1.jpg")]), "");
    let built = workshop.build();
    let (row, sample, model) = only_sample(&built, "image");
    let most = model.max_pixels.unwrap();
    assert_eq!(row.shortened, Some(format!("at most {most} pixels per image and frame")));
    assert_eq!((sample.images[0].width_px, sample.images[0].height_px), model.resized_px);
    let of = |pixels: u64| {
        let set = format!("max_pixels={pixels}");
        let value = tokens(&["--family", "qwen3-vl", "--set", "min_pixels=4096", "--set", &set, "1280x720"]);
        value["media"][0]["num_tokens"].as_u64().unwrap()
    };
    assert_eq!(of(most), sample.cost.visual_tokens);
    let with_more = (1..20).map(|step| of(most + 1024 * step)).find(|tokens| *tokens > sample.cost.visual_tokens);
    assert!(with_more.unwrap() + sample.cost.text_tokens > 400, "{:?}", sample.cost);
    // A trainer that resizes it once more keeps its size.
    let size = format!("{}x{}", model.resized_px.0, model.resized_px.1);
    let again = tokens(&["--family", "qwen3-vl", "--set", "min_pixels=4096", &size]);
    assert_eq!(again["media"][0]["num_tokens"], sample.cost.visual_tokens);
    built.verify();
}

#[test]
fn pixels_can_only_be_given_up_where_the_processor_decides_about_the_size() {
    for model in ["family = \"internvl\"", "family = \"qwen3-vl\"\n[images]\nresize = \"original\""] {
        let workshop = workshop(model, 400, "policy = [\"fewer_pixels\"]");
        let output = run(&["check", &workshop.pipeline()], 2);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("\"fewer_pixels\" needs images.resize = \"processor\""), "{stderr}");
    }
    let idle = workshop("family = \"qwen3-vl\"", 400, "min_pixels = 4096");
    let stderr = String::from_utf8(run(&["check", &idle.pipeline()], 2).stderr).unwrap();
    assert!(stderr.contains("overlength.min_pixels has no effect without \"fewer_pixels\""), "{stderr}");
}

fn one_large(number: u32) -> Value {
    llava(&number.to_string(), &format!("{number}.jpg"))
}

fn many_small(number: u32) -> Value {
    let images: Vec<String> = (0..12).map(|n| format!("{}.jpg", (number + 2 * n) % 32)).collect();
    json!({
        "id": number.to_string(),
        "image": images,
        "conversations": [
            { "from": "human", "value": format!("{}What?", "<image>".repeat(12)) },
            { "from": "gpt", "value": "Small waves. ".repeat(60) },
        ],
    })
}

/// Large photographs alone, and small ones by the dozen, packed for four ranks.
fn packed_workshop() -> Workshop {
    let mut workshop = workshop("family = \"qwen3-vl\"\nmin_pixels = 1024", 4000, "");
    workshop.head.push_str("[pack]\nstrategy = \"balanced\"\nranks = 4\nmax_tokens = 4000\n");
    for number in 0..32 {
        let (width_px, height_px) = if number % 2 == 0 { (640 + 32 * number, 480) } else { (64, 32 + number) };
        workshop.write(&format!("media/{number}.jpg"), photo(number, width_px, height_px));
    }
    let records: Vec<Value> =
        (0..32).map(|number| if number % 2 == 0 { one_large(number) } else { many_small(number) }).collect();
    workshop.add_source("mixed", "llava", &json!(records), "");
    workshop
}

#[test]
fn packs_of_a_step_are_even_in_the_tokens_of_their_images() {
    let workshop = packed_workshop();
    let built = workshop.build();
    assert_eq!(built.manifest.total.num_samples, 32, "{:?}", built.outcomes());
    let by_tokens = built.manifest.pack.clone().unwrap().summary.report;
    assert_eq!(by_tokens.num_visual_tokens, built.manifest.total.cost.visual_tokens);
    built.verify();
    let dataset = built.dataset.display().to_string();
    run(&["pack", &dataset, "--set", "balance=images"], 0);
    let by_images = Built::read(&built.dataset).manifest.pack.unwrap().summary.report;
    let (tokens, images) = (by_tokens.visual_token_balance.max_over_mean, by_images.visual_token_balance.max_over_mean);
    assert!(tokens < images, "balanced by tokens {tokens}, by images {images}");
    Built::read(&built.dataset).verify();

    let idle = stdout(&["pack", &dataset, "--set", "balance=vision_tokens", "--ranks", "4"]);
    assert!(idle.contains("vision tokens/GPU"), "{idle}");
    let output = run(&["pack", &dataset, "--reset", "--set", "balance=images"], 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("balance has no effect without strategy"));
}

#[test]
fn a_forecast_counts_the_true_lengths_of_sequences() {
    let workshop = packed_workshop();
    let built = workshop.build();
    let out = workshop.text("planned");
    let json = stdout(&["plan", &workshop.pipeline(), "--output", &out, "--json", "--quiet", "--ranks", "4"]);
    let plan: Value = serde_json::from_str(&json).unwrap();
    let forecast = &plan["forecast"][0];
    let total = built.manifest.total.cost;
    let steps = forecast["steps_per_epoch"].as_f64().unwrap();
    let sum = |key: &str| (forecast[key].as_f64().unwrap() * 4.0 * steps).round() as u64;
    assert_eq!((sum("tokens_per_gpu"), sum("visual_tokens_per_gpu")), (total.num_tokens(), total.visual_tokens));
    assert_eq!(plan["pack"], json!(built.manifest.pack.as_ref().unwrap().summary));
}
