//! Promise: an evaluation set of needles has exactly the frames, places and options that its settings say, and nothing in it tells the
//! answer but the needle.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;

use manyframe_core::{SampleImage, SampleVisual, VisualKind};
use manyframe_dataset::DatasetReader;
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

/// A clip of 6 s at 8 frames a second, whose waves are others in each second.
pub(crate) const WAVES: &str = "color=size=128x72:rate=8:duration=6,format=rgb24,\
                     geq=r='128+120*sin((X+90*T)/9)':g='128+120*sin(Y*(1+T)/14)':b=60";

/// As long, with rings around two points.
const RIPPLES: &str = "color=size=128x72:rate=8:duration=6,format=rgb24,\
                       geq=r='128+120*sin(hypot(X-30,Y-50)/5+2*T)':g='128+120*sin(hypot(X-100,Y-10)/7-T)':b=200";

pub(crate) fn make_video(path: &Path, source: &str) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source, "-c:v", "libx264"]);
    command.args(["-pix_fmt", "yuv420p", "-crf", "10", "-threads", "1"]).arg(path);
    assert!(command.status().unwrap().success(), "{}", path.display());
}

/// A needle of three frames, from the twelfth frame of its video on.
pub(crate) fn clip() -> Value {
    json!({ "name": "a wave", "clip": "waves.mp4", "start_s": 1.3, "num_frames": 3, "question": "What is on the cloth?",
            "answer": "waves", "wrong": ["stars", "clubs", "dots "] })
}

/// Needles with clips: as many pictures as ordering takes.
fn needles_with_clips() -> Vec<Value> {
    let second = json!({ "name": "a ripple", "clip": "ripples.mp4", "start_s": 4, "num_frames": 2 });
    [needles(), vec![clip(), second]].concat()
}

/// A picture like no frame of the videos.
fn picture(number: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(120, 80 + 10 * number, |x, y| {
        let bright = (x / (9 + 5 * number) + y / (21 - 3 * number)).is_multiple_of(2);
        image::Rgb(if bright { [240, (60 * number) as u8, 40] } else { [10, 30, (50 * number) as u8] })
    });
    encode(&image, image::ImageFormat::Png)
}

