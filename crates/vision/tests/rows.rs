//! Every row that the processors of `transformers` themselves returned: sizes, grids, tokens, frames, text, refusals.
//!
//! The rows are in `shared/parity/vision`, which is not part of the project; `MANYFRAME_SHARED` names another place.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;

use manyframe_vision::{
    Clip, Family, Frames, Geometry, Granite4Vision, Idefics3, ImageResize, InternVl, Layout, Llava15, LlavaNext,
    LlavaOneVision, NemotronHOmni, NemotronVideo, Qwen3Video, Qwen3Vl, Qwen25Video, Qwen25Vl, Refused, Size, SmolVlm,
    VideoBudget, VideoWrapping, VisualPlan,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn folder() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("MANYFRAME_SHARED").map_or_else(beside, PathBuf::from).join("parity/vision");
    if folder.is_dir() {
        return Some(folder);
    }
    manyframe_skip::skip(&format!("no rows in {}; set MANYFRAME_SHARED to compare with them", folder.display()));
    None
}

fn rows(folder: &std::path::Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn configurations(folder: &std::path::Path) -> BTreeMap<String, Value> {
    let meta: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("meta.json")).unwrap()).unwrap();
    meta["configs"].as_array().unwrap().iter().map(|config| (text(config, "id").to_owned(), config.clone())).collect()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

fn number(row: &Value, key: &str) -> u32 {
    row[key].as_u64().unwrap() as u32
}

fn number_or(row: &Value, keys: &[&str], default: u64) -> u64 {
    keys.iter().fold(row, |value, key| &value[key]).as_u64().unwrap_or(default)
}

fn nonzero(number: u64) -> NonZeroU16 {
    NonZeroU16::new(u16::try_from(number).unwrap()).unwrap()
}

fn sha256(text: &str) -> String {
    let digits = Sha256::digest(text).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn size(row: &Value) -> Size {
    Size::new(number(row, "h"), number(row, "w"))
}

fn clip(row: &Value) -> Clip<'static> {
    Clip::new(size(row), number(row, "frames"), row["fps"].as_f64().unwrap())
}

fn plan(family: &Family, medium: Geometry<'_>) -> Result<VisualPlan, Refused> {
    family.processor().plan(&[medium]).map(|plans| plans.into_iter().next().unwrap())
}

