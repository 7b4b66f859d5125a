//! Videos with frames that are missing or damaged: what becomes of them, and what is said.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Built, Workshop, photo, run, stdout};

fn record(name: &str) -> Value {
    json!({ "id": name, "video": format!("{name}.mp4"), "conversations": [
        { "from": "human", "value": "<video>\nWhat happens?" }, { "from": "gpt", "value": format!("{name} happens.") },
    ]})
}

/// A clip of 12 s, the first half of its bytes, and the clip with a garbled frame.
fn workshop(settings: &str) -> Workshop {
    let mut workshop = Workshop::new();
    fs::create_dir_all(workshop.path("media")).unwrap();
    let clip = workshop.path("media/whole.mp4");
    let picture = "-v error -nostdin -f lavfi -i testsrc2=size=96x64:rate=10:duration=12 -c:v libx264 -bf 0 -g 50 -threads 1 \
                   -pix_fmt yuv420p -movflags faststart";
    let made = Command::new("ffmpeg").args(picture.split_whitespace()).arg(&clip).status();
    assert!(made.unwrap().success(), "the ffmpeg program, which `make setup` installs");
    let bytes = fs::read(&clip).unwrap();
    workshop.write("media/half.mp4", &bytes[..bytes.len() / 2]);
    let mut garbled = bytes.clone();
    let middle = bytes.len() / 2;
    garbled[middle..middle + 300].iter_mut().zip(0..).for_each(|(byte, at)| *byte ^= 0x5a_u8.rotate_left(at));
    workshop.write("media/garbled.mp4", garbled);
    workshop.head.push_str(settings);
    workshop.add_source("v", "llava_video", &json!([record("whole"), record("half"), record("garbled")]), "");
    workshop
}

#[test]
fn a_damaged_video_is_rejected_with_what_is_missing() {
    for settings in ["", "[mix]\ncheck = \"decode\"\n"] {
        let built = workshop(settings).build();
        assert_eq!(built.row("whole").damage, None);
        for (name, expected) in
            [("half", "of 12 frames are missing; at most 10 % may be missing"), ("garbled", "of 12 frames are damaged")]
        {
            let row = built.row(name);
            assert_eq!(row.reason.as_deref(), Some("media_corrupt"), "{name}: {row:?}");
            assert!(row.detail.as_ref().unwrap().contains(expected), "{name}: {row:?}");
        }
    }
}

#[test]
fn a_damaged_video_that_is_kept_says_what_is_missing() {
    let mut workshop = workshop("[video]\ndamage = \"keep\"\n");
    let built = workshop.build();
    let half = built.row("half").damage.clone().unwrap();
    let (missing, rest) = half.split_once(' ').unwrap();
    let num_missing: u64 = missing.parse().unwrap();
    assert!(rest == "of 12 frames are missing" && (4..9).contains(&num_missing), "{half}");
    assert_eq!(built.row("half").measured.unwrap().0.num_frames, 12 - num_missing);
    assert!(built.row("garbled").damage.as_ref().unwrap().ends_with("of 12 frames are damaged"));
    assert_eq!(built.row("whole").damage, None);
    let why = stdout(&["why", &workshop.text("out"), "half"]);
    assert!(why.contains(&format!("damage    {half}\n")), "{why}");
    // Samples that are taken over from this build keep what is said about them.
    workshop.head = workshop.head.replace("seed = 3", "seed = 4");
    let again = workshop.build();
    for name in ["whole", "half", "garbled"] {
        assert_eq!(again.row(name).damage, built.row(name).damage, "{name}");
    }
    // And so do those that an interrupted build has finished.
    let elsewhere = workshop.text("elsewhere");
    let plan = stdout(&["plan", &workshop.pipeline(), "--output", &elsewhere, "--json", "--quiet"]);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    run(&["task", plan["plan"].as_str().unwrap(), "0", "--quiet"], 0);
    let arguments = ["build", &workshop.pipeline(), "--output", &elsewhere, "--quiet", "--explain", "--set", "seed=5"];
    let text = stdout(&arguments);
    assert!(text.contains("3 of 3 samples"), "{text}");
    for name in ["whole", "half", "garbled"] {
        assert_eq!(Built::read(&workshop.path("elsewhere")).row(name).damage, built.row(name).damage, "{name}");
    }
}

#[test]
fn a_recording_that_was_cut_short_is_rejected_with_what_is_missing() {
    let mut workshop = Workshop::new();
    fs::create_dir_all(workshop.path("media")).unwrap();
    let records = ["a.mkv", "b.avi", "c.flv", "d.gif"].map(|name| {
        let clip = workshop.path(&format!("media/{name}"));
        let picture = "-v error -nostdin -f lavfi -i testsrc2=size=96x64:rate=10:duration=12 -threads 1";
        let encoder = if name.ends_with("gif") { "" } else { "-c:v mpeg4 -g 50" };
        let encoder = if name.ends_with("flv") { "-c:v flv1 -g 50" } else { encoder };
        let arguments = picture.split_whitespace().chain(encoder.split_whitespace());
        assert!(Command::new("ffmpeg").args(arguments).arg(&clip).status().unwrap().success());
        let bytes = fs::read(&clip).unwrap();
        fs::write(&clip, &bytes[..bytes.len() / 2]).unwrap();
        let mut record = record(name);
        record["video"] = json!(name);
        record
    });
    workshop.add_source("v", "llava_video", &json!(records), "");
    let built = workshop.build();
    for (name, expected) in [
        ("a.mkv", "of 12 frames are missing; "),
        ("b.avi", "of 12 frames are missing; "),
        ("c.flv", "of 12 frames are missing; "),
        ("d.gif", "the file is incomplete, and does not say how many frames are missing"),
    ] {
        let row = built.row(name);
        assert_eq!(row.reason.as_deref(), Some("media_corrupt"), "{name}: {row:?}");
        assert!(row.detail.as_ref().unwrap().contains(expected), "{name}: {row:?}");
    }
}

#[test]
fn a_directory_whose_numbers_have_a_gap_lacks_frames() {
    let mut workshop = Workshop::new();
    for number in (0..8).chain(16..24) {
        workshop.write(&format!("media/clip/{number:03}.jpg"), photo(number, 64, 48));
    }
    let clip = json!({ "id": "clip", "video": "clip", "conversations": [
        { "from": "human", "value": "<video>\nWhat happens?" }, { "from": "gpt", "value": "Nothing." },
    ] });
    workshop.add_source("videos", "llava_video", &json!([clip]), "fps = 1.0\nmax_rejects = \"100 %\"");
    let rejected = workshop.build_with(&["--set", "video.interval_s=1"], 0);
    let row = rejected.row("clip");
    assert_eq!(row.reason.as_deref(), Some("media_corrupt"));
    assert!(row.detail.as_ref().unwrap().contains("8 of 24 frames are missing"), "{:?}", row.detail);
    let kept = workshop.build_with(&["--set", "video.interval_s=1", "--set", "video.damage=keep"], 0);
    kept.verify();
    assert_eq!(kept.row("clip").damage.as_deref(), Some("8 of 24 frames are missing"));
    assert_eq!(kept.manifest.total.cost.num_images, 16);
}
