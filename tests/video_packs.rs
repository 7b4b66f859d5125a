//! Promise: a trainer of a model with patches gets the frames of a video at the size at which their tokens were counted, and each rank
//! of a sequence-parallel group whole steps of it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::families;
use crate::python_package::run_tests;
use crate::support::{Built, Workshop, run, run_python};

/// Datasets of images and videos of an odd number of frames, which are delivered as frames and as files.
fn datasets() -> (Workshop, [Built; 2]) {
    let mut workshop = families::workshop("family = \"qwen3-vl\"");
    for (name, size) in [("whole.mp4", "256x192"), ("odd.mp4", "250x190")] {
        let source = format!("testsrc2=size={size}:rate=10:duration=3");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &source, "-threads", "1"]);
        ffmpeg.args(["-c:v", "libx264", "-pix_fmt", "yuv420p"]).arg(workshop.path("media").join(name));
        assert!(ffmpeg.status().unwrap().success(), "{name}");
    }
    let record = |id: &str, question: &str, images: &[&str], videos: &[&str]| {
        let said = json!([{ "from": "human", "value": question }, { "from": "gpt", "value": format!("It is {id}.") }]);
        json!({ "id": id, "image": images, "video": videos, "conversations": said })
    };
    let records = json!([
        record("mixed", "<video> or <image> or <video>?", &["2.jpg"], &["odd.mp4", "whole.mp4"]),
        record("whole", "<video>?", &[], &["whole.mp4"]),
        record("odd", "<video>?", &[], &["odd.mp4"]),
        record("again", "Is <video> like <video>?", &[], &["whole.mp4", "odd.mp4"]),
    ]);
    workshop.add_source("videos", "auto", &records, "");
    let head = workshop.head.clone();
    let built = ["frames", "clip"].map(|deliver| {
        let video = format!("[video]\nsampling = \"interval\"\nmax_frames = 5\ndeliver = \"{deliver}\"\n");
        workshop.head = format!("{head}{video}[pack]\nmax_tokens = 1500\nsequence_parallel = \"zigzag:4\"\n");
        let out = workshop.text(deliver);
        run(&["build", &workshop.pipeline(), "--output", &out, "--quiet"], 0);
        Built::read(Path::new(&out))
    });
    (workshop, built)
}

#[test]
fn ranks_have_the_values_of_whole_steps_and_exported_frames_the_size_of_their_grid() {
    let (workshop, [frames, clips]) = datasets();
    assert_eq!(frames.manifest.total, clips.manifest.total);
    run_tests(
        "readers",
        "test_videos.py",
        &[("MANYFRAME_FRAMES", &frames.dataset), ("MANYFRAME_CLIPS", &clips.dataset)],
    );
    for (dataset, name) in [(&frames, "packed"), (&clips, "packed-clips")] {
        let out = workshop.text(name);
        let dataset = dataset.dataset.display().to_string();
        run(&["export", &dataset, "--format", "packed_parquet", "--output", &out, "--quiet"], 0);
        let counts = run_python("readers", "tests/python/read_packs.py", &["sizes", &out, "16", "2"]);
        let counts: Value = serde_json::from_str(&counts).unwrap();
        assert_eq!(counts["num_images"], frames.manifest.total.cost.num_images, "{counts}");
        assert_eq!(counts["num_videos"], 6, "{counts}");
    }
}
