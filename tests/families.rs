//! Promise: `manyframe tokens` says what a model's processor makes of a medium, from its header alone, and a dataset for that
//! model has exactly these sizes, tokens and ids.

use std::fs;
use std::path::Path;

use manyframe_core::Sample;
use manyframe_shards::ShardFormat;
use manyframe_vision::Family;
use serde_json::{Value, json};

use crate::support::{Workshop, llava, photo, root, run, stdout};

pub(crate) fn tokens(arguments: &[&str]) -> Value {
    let arguments = [&["tokens", "--json"], arguments].concat();
    serde_json::from_str(&stdout(&arguments)).unwrap()
}

#[test]
fn a_photo_has_the_size_that_its_header_says() {
    let workshop = Workshop::new();
    workshop.write("photo.jpg", photo(1, 1920, 1080));
    let path = workshop.text("photo.jpg");
    let of_photo = &tokens(&["--family", "qwen3-vl", &path])["media"][0];
    let of_size = &tokens(&["--family", "qwen3-vl", "1920x1080"])["media"][0];
    assert_eq!(of_photo["grid_thw"], json!([1, 68, 120]));
    assert_eq!(of_photo["num_tokens"], 2040);
    assert_eq!(of_photo["markup"], json!(["<|vision_start|>", ["<|image_pad|>", 2040], "<|vision_end|>"]));
    for key in ["height_px", "width_px", "becomes", "grid_thw", "num_tokens", "markup"] {
        assert_eq!(of_photo[key], of_size[key], "{key}");
    }
}

#[cfg(feature = "video")]
#[test]
fn an_animation_is_an_image_and_a_video_file_has_its_frames() {
    let workshop = Workshop::new();
    let frame = image::RgbImage::from_pixel(64, 48, image::Rgb([9, 9, 9]));
    workshop.write("still.gif", crate::support::encode(&frame, image::ImageFormat::Gif));
    let still = workshop.text("still.gif");
    assert_eq!(tokens(&["--family", "llava-1.5", &still])["media"][0]["num_tokens"], 576);

    let path = workshop.text("clip.mp4");
    let arguments = "-v error -nostdin -f lavfi -i testsrc2=size=96x64:rate=25:duration=3 -threads 1 -c:v mpeg4";
    let made = std::process::Command::new("ffmpeg").args(arguments.split_whitespace()).arg(&path).status().unwrap();
    assert!(made.success());
    let video = &tokens(&["--family", "qwen2.5-vl", &path])["media"][0];
    assert_eq!((&video["num_frames"], &video["grid_thw"][0]), (&json!(75), &json!(3)), "{video}");
    assert_eq!(video["frames"].as_array().unwrap().len(), 6, "two a second: {video}");
}

#[test]
fn a_video_that_states_billions_of_frames_is_answered_at_once() {
    let stated = "640x480x4294967295@1e-9";
    let video = &tokens(&["--family", "longllava", stated])["media"][0];
    assert_eq!(video["frames"].as_array().unwrap().len(), 128, "{video}");
}

#[cfg(feature = "video")]
#[test]
fn a_video_that_begins_like_a_file_of_sound_is_a_video() {
    let workshop = Workshop::new();
    let path = workshop.text("theora.ogv");
    let arguments = "-v error -nostdin -f lavfi -i testsrc2=size=96x64:rate=25:duration=2 -threads 1 -c:v libtheora";
    let made = std::process::Command::new("ffmpeg").args(arguments.split_whitespace()).arg(&path).status().unwrap();
    assert!(made.success());
    let video = &tokens(&["--family", "qwen3-vl", &path])["media"][0];
    assert_eq!((&video["num_frames"], &video["width_px"]), (&json!(50), &json!(96)), "{video}");
}

#[test]
fn media_of_one_sample_share_what_the_family_shares() {
    let alone = tokens(&["--family", "llava-onevision", "800x600", "640x480"]);
    let together = tokens(&["--family", "llava-onevision", "--together", "800x600", "640x480"]);
    let counts = |value: &Value| [0, 1].map(|index| value["media"][index]["num_tokens"].as_u64().unwrap());
    assert_eq!(counts(&together), [730, 730]);
    assert!(counts(&alone).iter().all(|&count| count > 730), "{alone}");
}