/// The family with the settings of a configuration.
fn family(config: &Value, call: &Value) -> Family {
    let init = &config["init"];
    let frames = match (&call["do_sample_frames"], call["fps"].as_f64(), call["num_frames"].as_u64()) {
        (Value::Bool(false), _, _) => Frames::All,
        (_, Some(fps), None) => Frames::Fps(fps),
        (_, None, Some(num_frames)) => Frames::NumFrames(nonzero(num_frames)),
        (_, None, None) if config["family"] != "qwen3_vl" => Frames::All,
        _ => Frames::Fps(2.0),
    };
    let is_capped = init["cap_pixels_per_frame"] == true;
    let budget = if is_capped { VideoBudget::Capped } else { VideoBudget::Uncapped };
    let canvases_px = || {
        let pairs = init["image_grid_pinpoints"].as_array()?.iter();
        Some(pairs.map(|pair| (nonzero(pair[0].as_u64().unwrap()), nonzero(pair[1].as_u64().unwrap()))).collect())
    };
    match text(config, "family") {
        "qwen2_vl" | "qwen2_5_vl" => Family::Qwen25Vl(Qwen25Vl {
            min_pixels: number_or(init, &["min_pixels"], 3136),
            max_pixels: number_or(init, &["max_pixels"], 1_003_520),
            video: Qwen25Video {
                frames,
                min_frames: number_or(call, &["min_frames"], 4) as u32,
                max_frames: number_or(call, &["max_frames"], 768) as u32,
                min_pixels: number_or(init, &["min_pixels"], 128 * 784),
                max_pixels: number_or(init, &["max_pixels"], 768 * 784),
                budget,
                max_video_tokens: number_or(init, &["max_video_tokens"], 128_000),
                ..Qwen25Video::default()
            },
            ..Qwen25Vl::default()
        }),
        "qwen3_vl" | "qwen3_5" => Family::Qwen3Vl(Qwen3Vl {
            min_pixels: number_or(init, &["size", "shortest_edge"], 3136),
            max_pixels: number_or(init, &["size", "longest_edge"], 1_003_520),
            video: Qwen3Video {
                frames,
                max_frames: number_or(init, &["max_frames"], 768) as u32,
                min_pixels: Some(number_or(init, &["size", "shortest_edge"], 128 * 1024)),
                max_pixels: Some(number_or(init, &["size", "longest_edge"], 768 * 1024)),
                budget,
                max_video_tokens: number_or(init, &["max_video_tokens"], 768),
                wrapping: VideoWrapping::None,
                ..Qwen3Video::default()
            },
            ..Qwen3Vl::default()
        }),
        "internvl" => {
            let crop = config["call"]["crop_to_patches"] != false;
            Family::InternVl(InternVl {
                tile_px: nonzero(number_or(init, &["size", "height"], 384)),
                min_tiles: nonzero(number_or(init, &["min_patches"], 1)),
                max_tiles: nonzero(if crop { number_or(init, &["max_patches"], 12) } else { 1 }),
                frames,
                ..InternVl::default()
            })
        }
        "llava" => Family::Llava15(Llava15 {
            side_px: nonzero(number_or(init, &["crop_size", "height"], 224)),
            pad: init["do_pad"] == true,
            ..Llava15::default()
        }),
        "llava_next" | "llava_next_video" => Family::LlavaNext(LlavaNext {
            tile_px: nonzero(number_or(init, &["crop_size", "height"], 224)),
            canvases_px: canvases_px().unwrap_or_else(|| LlavaNext::default().canvases_px),
            frames,
            ..LlavaNext::default()
        }),
        "llava_onevision" => {
            let aspect = config["processor"]["vision_aspect_ratio"].as_str().unwrap();
            let max_tiles = aspect.strip_prefix("anyres_max_").unwrap().parse().unwrap();
            Family::LlavaOneVision(LlavaOneVision { max_tiles, frames, ..LlavaOneVision::default() })
        }
        "granite4_vision" => {
            let (kept, of) = text(&config["processor"], "downsample_rate").split_once('/').unwrap();
            Family::Granite4Vision(Granite4Vision {
                patch_px: nonzero(u64::from(number(&config["processor"], "patch_size"))),
                downsample: (kept.parse().unwrap(), of.parse().unwrap()),
                canvases_px: canvases_px().unwrap(),
            })
        }
        "idefics3" => Family::Idefics3(Idefics3 { split: init["do_image_splitting"] != false, ..Idefics3::default() }),
        "smolvlm" => Family::SmolVlm(SmolVlm {
            longest_edge_px: nonzero(number_or(init, &["size", "longest_edge"], 0)),
            tile_px: nonzero(number_or(init, &["max_image_size", "longest_edge"], 0)),
            tokens_per_tile: number_or(config, &["processor", "image_seq_len"], 0) as u16,
            sample: call["do_sample_frames"] != false,
            fps: call["fps"].as_f64().or(init["fps"].as_f64()).unwrap_or(1.0),
            max_frames: nonzero(number_or(call, &["num_frames"], number_or(init, &["num_frames"], 64))),
        }),
        "nemotron_h_omni" => Family::NemotronHOmni(NemotronHOmni {
            min_patches: (number_or(init, &["min_num_patches"], 1024) as u32).try_into().unwrap(),
            max_patches: number_or(init, &["max_num_patches"], 13_312) as u32,
            max_model_len: number_or(init, &["max_model_len"], 16_384) as u32,
            video: NemotronVideo {
                frames,
                target_patches: (number_or(init, &["video_target_num_patches"], 1024) as u32).try_into().unwrap(),
                keep_aspect_ratio: init["video_maintain_aspect_ratio"] != false,
            },
        }),
        other => panic!("no family for {other}"),
    }
}