pub(crate) fn needles() -> Vec<Value> {
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

/// One more of each kind.
pub(crate) fn fourth_needles() -> Vec<Value> {
    vec![
        json!({ "name": "board 3", "image": "3.png", "question": "Which tint has the board 3?", "answer": "umber",
                "wrong": ["cream", "pearl", "taupe"] }),
        json!({ "name": "COPPER", "text": "The secret word is COPPER", "question": "What is the secret word?",
                "answer": "COPPER", "wrong": ["SILVER", "BRONZE", "NICKEL"] }),
    ]
}

pub(crate) struct Set {
    pub(crate) workshop: Workshop,
    pub(crate) settings: Value,
}

impl Set {
    /// A set with these settings, besides haystacks and images.
    pub(crate) fn new(settings: &Value) -> Self {
        Self::with_needles(settings, &needles())
    }

    pub(crate) fn with_needles(settings: &Value, needles: &[Value]) -> Self {
        let mut workshop = Workshop::new();
        let media = workshop.path("media");
        make_videos(&media);
        make_video(&media.join("waves.mp4"), WAVES);
        make_video(&media.join("ripples.mp4"), RIPPLES);
        (0..4).for_each(|number| fs::write(media.join(format!("{number}.png")), picture(number)).unwrap());
        (0..12).for_each(|number| {
            fs::write(media.join(format!("photo{number}.jpg")), crate::support::photo(number, 90, 70)).unwrap();
        });
        let mut all = json!({ "haystacks": ["wide.mp4", "tall.mp4"], "tasks": ["v_niah"], "lengths": [6, 16], "depths": [0, 333, 1000],
                              "questions_per_cell": 1, "num_options": 4, "interval_s": 1.0, "place": "insert", "needles": needles });
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let settings = all.as_object().unwrap().iter().filter(|(key, _)| *key != "needles");
        let lines: Vec<String> = settings.map(|(key, value)| format!("{key} = {value}")).collect();
        let table = lines.join("\n");
        workshop.add_source(
            "set",
            "needles",
            &json!(needles),
            &format!("max_rejects = \"100 %\"\n[source.needles]\n{table}"),
        );
        Self { workshop, settings: all }
    }

    pub(crate) fn build(&self) -> Built {
        self.workshop.build()
    }

    /// What the reference says of a dataset.
    pub(crate) fn check(&self, built: &Built) -> String {
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
        let card = fs::read_to_string(built.dataset.join("README.md")).unwrap();
        assert!(card.contains("- split: test\n") && !card.contains("- split: train\n"), "{card}");
        assert!(card.contains(&format!("| set | v_niah | 6, 16 | 0, 333, 1000 | 1 | 4 | {place} |\n")), "{card}");
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
fn a_clip_takes_as_many_frames_as_it_says() {
    for (place, num_frames) in [("insert", 4 * 3 * (3 * (7 + 17) + (9 + 19))), ("replace", 4 * 3 * 4 * (6 + 16))] {
        let settings = json!({ "place": place, "questions_per_cell": 4 });
        let set = Set::with_needles(&settings, &[needles(), vec![clip()]].concat());
        let built = set.build();
        assert_eq!(built.manifest.total.num_samples, 2 * 3 * 4 * 4, "{:?}", built.outcomes());
        assert_eq!(set.check(&built), format!("96 samples, {num_frames} frames\n"));
        built.verify();
    }
}

#[test]
fn clips_are_ordered_and_counted_among_images_and_texts() {
    let tasks =
        ["retrieval_insert", "retrieval_both", "ordering_insert", "ordering_both", "counting_insert", "counting_both"];
    for place in ["insert", "replace"] {
        let settings = json!({ "place": place, "tasks": tasks, "lengths": [20], "num_needles": 5, "questions_per_cell": 4, "seed": 8 });
        let set = Set::with_needles(&settings, &needles_with_clips());
        let built = set.build();
        assert_eq!(built.outcomes(), [("delivered".to_owned(), 6 * 4 * 4)].into());
        assert!(set.check(&built).starts_with("96 samples, "));
    }
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

#[test]
fn the_grid_has_the_tokens_of_the_samples() {
    let set = Set::new(&json!({ "tasks": ["v_niah", "counting_both"], "lengths": [6, 30] }));
    let pipeline = set.workshop.pipeline();
    let answer = run(&["needles", &pipeline, "--json", "--quiet"], 0);
    let cells: Vec<Value> = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(cells.len(), 2 * (3 + 1));
    let built = set.build();
    for cell in &cells {
        let is_of = |row: &&manyframe_dataset::LedgerRow| {
            let depth = cell["depth"].as_u64().map_or("-".to_owned(), |depth| depth.to_string());
            let key = format!("{}/{}/{depth}/", cell["task"].as_str().unwrap(), cell["length"]);
            row.upstream_id.starts_with(&key)
        };
        let rows: Vec<_> = built.ledger.iter().filter(is_of).collect();
        assert_eq!(cell["num_samples"], rows.len());
        if cell["length"] == 30 {
            assert_eq!(cell["num_rejected"], rows.len());
            assert!(cell["rejection"].as_str().unwrap().contains("21 frames"), "{cell}");
            continue;
        }
        let tokens: Vec<u64> = rows.iter().map(|row| row.measured.unwrap().0.num_tokens()).collect();
        assert_eq!(cell["num_tokens"], json!([tokens.iter().min(), tokens.iter().max()]));
    }
    let table = run(&["needles", &pipeline, "--quiet"], 0);
    assert!(String::from_utf8_lossy(&table.stdout).contains("v_niah of length 30: haystack_too_short"), "{table:?}");
}

/// The tokens that a family's paper or processor states for a visual, from the files that are delivered.
fn tokens_by_law(family: &str, visual: &SampleVisual, first: &SampleImage) -> u64 {
    let num_frames = visual.num_images as u64;
    let cells = |edge_px: u32| u64::from(first.width_px / edge_px) * u64::from(first.height_px / edge_px);
    match (family, visual.kind) {
        // Two frames are seen at once, in cells of 2 × 2 patches.
        ("qwen2.5-vl", VisualKind::Video) => num_frames.div_ceil(2) * cells(28),
        ("qwen3-vl", VisualKind::Video) => num_frames.div_ceil(2) * cells(32),
        ("qwen2.5-vl", _) => cells(28),
        ("qwen3-vl", _) => cells(32),
        ("internvl", VisualKind::Video) => 256 * num_frames,
        // 14 × 14 of a frame and a line break; one of many images is 27 × 27 and a line break.
        ("llava-onevision", VisualKind::Video) => 196 * num_frames + 1,
        ("llava-onevision", _) => 730,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_grid_of_a_model_family_has_the_tokens_of_its_law() {
    for family in ["qwen2.5-vl", "qwen3-vl", "internvl", "llava-onevision"] {
        let tasks = ["v_niah", "counting_both", "image_retrieval"];
        let tasks = &tasks[..if family == "internvl" { 2 } else { 3 }];
        let settings =
            json!({ "tasks": tasks, "images": ["photo*.jpg"], "lengths": [6, 9], "depths": [0, 333, 666, 1000] });
        let mut set = Set::with_needles(&settings, &[needles(), vec![clip()]].concat());
        let tokenizer = crate::families::tokenizer(&set.workshop);
        set.workshop.head = format!(
            "name = \"t\"\n[output]\nformats = [\"parquet\"]\n[format]\ntokenizer = {tokenizer:?}\n[model]\nfamily = {family:?}\n"
        );
        let answer = run(&["needles", &set.workshop.pipeline(), "--json", "--quiet"], 0);
        let cells: Vec<Value> = serde_json::from_slice(&answer.stdout).unwrap();
        let built = set.build();
        let dataset = DatasetReader::open(&built.dataset).unwrap();
        let questions: HashMap<_, _> =
            dataset.needles().unwrap().into_iter().map(|entry| (entry.sample, entry.question)).collect();
        let mut tokens: BTreeMap<(String, u32, Option<u32>), Vec<u64>> = BTreeMap::new();
        for sample in dataset.shards_of_one_format().flat_map(|shard| dataset.samples(shard).unwrap()) {
            let sample = sample.unwrap();
            let question = &questions[&sample.id];
            let by_law =
                sample.visuals.iter().map(|visual| tokens_by_law(family, visual, &sample.images[visual.first_image]));
            assert_eq!(sample.cost.visual_tokens, by_law.sum::<u64>(), "{family}: {question:?}");
            let num_shown: usize = sample.visuals.iter().map(|visual| visual.num_images).sum();
            assert_eq!((num_shown, sample.images.len()), (question.num_shown as usize, num_shown), "{family}");
            let num_ids = sample.tokens.unwrap().input_ids.len() as u64;
            let cell = (question.task.as_str().to_owned(), question.length, question.depth);
            tokens.entry(cell).or_default().push(num_ids);
        }
        assert_eq!(tokens.len(), cells.len(), "{family}: {:?}", built.outcomes());
        for cell in &cells {
            let key = (
                cell["task"].as_str().unwrap().to_owned(),
                cell["length"].as_u64().unwrap() as u32,
                cell["depth"].as_u64().map(|depth| depth as u32),
            );
            let of_cell = &tokens[&key];
            assert_eq!(cell["num_tokens"], json!([of_cell.iter().min(), of_cell.iter().max()]), "{family}: {cell}");
        }
        built.verify();
    }
}

#[test]
fn what_makes_no_set_is_said_before_anything_is_read() {
    for (settings, message) in [
        (json!({ "lengths": [] }), "needles: has no lengths: numbers of frames, such as [64, 128]"),
        (json!({ "depths": [1001] }), "needles: has a depth of more than 1000 thousandths"),
        (json!({ "tasks": ["image_counting"] }), "needles: has no images among which needles are hidden"),
        (json!({ "tasks": ["ordering_insert"] }), "ordering_insert needs 4 images or clips, there are 3"),
        (json!({ "num_needles": 1 }), "needles: has num_needles that are not from 2 to 64"),
        (
            json!({ "tasks": ["counting_insert"], "num_needles": 3 }),
            "needles: has num_options = 4, and counting_insert has 3 answers: raise `num_needles`",
        ),
        (
            json!({ "tasks": ["image_retrieval"], "images": ["photo*.jpg"], "depths": [0, 10, 500, 1000], "lengths": [9] }),
            "image_retrieval among 9 images has 3 places for 4 depths",
        ),
        (
            json!({ "haystack_sources": ["films"] }),
            "source.set.needles.haystack_sources names \"films\", which is no source of this file, or one of needles",
        ),
        (json!({ "image_sources": ["set"] }), "source.set.needles.image_sources names \"set\""),
        (json!({ "haystacks": ["nothing/*.mp4"] }), "no file in a directory of media matches \"nothing/*.mp4\""),
    ] {
        let set = Set::new(&settings);
        let failed = run(&["build", &set.workshop.pipeline(), "--output", &set.workshop.text("out"), "--quiet"], 2);
        let stderr = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(stderr.contains(message), "{stderr}");
    }
    // A table with a mistake is not missing.
    let set = Set::new(&json!({ "num_neeedles": 3 }));
    let failed = run(&["check", &set.workshop.pipeline()], 2);
    let stderr = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(stderr.contains("num_neeedles") && !stderr.contains("needles is missing"), "{stderr}");
    let mut endless = clip();
    endless.as_object_mut().unwrap().remove("num_frames");
    let set = Set::with_needles(&json!({}), &[endless]);
    let failed = run(&["build", &set.workshop.pipeline(), "--output", &set.workshop.text("out"), "--quiet"], 2);
    assert!(
        String::from_utf8_lossy(&failed.stderr).contains("the clip of \"a wave\" needs `num_frames`"),
        "{failed:?}"
    );
    let mut telling = needles();
    telling[0]["question"] = json!("Is the tint of the board Amber?");
    let set = Set::with_needles(&json!({}), &telling);
    let failed = run(&["plan", &set.workshop.pipeline(), "--output", &set.workshop.text("out"), "--quiet"], 2);
    assert!(
        String::from_utf8_lossy(&failed.stderr).contains("the question about \"board 0\" names its answer, \"amber\""),
        "{failed:?}"
    );
}

#[test]
fn a_free_answer_has_no_options() {
    let set = Set::new(&json!({ "num_options": 0, "lengths": [5], "depths": [0] }));
    let built = set.build();
    assert!(set.check(&built).starts_with("1 samples, "));
    let sample = built.sample(&built.ledger[0].id.to_string());
    assert!(sample["prompt"].as_str().unwrap().contains("using a single word or phrase."), "{sample}");
}