#[test]
fn settings_replace_those_of_the_checkpoint() {
    let set = ["--set", "video.frames={num_frames=8}", "--set", "video.budget=capped", "--set", "max_pixels=65536"];
    let arguments = [&["--family", "qwen3-vl", "1280x720x300@30", "4000x3000"], &set[..]].concat();
    let value = tokens(&arguments);
    assert_eq!(value["media"][0]["frames"].as_array().unwrap().len(), 8);
    assert_eq!(value["settings"]["video"]["budget"], "capped");
    assert!(value["media"][1]["num_tokens"].as_u64().unwrap() <= 64);
}

#[test]
fn a_refused_medium_is_named_and_the_others_are_shown() {
    let output = run(&["tokens", "--family", "qwen2.5-vl", "10x4000", "640x480"], 1);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("refused: 10×4000 pixels: one side is 400.0 times the other"), "{text}");
    assert!(text.contains("391"), "{text}");
}

#[test]
fn what_is_neither_a_file_nor_a_setting_is_an_error() {
    let stderr = |arguments: &[&str], code| String::from_utf8(run(arguments, code).stderr).unwrap();
    let shown = run(&["tokens", "--family", "qwen3-vl", "/nowhere.jpg", "640x480"], 1).stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("cannot read \"/nowhere.jpg\"") && shown.contains("<|image_pad|>×300"), "{shown}");
    assert!(stderr(&["tokens", "--family", "qwen9", "1x1"], 2).contains("qwen3-vl"));
    let wrong = stderr(&["tokens", "--family", "qwen3-vl", "--set", "max_pixel=3", "1x1"], 2);
    assert!(wrong.contains("unknown field `max_pixel`"), "{wrong}");
    for (family, set) in
        [("qwen3-vl", "video.frames={fps=0}"), ("qwen3-vl", "video.frames={fps=-1}"), ("smolvlm", "fps=0")]
    {
        let rate = stderr(&["tokens", "--family", family, "--set", set, "640x480x100"], 2);
        assert!(rate.contains("frames per second, expected more than 0"), "{rate}");
    }
    let zero = stderr(&["tokens", "--family", "internvl", "--set", "tile_px=0", "1x1"], 2);
    assert!(zero.contains("expected a nonzero"), "{zero}");
}