/// What a plan says, in the words of the rows.
fn described(plan: &VisualPlan, config: &Value) -> Value {
    let mut described = json!({ "tokens": plan.num_tokens() });
    let size = plan.layout.size();
    if let Some(grid) = plan.grid {
        described["grid_thw"] = json!([grid.t, grid.h, grid.w]);
    }
    let (rows, columns) = match plan.layout {
        Layout::Tiles { canvas, tile, .. } => (canvas.height_px / tile.height_px, canvas.width_px / tile.width_px),
        _ => (1, 1),
    };
    described["resized"] = json!([size.height_px, size.width_px]);
    described["crop"] = described["resized"].clone();
    described["best"] = described["resized"].clone();
    described["tiles"] = json!(plan.layout.num_tiles());
    described["cols_rows"] = json!([columns, rows]);
    described["rows_cols"] = if (rows, columns) == (1, 1) { json!([0, 0]) } else { json!([rows, columns]) };
    described["grid_hw"] = json!([size.height_px / 16, size.width_px / 16]);
    if config["family"] == "qwen2_5_vl" {
        described["second_per_grid_ts"] = json!(plan.seconds_per_step);
    }
    described["n"] = json!(plan.frames.len());
    described
}

fn assert_row(row: &Value, planned: Result<VisualPlan, Refused>, config: &Value) {
    // Where a processor ends with an error, there may be a plan that says so.
    let plan = match (planned, row.get("error")) {
        (Err(_), Some(_)) => return,
        (Err(refused), None) => panic!("refused: {refused}\nrow: {row}"),
        (Ok(plan), error) => {
            assert_eq!(plan.processor_error.is_some(), error.is_some(), "{plan:?}\nrow: {row}");
            plan
        }
    };
    if row.get("error").is_some() {
        let num_frames = number(row, "frames");
        assert!(!plan.frames.is_empty() && plan.frames.iter().all(|frame| *frame < num_frames), "{plan:?}\nrow: {row}");
        return;
    }
    let described = described(&plan, config);
    for (key, expected) in row.as_object().unwrap() {
        match key.as_str() {
            "config" | "h" | "w" | "frames" | "fps" | "call" | "kind" | "patch" | "options" | "hf" | "same"
            | "min_pixels" | "max_pixels" => {}
            "indices" => assert_frames(&plan.frames, row),
            "text" => assert_text(&plan.text(), row),
            "second_per_grid_ts" => {
                let (ours, theirs) = (described[key].as_f64(), expected.as_f64().unwrap());
                let ours = ours.unwrap_or_else(|| panic!("no {key}: {row}"));
                assert!((ours - theirs).abs() <= 1e-12 * theirs.abs(), "{key}: {ours}\nrow: {row}");
            }
            _ => assert_eq!(&described[key], expected, "{key}\nrow: {row}"),
        }
    }
}

fn assert_frames(frames: &[u32], row: &Value) {
    let listed = || frames.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let expected = row["indices"].as_array().unwrap();
    if expected.get(1).is_some_and(|part| part == "..") {
        assert_eq!(sha256(&listed()), expected[2], "{row}");
    } else {
        assert_eq!(&json!(frames), &row["indices"], "{row}");
    }
}

fn assert_text(ours: &str, row: &Value) {
    let parts = row["text"].as_array().unwrap();
    if let Some(at) = parts.iter().position(|part| part == "..") {
        assert_eq!(sha256(ours), parts[at + 1], "{row}");
        return;
    }
    let unfolded = parts.iter().map(|part| match part {
        Value::String(text) => text.clone(),
        run => run[0].as_str().unwrap().repeat(run[1].as_u64().unwrap() as usize),
    });
    assert_eq!(ours, unfolded.collect::<String>(), "{row}");
}

