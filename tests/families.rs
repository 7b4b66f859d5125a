//! Promise: `manyframe tokens` says what a model's processor makes of a medium, from its header alone.

use serde_json::{Value, json};

use crate::support::{Workshop, photo, run, stdout};

fn tokens(arguments: &[&str]) -> Value {
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

    let clip = crate::support::demo_media().join("clip1.mp4");
    if clip.is_file() {
        let video = &tokens(&["--family", "qwen2.5-vl", &clip.display().to_string()])["media"][0];
        let frames = video["frames"].as_array().unwrap();
        let grid = video["grid_thw"][0].as_u64().unwrap();
        assert_eq!(grid, frames.len().div_ceil(2) as u64);
    }
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
    assert!(stderr(&["tokens", "--family", "qwen3-vl", "/nowhere.jpg"], 1).contains("cannot read \"/nowhere.jpg\""));
    assert!(stderr(&["tokens", "--family", "qwen9", "1x1"], 2).contains("qwen3-vl"));
    let wrong = stderr(&["tokens", "--family", "qwen3-vl", "--set", "max_pixel=3", "1x1"], 2);
    assert!(wrong.contains("unknown field `max_pixel`"), "{wrong}");
    let zero = stderr(&["tokens", "--family", "internvl", "--set", "tile_px=0", "1x1"], 2);
    assert!(zero.contains("expected a nonzero"), "{zero}");
}