/// A tokenizer with the tokens of every family, in a file of the workshop.
pub(crate) fn tokenizer(workshop: &Workshop) -> String {
    let path = root().join("crates/format/tests/golden/bytes.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut tokens: Vec<String> =
        ["<|im_start|>", "<|im_end|>", "</s>", "[INST]", "[/INST]", "<end_of_utterance>"].map(String::from).into();
    for (name, _) in Family::NAMES {
        let family = Family::named(name).unwrap();
        tokens.extend(family.processor().tokens().into_iter().map(|token| token.text.into_owned()));
    }
    tokens.sort();
    tokens.dedup();
    let first = tokenizer["model"]["vocab"].as_object().unwrap().values().filter_map(Value::as_u64).max().unwrap() + 1;
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    for (id, token) in (first..).zip(tokens) {
        added.push(json!({
            "id": id, "content": token, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        }));
    }
    workshop.write("tokenizer.json", tokenizer.to_string());
    workshop.text("tokenizer.json")
}

/// Photographs alone, two in one record, and a text without any, for a model family.
pub(crate) fn workshop(model: &str) -> Workshop {
    let mut workshop = Workshop::new();
    let tokenizer = tokenizer(&workshop);
    let has_no_template = ["nemotron-nano-vl", "granite-4-vision", "custom"];
    let is_one = |name: &&str| model.contains(&format!("family = \"{name}\""));
    let template = if has_no_template.iter().any(is_one) { "template = \"chatml\"\n" } else { "" };
    workshop.head = format!(
        "name = \"t\"\n[output]\nformats = [\"parquet\", \"webdataset\"]\n[format]\ntokenizer = {tokenizer:?}\n{template}[model]\n{model}\n"
    );
    for (number, (width_px, height_px)) in (0..).zip([(640, 480), (333, 1000), (90, 60), (1500, 500)]) {
        workshop.write(&format!("media/{number}.jpg"), photo(number, width_px, height_px));
    }
    let mut records: Vec<Value> = (0..4).map(|number| llava(&format!("{number}"), &format!("{number}.jpg"))).collect();
    records.push(json!({
        "id": "two",
        "image": ["0.jpg", "1.jpg"],
        "conversations": [
            { "from": "human", "value": "Is <image> wider than <image>?\nSay it." },
            { "from": "gpt", "value": "Yes." },
        ],
    }));
    records.push(json!({
        "id": "text",
        "conversations": [{ "from": "human", "value": "Hello" }, { "from": "gpt", "value": "Hello!" }],
    }));
    workshop.add_source("mine", "llava", &json!(records), "");
    workshop
}

pub(crate) fn samples(dataset: &Path) -> Vec<Sample> {
    let directory = dataset.join("parquet");
    let mut samples = Vec::new();
    for layout in ["image", "text"] {
        let shard = directory.join(layout).join("000000.parquet");
        samples.extend(
            manyframe_shards::read(ShardFormat::Parquet, manyframe_shards::open(&shard).unwrap())
                .unwrap()
                .map(Result::unwrap),
        );
    }
    samples
}

/// Laws of a family that is not there.
const LAWS: [&str; 3] = [
    "{ fixed = { tokens = 10 } }",
    "{ patches = { patch_px = 8, merge = 4, max_pixels = 90000 } }",
    "{ tiles = { max_tiles = 4, thumbnail = false, tokens_per_tile = 7 } }",
];

#[test]
fn a_dataset_has_the_tokens_that_the_command_says() {
    let published = Family::NAMES.iter().filter(|(name, _)| *name != "custom").map(|(name, _)| (*name, None));
    for (name, law) in published.chain(LAWS.map(|law| ("custom", Some(law)))) {
        let (setting, set) = law.map_or_else(Default::default, |law| (format!("\nlaw = {law}"), format!("law={law}")));
        let set: Vec<&str> = law.iter().flat_map(|_| ["--set", set.as_str()]).collect();
        let workshop = workshop(&format!("family = \"{name}\"{setting}"));
        let built = workshop.build_with(&[], 0);
        built.verify();
        let samples = samples(&built.dataset);
        assert_eq!(samples.len(), 6, "{name}");
        for sample in samples {
            let sizes: Vec<String> =
                sample.visuals.iter().map(|visual| format!("{}x{}", visual.width_px, visual.height_px)).collect();
            let arguments = ["--family", name, "--together"].into_iter().chain(set.iter().copied());
            let arguments = arguments.chain(sizes.iter().map(String::as_str));
            let said = if sizes.is_empty() { json!({ "media": [] }) } else { tokens(&arguments.collect::<Vec<_>>()) };
            let said: Vec<u64> =
                said["media"].as_array().unwrap().iter().map(|medium| medium["num_tokens"].as_u64().unwrap()).collect();
            assert_eq!(sample.cost.visual_tokens, said.iter().sum::<u64>(), "{name}: {sizes:?}");
            let ids = sample.tokens.unwrap();
            if Family::named(name).unwrap().constant().is_none() {
                assert_eq!(ids.input_ids.len() as u64, sample.cost.num_tokens(), "{name}");
                let typed = ids.type_ids.iter().filter(|type_id| **type_id != 0).count() as u64;
                assert!(typed >= sample.cost.visual_tokens, "{name}: {typed}");
                let of_model: Vec<u64> =
                    sample.visuals.iter().map(|visual| visual.model.as_ref().unwrap().num_tokens).collect();
                assert_eq!(of_model, said, "{name}");
            }
        }
    }
}

#[test]
fn images_are_delivered_at_the_size_of_the_processor_and_keep_it() {
    let mut workshop = workshop("family = \"qwen3-vl\"\nmax_pixels = 262144");
    for sample in samples(&workshop.build_with(&[], 0).dataset) {
        for (image, visual) in sample.images.iter().zip(&sample.visuals) {
            let model = visual.model.as_ref().unwrap();
            let [_, rows, columns] = model.grid_thw.unwrap();
            assert_eq!((image.width_px, image.height_px), (16 * columns, 16 * rows));
            let size = format!("{}x{}", image.width_px, image.height_px);
            let again = tokens(&["--family", "qwen3-vl", "--set", "max_pixels=262144", &size]);
            assert_eq!(again["media"][0]["grid_thw"], json!([1, rows, columns]));
        }
    }
    workshop.head = format!("{}\n[images]\nresize = \"original\"\n", workshop.head);
    let whole = samples(&workshop.build_with(&[], 0).dataset);
    assert!(
        whole.iter().flat_map(|sample| &sample.images).any(|image| (image.width_px, image.height_px) == (333, 1000))
    );
}

#[test]
fn qwen_sees_a_conversation_as_its_template_writes_it() {
    let workshop = workshop("family = \"qwen2.5-vl\"");
    let samples = samples(&workshop.build_with(&[], 0).dataset);
    let two = samples.iter().find(|sample| sample.upstream_id == "two").unwrap();
    let image = "<|vision_start|><|image_pad|><|vision_end|>";
    let expected = format!(
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nIs {image} wider than {image}?\nSay \
         it.<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
    );
    assert_eq!(two.prompt, expected);
    let labelled =
        |&(start, end): &(usize, usize)| two.prompt.chars().skip(start).take(end - start).collect::<String>();
    assert_eq!(two.label_spans.iter().map(labelled).collect::<Vec<_>>(), ["Yes.<|im_end|>\n"]);
}

#[test]
fn formats_of_other_trainers_have_the_placeholders_that_these_know() {
    let mut workshop = workshop("family = \"qwen2.5-vl\"");
    let tag = json!([{ "id": "tag", "conversations": [
        { "from": "human", "value": "What does <image> mean?" }, { "from": "gpt", "value": "A place, as <video> does." },
    ]}]);
    workshop.add_source("tags", "text", &tag, "");
    workshop.head = workshop.head.replace("[\"parquet\", \"webdataset\"]", "[\"energon_chatml\", \"vila\"]");
    let built = workshop.build_with(&[], 0);
    built.verify();
    for (format, expected) in
        [("energon_chatml", "Is <image> wider than <image>?"), ("vila", "Is <image-1> wider than <image-2>?")]
    {
        let tar = fs::read(built.dataset.join(format).join("image/000000.tar")).unwrap();
        let conversation = format!("{{\"from\":\"human\",\"value\":\"{expected}\\nSay it.\"}}");
        assert!(
            tar.windows(conversation.len()).any(|bytes| bytes == conversation.as_bytes()),
            "{format}: {conversation}"
        );
    }
}

#[test]
fn settings_that_do_not_fit_a_family_are_errors() {
    let problems = |model: &str, more: &str| {
        let mut workshop = workshop(model);
        workshop.head = workshop.head.replace("[model]", &format!("{more}[model]"));
        String::from_utf8(run(&["check", &workshop.pipeline()], 2).stderr).unwrap()
    };
    let unknown = problems("family = \"qwen9\"", "");
    assert!(unknown.contains("model.family is not a family") && unknown.contains("\"qwen3-vl\""), "{unknown}");
    let mistyped = problems("family = \"qwen3-vl\"\nmax_pixel = 9", "");
    assert!(mistyped.contains("did you mean \"max_pixels\"?"), "{mistyped}");
    let constant = problems("family = \"internvl\"", "tokens_per_image = 144\n");
    assert!(constant.contains("format.tokens_per_image has no effect"), "{constant}");
    let mut bare = workshop("family = \"granite-4-vision\"");
    bare.head = bare.head.replace("template = \"chatml\"\n", "");
    let bare = String::from_utf8(run(&["check", &bare.pipeline()], 2).stderr).unwrap();
    assert!(bare.contains("format.template is missing: none is built in for granite-4-vision"), "{bare}");
    let resized = problems("family = \"internvl\"", "[images]\nresize = \"processor\"\n");
    assert!(resized.contains("does not fit internvl"), "{resized}");
}

#[test]
fn a_tokenizer_of_another_model_is_an_error_of_the_check() {
    let mut workshop = workshop("family = \"qwen3-vl\"");
    let jamba = root().join("crates/format/tests/golden/jamba.model").display().to_string();
    workshop.head = workshop.head.replace(&workshop.text("tokenizer.json"), &jamba);
    let output = String::from_utf8(run(&["check", &workshop.pipeline()], 2).stderr).unwrap();
    assert!(output.contains("does not have the token \"<|image_pad|>\""), "{output}");
}

#[test]
fn where_every_image_costs_the_same_a_video_has_a_frame_a_second() {
    let of = |family: &str, video: &str| tokens(&["--family", family, video])["media"][0]["num_tokens"].clone();
    assert_eq!(of("longllava", "640x360x300@30"), 10 * 144);
    assert_eq!(of("longvila", "640x360x90000@25"), 128 * 196);
}

/// An animation of five frames.
#[cfg(feature = "video")]
fn write_clip(workshop: &Workshop) {
    use image::codecs::gif::GifEncoder;
    let mut gif = Vec::new();
    let mut encoder = GifEncoder::new(&mut gif);
    for shade in 0..5_u8 {
        let frame = image::RgbaImage::from_pixel(64, 64, image::Rgba([50 * shade, 9, 9, 255]));
        encoder.encode_frame(image::Frame::from_parts(frame, 0, 0, image::Delay::from_numer_denom_ms(100, 1))).unwrap();
    }
    drop(encoder);
    workshop.write("media/clip.gif", gif);
}

#[cfg(feature = "video")]
#[test]
fn an_image_after_a_video_is_shown_before_it_where_the_template_does_so() {
    let mut workshop = workshop("family = \"llava-onevision\"\nframes = { num_frames = 2 }");
    write_clip(&workshop);
    let record = json!([{
        "id": "both",
        "image": "0.jpg",
        "video": "clip.gif",
        "conversations": [
            { "from": "human", "value": "<video>\nIs this <image> in it?" }, { "from": "gpt", "value": "No." },
        ],
    }]);
    workshop.add_source("both", "llava", &record, "");
    let built = workshop.build_with(&[], 0);
    built.verify();
    let shard = built.dataset.join("parquet/temporal/000000.parquet");
    let sample = manyframe_shards::read(ShardFormat::Parquet, manyframe_shards::open(&shard).unwrap())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let shown: Vec<_> = sample.visuals.iter().map(|visual| (visual.path.as_str(), visual.num_images)).collect();
    assert_eq!(shown, [("0.jpg", 1), ("clip.gif", 2)]);
    assert_eq!((sample.images[0].width_px, sample.images[1].width_px), (640, 64));
    assert!(sample.prompt.contains("<image>\n<video>\nIs this  in it?"), "{:?}", sample.prompt);
}

#[test]
fn a_strip_that_a_processor_would_resize_again_is_named() {
    let mut workshop = workshop("family = \"qwen3-vl\"\nmin_pixels = 1024\nmax_pixels = 40000");
    workshop.write("media/strip.jpg", photo(9, 4000, 20));
    workshop.add_source("strip", "llava", &json!([llava("strip", "strip.jpg")]), "");
    let built = workshop.build_with(&[], 0);
    built.verify();
    let samples = samples(&built.dataset);
    assert_eq!(samples.len(), 7);
    for sample in samples {
        for model in sample.visuals.iter().filter_map(|visual| visual.model.as_ref()) {
            assert_eq!(model.resizes_again, sample.upstream_id == "strip", "{}: {model:?}", sample.upstream_id);
        }
    }
}

#[cfg(feature = "video")]
#[test]
fn a_frame_that_the_processor_takes_twice_is_delivered_twice() {
    let mut workshop = workshop("family = \"qwen3-vl\"\nvideo.frames = { num_frames = 8 }");
    write_clip(&workshop);
    let record = json!([{
        "id": "clip",
        "video": "clip.gif",
        "conversations": [{ "from": "human", "value": "<video>\nWhat?" }, { "from": "gpt", "value": "Shades." }],
    }]);
    workshop.add_source("clips", "llava", &record, "");
    let built = workshop.build_with(&[], 0);
    built.verify();
    let shard = built.dataset.join("parquet/temporal/000000.parquet");
    let sample = manyframe_shards::read(ShardFormat::Parquet, manyframe_shards::open(&shard).unwrap())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let model = sample.visuals[0].model.as_ref().unwrap();
    assert_eq!(model.frames.as_ref().unwrap().taken, [0, 1, 1, 2, 2, 3, 3, 4]);
    assert_eq!((sample.images.len(), model.grid_thw.unwrap()[0]), (8, 4));
    assert_eq!(sample.images[1].bytes, sample.images[2].bytes);
    assert_ne!(sample.images[0].bytes, sample.images[1].bytes);
}

#[test]
fn a_packer_that_knows_one_model_only_is_not_compared_with_for_others() {
    let workshop = workshop("family = \"qwen3-vl\"");
    let dataset = workshop.build_with(&[], 0).dataset.display().to_string();
    let output = crate::support::manyframe(&["pack", &dataset, "--set", "audit=concat"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("cannot count images of qwen3-vl"), "{text}");
}

#[test]
fn a_model_that_is_none_of_the_families_is_described_by_its_law_and_tokens() {
    let around =
        "placeholder = \"<|image_pad|>\"\nbefore_image = \"<|vision_start|>\"\nafter_image = \"<|vision_end|>\\n\"\n";
    let workshop = workshop(&format!("family = \"custom\"\n{around}law = {{ fixed = {{ tokens = 3 }} }}"));
    let samples = samples(&workshop.build_with(&[], 0).dataset);
    let two = samples.iter().find(|sample| sample.upstream_id == "two").unwrap();
    assert!(two.prompt.contains("Is <|vision_start|><|image_pad|><|vision_end|>\n wider than"), "{}", two.prompt);
    let tokens = two.tokens.as_ref().unwrap();
    assert_eq!(tokens.type_ids.iter().filter(|type_id| **type_id == 1).count(), 6);

    let problems = |model: &str| {
        let workshop = self::workshop(&format!("family = \"custom\"\n{model}"));
        String::from_utf8(run(&["check", &workshop.pipeline()], 2).stderr).unwrap()
    };
    assert!(problems("").contains("model.law of custom: there is none"), "{}", problems(""));
    let unknown = problems("law = { fixed = { token = 3 } }");
    assert!(unknown.contains("model.law: \"token\" is not a setting"), "{unknown}");
    let crossed = problems("law = { tiles = { min_tiles = 9, max_tiles = 4 } }");
    assert!(crossed.contains("min_tiles = 9 is more than 4"), "{crossed}");
    let foreign = problems("law = { tiles = {} }\nplaceholder = \"<my_image>\"");
    assert!(foreign.contains("does not have the token \"<my_image>\""), "{foreign}");
    let refused = run(&["tokens", "--family", "custom", "640x480"], 2);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("law of custom: there is none"));
}

#[test]
fn where_the_processor_ends_with_an_error_frames_are_taken_and_the_command_says_so() {
    let video = "640x360x300@30";
    let of = |family: &str, num_frames: u32, video: &str| {
        let set =
            format!("{}frames={{num_frames={num_frames}}}", if family.starts_with("qwen") { "video." } else { "" });
        tokens(&["--family", family, "--set", &set, video])["media"][0].clone()
    };
    // `torch.arange(0, 300, 300 / 14)` has 15 values.
    let beyond = of("qwen2.5-vl", 14, video);
    assert_eq!(beyond["frames"].as_array().unwrap().len(), 14);
    assert!(beyond["processor_error"].as_str().unwrap().contains("asks for frame 300"), "{beyond}");
    assert_eq!(of("qwen2.5-vl", 16, video).get("processor_error"), None);
    let short = of("internvl", 8, "640x360x3@30");
    assert_eq!(short["frames"], json!([0, 1, 2]));
    assert!(
        short["processor_error"].as_str().unwrap().contains("8 frames are wanted of a video that has 3"),
        "{short}"
    );
    let single = of("qwen3-vl", 1, "640x360x1@30");
    assert_eq!((&single["frames"], &single["grid_thw"][0]), (&json!([0, 0]), &json!(1)));
    let text = stdout(&["tokens", "--family", "qwen2.5-vl", "--set", "video.frames={num_frames=14}", video]);
    assert!(text.contains("640x360x300@30: transformers itself ends with an error: taking 14 of 300"), "{text}");
}