#[test]
fn images_are_those_of_the_processors() {
    let Some(folder) = folder() else { return };
    let configurations = configurations(&folder);
    let rows = rows(&folder, "images.jsonl");
    assert!(!rows.is_empty());
    for row in &rows {
        let config = &configurations[text(row, "config")];
        assert_row(row, plan(&family(config, &Value::Null), Geometry::Image(size(row))), config);
    }
}

#[test]
fn videos_are_those_of_the_processors() {
    let Some(folder) = folder() else { return };
    let configurations = configurations(&folder);
    let rows = rows(&folder, "videos.jsonl");
    assert!(!rows.is_empty());
    for row in &rows {
        let config = &configurations[text(row, "config")];
        let call = &row["call"];
        let has_both = call["fps"].is_number() && call["num_frames"].is_number();
        // Its own rate is merged into the call unless the call says that there is none.
        let has_own_rate =
            config["family"] == "qwen3_vl" && call["num_frames"].is_number() && call.get("fps").is_none();
        if (has_both && config["family"] != "smolvlm") || has_own_rate {
            assert!(row.get("error").is_some(), "a call that cannot be written as settings: {row}");
            continue;
        }
        assert_row(row, plan(&family(config, call), Geometry::Video(clip(row))), config);
    }
}

#[test]
fn images_are_those_of_qwen_vl_utils() {
    let Some(folder) = folder() else { return };
    let rows = rows(&folder, "qwen_vl_utils.jsonl");
    let images: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "image").collect();
    assert!(!images.is_empty());
    for row in images {
        let factor = 2 * u64::from(number(row, "patch"));
        let min_pixels = number_or(row, &["min_pixels"], 4 * factor * factor);
        let max_pixels = number_or(row, &["max_pixels"], 16_384 * factor * factor);
        let resize = ImageResize::QwenVlUtils;
        let family = match number(row, "patch") {
            14 => Family::Qwen25Vl(Qwen25Vl { min_pixels, max_pixels, resize, ..Qwen25Vl::default() }),
            _ => Family::Qwen3Vl(Qwen3Vl { min_pixels, max_pixels, resize, ..Qwen3Vl::default() }),
        };
        let planned = plan(&family, Geometry::Image(size(row)));
        if row["resized"].as_array().is_some_and(|sides| sides.contains(&json!(0))) {
            assert!(planned.is_err(), "an image without a side: {row}");
        } else {
            assert_row(row, planned, &Value::Null);
        }
    }
}

#[test]
fn videos_are_those_of_qwen_vl_utils() {
    let Some(folder) = folder() else { return };
    let rows = rows(&folder, "qwen_vl_utils.jsonl");
    // A part of a video is a clip of its own here.
    let whole = |row: &&Value| row["kind"] == "video" && row["options"].get("video_start").is_none();
    let videos: Vec<&Value> = rows.iter().filter(whole).collect();
    assert!(!videos.is_empty());
    for row in videos {
        let options = &row["options"];
        let frames = match options["nframes"].as_u64() {
            Some(num_frames) => Frames::NumFrames(nonzero(num_frames)),
            None => Frames::Fps(options["fps"].as_f64().unwrap_or(2.0)),
        };
        let max_frames = number_or(options, &["max_frames"], 768) as u32;
        let (min_pixels, max_pixels) = (options["min_pixels"].as_u64(), options["max_pixels"].as_u64());
        let total_pixels = options["total_pixels"].as_u64();
        let budget = VideoBudget::QwenVlUtils;
        let family = if number(row, "patch") == 14 {
            let video = Qwen25Video { frames, max_frames, budget, total_pixels, ..Qwen25Video::default() };
            let min_pixels = min_pixels.unwrap_or(video.min_pixels);
            let max_pixels = max_pixels.unwrap_or(video.max_pixels);
            let video = Qwen25Video { min_pixels, max_pixels, ..video };
            Family::Qwen25Vl(Qwen25Vl { video, ..Qwen25Vl::default() })
        } else {
            let limits = Qwen3Video { min_pixels, max_pixels, ..Qwen3Video::default() };
            let video = Qwen3Video { frames, max_frames, budget, total_pixels, ..limits };
            Family::Qwen3Vl(Qwen3Vl { video, ..Qwen3Vl::default() })
        };
        let mut row = row.clone();
        let sample_fps = row.as_object_mut().unwrap().remove("sample_fps");
        let planned = plan(&family, Geometry::Video(clip(&row)));
        if let (Ok(planned), Some(expected)) = (&planned, sample_fps.and_then(|fps| fps.as_f64())) {
            let ours = planned.frames.len() as f64 / f64::from(number(&row, "frames")) * row["fps"].as_f64().unwrap();
            assert!((ours - expected).abs() <= 1e-12 * expected, "{row}");
        }
        assert_row(&row, planned, &Value::Null);
    }
}

