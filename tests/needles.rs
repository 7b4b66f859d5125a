//! Promise: an evaluation set of needles has exactly the frames, places and options that its settings say, and nothing in it tells the
//! answer but the needle.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Built, Workshop, contents_below, encode, run, run_python};

/// Two videos of different shapes, 12 s and 9 s long.
fn make_videos(media: &Path) {
    fs::create_dir_all(media).unwrap();
    for (name, source) in
        [("wide.mp4", "testsrc2=size=160x90:rate=5:duration=12"), ("tall.mp4", "testsrc=size=96x96:rate=4:duration=9")]
    {
        let mut command = Command::new("ffmpeg");
        command.args([
            "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p",
        ]);
        assert!(
            command.args(["-crf", "12", "-threads", "1"]).arg(media.join(name)).status().unwrap().success(),
            "{name}"
        );
    }
}

/// A picture like no frame of the videos.
fn picture(number: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(120, 80 + 10 * number, |x, y| {
        let bright = (x / (9 + 5 * number) + y / (21 - 3 * number)).is_multiple_of(2);
        image::Rgb(if bright { [240, (60 * number) as u8, 40] } else { [10, 30, (50 * number) as u8] })
    });
    encode(&image, image::ImageFormat::Png)
}

fn needles() -> Vec<Value> {
    let mut rows = Vec::new();
    for (number, (colour, wrong)) in [
        ("amber", ["lilac", "olive", "beige"]),
        ("khaki", ["ivory", "mauve", "coral"]),
        ("ebony", ["azure", "peach", "lemon"]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("board {number}");
        rows.push(json!({ "name": name, "image": format!("{number}.png"), "question": format!("Which tint has the board {number}?"),
                          "answer": colour, "wrong": wrong }));
    }
    for (word, wrong) in [
        ("SAKURA", ["TULIPS", "ORCHID", "VIOLET"]),
        ("MEADOW", ["FOREST", "CANYON", "ISLAND"]),
        ("WINTER", ["SUMMER", "AUTUMN", "SPRING"]),
    ] {
        rows.push(
            json!({ "name": word, "text": format!("The secret word is {word}"), "question": "What is the secret word?",
                          "answer": word, "wrong": wrong }),
        );
    }
    rows
}

struct Set {
    workshop: Workshop,
    settings: Value,
}

impl Set {
    /// A set with these settings, besides haystacks and images.
    fn new(settings: &Value) -> Self {
        Self::with_needles(settings, &needles())
    }

    fn with_needles(settings: &Value, needles: &[Value]) -> Self {
        let mut workshop = Workshop::new();
        let media = workshop.path("media");
        make_videos(&media);
        (0..3).for_each(|number| fs::write(media.join(format!("{number}.png")), picture(number)).unwrap());
        (0..12).for_each(|number| {
            fs::write(media.join(format!("photo{number}.jpg")), crate::support::photo(number, 90, 70)).unwrap()
        });
        let mut all = json!({ "haystacks": ["wide.mp4", "tall.mp4"], "tasks": ["v_niah"], "lengths": [6, 16], "depths": [0, 333, 1000],
                              "questions_per_cell": 1, "num_options": 4, "interval_s": 1.0, "place": "insert", "needles": needles });
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let table: String = all
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| *key != "needles")
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect();
        workshop.add_source(
            "set",
            "needles",
            &json!(needles),
            &format!("max_rejects = \"100 %\"\n[source.needles]\n{table}"),
        );
        Self { workshop, settings: all }
    }

    fn build(&self) -> Built {
        self.workshop.build()
    }

    /// What the reference says of a dataset.
    fn check(&self, built: &Built) -> String {
        let settings = self.workshop.write("settings.json", self.settings.to_string());
        let paths = [built.dataset.as_path(), &settings, &self.workshop.path("media")];
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let tokenizer = crate::support::root().join("crates/format/tests/golden/jamba.model").display().to_string();
        let counted = run_python("readers", "tests/python/count_tokens.py", &[&tokenizer, &paths[0]]);
        assert!(counted.ends_with(" 0 differ\n"), "{counted}");
        run_python("readers", "tests/python/check_needles.py", &[&paths[0], &paths[1], &paths[2]])
    }
}

#[test]
fn v_niah_is_what_a_reference_makes_of_the_grid() {
    for (place, num_frames) in [("insert", 4 * 3 * (7 + 17)), ("replace", 4 * 3 * (6 + 16))] {
        let set = Set::new(&json!({ "place": place }));
        let built = set.build();
        assert_eq!(built.manifest.total.num_samples, 2 * 3 * 4, "{:?}", built.outcomes());
        assert_eq!(set.check(&built), format!("24 samples, {num_frames} frames\n"));
        built.verify();
    }
}

#[test]
fn a_set_has_the_same_bytes_on_any_number_of_threads() {
    let set = Set::new(&json!({ "lengths": [5] }));
    set.workshop.build_with(&["--threads", "1"], 0);
    let alone = contents_below(&set.workshop.path("out"));
    set.workshop.build_with(&["--threads", "3", "--fresh"], 0);
    assert!(contents_below(&set.workshop.path("out")) == alone, "the datasets differ");
}

#[test]
fn a_needle_that_is_in_the_haystack_is_rejected() {
    let set = Set::new(&json!({ "lengths": [16], "depths": [500] }));
    // A frame of the first video in another size and format.
    let media = set.workshop.path("media");
    for (number, second) in [(0, "2"), (1, "3"), (2, "4")] {
        let mut command = Command::new("ffmpeg");
        let video = media.join("wide.mp4").display().to_string();
        command.args(["-v", "error", "-y", "-ss", second, "-i", &video, "-frames:v", "1", "-vf", "scale=200:110"]);
        assert!(command.arg(media.join(format!("{number}.png"))).status().unwrap().success());
    }
    let built = set.build();
    assert_eq!(built.outcomes()["needle_in_haystack"], 4);
    let id = built.ledger[0].id.to_string();
    let why = run(&["why", &built.dataset.display().to_string(), &id], 0);
    assert!(String::from_utf8_lossy(&why.stdout).contains("looks like frame"), "{why:?}");
}

#[test]
fn a_haystack_with_too_few_frames_is_rejected_before_anything_is_decoded() {
    let set = Set::new(&json!({ "lengths": [6, 22], "depths": [500] }));
    let built = set.build();
    assert_eq!(built.outcomes(), [("delivered".to_owned(), 4), ("haystack_too_short".to_owned(), 4)].into());
    let row = built.ledger.iter().find(|row| row.reason.is_some()).unwrap();
    assert!(
        row.detail.as_ref().unwrap().ends_with("21 frames, one every 1 s, in 2 videos; 22 are to be shown"),
        "{row:?}"
    );
}