/// The media of a conversation, in order.
fn media(row: &Value) -> Vec<&Value> {
    let contents = row["messages"].as_array().unwrap().iter().filter_map(|message| message["content"].as_array());
    contents.flatten().filter(|part| part["type"] != "text").collect()
}

/// The settings of the images and of the videos of a prompt, joined.
fn family_of_prompt(row: &Value, configurations: &BTreeMap<String, Value>) -> Family {
    let sampled =
        |config: &Value| if config["family"] == "qwen3_vl" { Value::Null } else { json!({"do_sample_frames": false}) };
    let call = &row["processor_kwargs"];
    let of_videos = row["video_config"].as_str().map(|id| {
        let config = &configurations[id];
        let call = if call.as_object().unwrap().is_empty() { sampled(config) } else { call.clone() };
        family(config, &call)
    });
    match (family(&configurations[text(row, "image_config")], &Value::Null), of_videos) {
        (Family::Qwen25Vl(images), Some(Family::Qwen25Vl(videos))) => {
            Family::Qwen25Vl(Qwen25Vl { video: videos.video, ..images })
        }
        (Family::Qwen3Vl(images), Some(Family::Qwen3Vl(videos))) => {
            // What the newest release writes.
            let video = Qwen3Video { wrapping: VideoWrapping::Outer, ..videos.video };
            Family::Qwen3Vl(Qwen3Vl { video, ..images })
        }
        (Family::InternVl(images), Some(Family::InternVl(videos))) => {
            Family::InternVl(InternVl { frames: videos.frames, ..images })
        }
        (Family::LlavaOneVision(images), Some(Family::LlavaOneVision(videos))) => {
            Family::LlavaOneVision(LlavaOneVision { frames: videos.frames, ..images })
        }
        (Family::SmolVlm(images), Some(Family::SmolVlm(videos))) => {
            let SmolVlm { sample, fps, max_frames, .. } = videos;
            Family::SmolVlm(SmolVlm { sample, fps, max_frames, ..images })
        }
        (Family::NemotronHOmni(images), Some(Family::NemotronHOmni(videos))) => {
            Family::NemotronHOmni(NemotronHOmni { video: videos.video, ..images })
        }
        (images, None) => images,
        (images, videos) => panic!("{images:?} and {videos:?}"),
    }
}

#[test]
fn markup_is_what_the_processors_write() {
    let Some(folder) = folder() else { return };
    let configurations = configurations(&folder);
    let mut num_compared = 0;
    for row in rows(&folder, "prompts.jsonl") {
        let media = media(&row);
        let has_metadata = media.iter().all(|medium| medium.get("no_metadata").is_none());
        // When Nemotron's processor samples by itself, it states the times of a video's first frames, whichever it took.
        let is_mistimed = row["family"] == "nemotron_h_omni" && row["processor_kwargs"]["do_sample_frames"] == true;
        if row.get("error").is_some() || !has_metadata || is_mistimed {
            continue;
        }
        let geometries = media.iter().map(|medium| match text(medium, "type") {
            "image" => Geometry::Image(size(medium)),
            _ => Geometry::Video(clip(medium)),
        });
        let geometries: Vec<Geometry> = geometries.collect();
        let plans = family_of_prompt(&row, &configurations).processor().plan(&geometries);
        let plans = plans.unwrap_or_else(|refused| panic!("{refused}\nrow: {row}"));
        let unfolded: String = row["text"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| match part {
                Value::String(text) => text.clone(),
                run => run[0].as_str().unwrap().repeat(run[1].as_u64().unwrap() as usize),
            })
            .collect();
        // Media of answers are dropped by some templates, and some move images before the text: each is somewhere.
        let mut left = unfolded.clone();
        for plan in &plans {
            let markup = plan.text();
            if let Some(at) = left.find(&markup) {
                left.replace_range(at..at + markup.len(), "|");
                num_compared += 1;
            } else {
                panic!("{markup:?} is not in {left:?}\nrow: {}", row["name"]);
            }
        }
    }
    assert!(num_compared > 500, "{num_compared}");
}

#[test]
fn sizes_that_are_delivered_are_kept() {
    let Some(folder) = folder() else { return };
    let configurations = configurations(&folder);
    let mut media: Vec<(Family, Geometry<'static>)> = Vec::new();
    for row in rows(&folder, "images.jsonl") {
        media.push((family(&configurations[text(&row, "config")], &Value::Null), Geometry::Image(size(&row))));
    }
    for row in rows(&folder, "videos.jsonl") {
        media.push((family(&configurations[text(&row, "config")], &row["call"]), Geometry::Video(clip(&row))));
    }
    let (mut num_kept, mut num_resized_again) = (0, 0);
    for (family, medium) in media.iter().filter(|(family, _)| family.has_dynamic_size()) {
        let Ok(plan) = plan(family, *medium) else { continue };
        let resizes_again = family.resizes_again(&[*medium], std::slice::from_ref(&plan))[0];
        let delivered = match medium {
            Geometry::Video(clip) => {
                Geometry::Video(Clip { size: plan.layout.size(), ..clip.with_frames(&plan.frames) })
            }
            _ => Geometry::Image(plan.layout.size()),
        };
        let again = self::plan(family, delivered).ok().map(|again| (again.layout, again.grid, again.num_tokens()));
        let is_kept = again == Some((plan.layout, plan.grid, plan.num_tokens()));
        assert_eq!(is_kept, !resizes_again, "{family:?} {medium:?} {:?}", plan.layout);
        if let (Geometry::Image(_), Some((min, max))) = (medium, limits(family)) {
            // What is within the limits is a multiple of the factor, and kept.
            let (size, pixels) = (plan.layout.size(), plan.layout.size().num_pixels());
            let (long, short) = (size.height_px.max(size.width_px), size.height_px.min(size.width_px));
            assert_eq!(is_kept, min <= pixels && pixels <= max && long <= 200 * short, "{family:?} {medium:?}");
        }
        *(if is_kept { &mut num_kept } else { &mut num_resized_again }) += 1;
    }
    // Most of them are videos whose budget for each frame is smaller than the least area of a frame.
    assert!(num_kept > 2000 && num_resized_again < num_kept / 20, "{num_kept} kept, {num_resized_again} not");
}

/// The least and the greatest area of an image.
fn limits(family: &Family) -> Option<(u64, u64)> {
    match family {
        Family::Qwen25Vl(settings) => Some((settings.min_pixels, settings.max_pixels)),
        Family::Qwen3Vl(settings) => Some((settings.min_pixels, settings.max_pixels)),
        _ => None,
    }
}
