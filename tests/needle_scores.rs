//! Promise: `manyframe validate --needles` scores what a model sees, and nothing else: whoever finds the needle has a map of ones, whoever
//! cannot is at chance, and the order of options is no matter.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use manyframe_core::Digest;
use manyframe_dataset::{DatasetReader, NeedleEntry};
use manyframe_engine::DatasetQuestions;
use manyframe_media::RgbImage;
use manyframe_validate::measure::{Meter, ModelFacts};
use manyframe_validate::needles::{NeedleReport, NeedleRun, QuestionSource, Scorer};
use manyframe_validate::{ContinuationScore, PromptEntry, SequenceSizes, ValidateError};
use serde_json::{Value, json};

use crate::support::{Workshop, encode, manyframe, run, stdout};

/// What the needles are, and the channel that is brightest in them.
const TINTS: [(&str, usize); 3] = [("rouge", 0), ("olive", 1), ("azure", 2)];
/// Two lengths, four depths, three needles, and four options in every order.
const NUM_QUESTIONS: u64 = 2 * 4 * 3 * 4;

/// A checkered picture, which is gray without a channel.
fn board(number: u32, channel: Option<usize>) -> Vec<u8> {
    let image = image::RgbImage::from_fn(96, 72, |x, y| {
        let is_bright = (x / (7 + 5 * number) + y / (23 - 4 * number)).is_multiple_of(2);
        let level = if is_bright { 230 } else { 30 };
        image::Rgb(std::array::from_fn(|at| if channel.is_none_or(|channel| channel == at) { level } else { 20 }))
    });
    encode(&image, image::ImageFormat::Png)
}

/// A gray picture of waves.
fn haystack_picture(number: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(80, 60, |x, y| image::Rgb([((x * (number + 1) + y * y / 9) % 251) as u8; 3]));
    encode(&image, image::ImageFormat::Png)
}

/// An evaluation set in `out`: which tint a board has among gray pictures. Without needles, the boards are gray.
fn workshop(has_needles: bool) -> Workshop {
    let mut workshop = Workshop::new();
    (0..10).for_each(|number| _ = workshop.write(&format!("media/hay{number}.png"), haystack_picture(number)));
    let mut needles = Vec::new();
    for (number, (tint, channel)) in (0_u32..).zip(TINTS) {
        let picture = format!("needle{number}.png");
        workshop.write(&format!("media/{picture}"), board(number, Some(channel).filter(|_| has_needles)));
        let wrong: Vec<&str> =
            TINTS.iter().map(|(name, _)| *name).chain(["lilac"]).filter(|name| *name != tint).collect();
        needles.push(json!({ "name": format!("board {number}"), "image": picture, "answer": tint, "wrong": wrong,
                             "question": format!("Which tint has board {number}?") }));
    }
    let settings = "[source.needles]\nimages = [\"hay*.png\"]\ntasks = [\"image_retrieval\"]\nlengths = [4, 8]\n\
                    depths = [0, 333, 666, 1000]\nquestions_per_cell = 3\nnum_options = 4\nplace = \"replace\"\n";
    workshop.add_source("s", "needles", &Value::from(needles), settings);
    let built = workshop.build();
    assert_eq!(built.manifest.total.num_samples, NUM_QUESTIONS, "{:?}", built.outcomes());
    workshop
}

/// What a text says, by its ids, and which of the images before it have a tint, as options name them.
#[derive(Clone, Default)]
struct Read {
    text: Vec<u32>,
    num_images: usize,
    tinted: Vec<String>,
}

/// Whether one channel is much brighter than the others.
fn has_tint(image: &RgbImage) -> bool {
    let sum =
        |channel: usize| image.pixels().iter().skip(channel).step_by(3).map(|level| u64::from(*level)).sum::<u64>();
    let is_brightest = |channel: usize| (0..3).all(|other| other == channel || sum(channel) > 2 * sum(other));
    TINTS.iter().any(|(_, channel)| is_brightest(*channel))
}

/// Knows the question by its text, and its answer by the pixels alone.
struct Oracle {
    /// By the ids after the last image: the text of each option by the ids of its letter.
    options: HashMap<Vec<u32>, BTreeMap<Vec<u32>, String>>,
}

impl Oracle {
    fn of(questions: &DatasetQuestions, entries: &HashMap<String, NeedleEntry>) -> Self {
        let mut options: HashMap<Vec<u32>, BTreeMap<Vec<u32>, String>> = HashMap::new();
        let ids = |ids: &[i64]| -> Vec<u32> { ids.iter().filter_map(|id| u32::try_from(*id).ok()).collect() };
        for index in 0..questions.len() {
            let sample = questions.read(index).unwrap();
            let entry = &entries[&sample.facts.id.to_string()];
            for prompts in [&sample.prompts, &sample.blind] {
                for (prompt, option) in prompts.iter().zip(&entry.question.options) {
                    let after = prompt.input_ids.iter().rposition(|id| *id < 0).map_or(0, |last| last + 1);
                    let of_question = options.entry(ids(&prompt.input_ids[after..])).or_default();
                    of_question.insert(ids(&prompt.answer), option.text.clone());
                }
            }
        }
        Self { options }
    }
}

impl Scorer for Oracle {
    type Prefix = Read;

    fn begin(&self) -> Result<Read, ValidateError> {
        Ok(Read::default())
    }

    fn extend<E: From<ValidateError>>(
        &self,
        read: &mut Read,
        entries: &[PromptEntry],
        read_image: &mut dyn FnMut(usize) -> Result<RgbImage, E>,
    ) -> Result<(), E> {
        let mut num_images = 0;
        for entry in entries {
            match entry {
                PromptEntry::Token(id) => read.text.push(*id),
                PromptEntry::Image(_) => {
                    let image = read_image(num_images)?;
                    num_images += 1;
                    read.text.clear();
                    read.num_images += 1;
                    if has_tint(&image) {
                        read.tinted.push(format!("Image {}", read.num_images));
                    }
                }
            }
        }
        Ok(())
    }

    fn score(&self, read: &Read, answer: &[u32]) -> Result<ContinuationScore, ValidateError> {
        let text = &self.options[&read.text][answer];
        let is_greedy = read.tinted.contains(text);
        Ok(ContinuationScore { log_likelihood: if is_greedy { -0.01 } else { -9.0 }, is_greedy })
    }
}

struct StoppedMeter;

impl Meter for StoppedMeter {
    fn seconds(&self) -> f64 {
        0.0
    }
}

fn asked_of_oracle(workshop: &Workshop) -> NeedleReport {
    let dataset = DatasetReader::open(&workshop.path("out")).unwrap();
    let entries = dataset.needles().unwrap().into_iter().map(|entry| (entry.sample.to_string(), entry)).collect();
    let questions = DatasetQuestions::open(&dataset, &BTreeMap::new()).unwrap();
    let oracle = Oracle::of(&questions, &entries);
    let sizes = SequenceSizes { tokens_per_image: 144, vocab_size: 65_536 };
    let run = NeedleRun { questions: &questions, scorer: &oracle, sizes, has_tower: true, meter: &StoppedMeter };
    let (measures, usage) = run.run(&workshop.path("journal"), &manyframe_base::NoProgress).unwrap();
    let model = ModelFacts {
        digest: Digest::of(b"oracle"),
        num_parameters: 0,
        vocab_size: 65_536,
        tokens_per_image: 144,
        is_random: false,
        device: "cpu".to_owned(),
        dtype: "f32".to_owned(),
    };
    NeedleReport::new(&measures, model, usage)
}

#[test]
fn an_oracle_that_reads_pixels_has_a_map_of_ones_and_is_at_chance_without_needles() {
    let found = asked_of_oracle(&workshop(true));
    assert_eq!((found.total.num_questions, found.total.num_unusable), (NUM_QUESTIONS, 0));
    assert_eq!(found.cells.len(), 8);
    for cell in &found.cells {
        // Whatever the order of the options.
        assert_eq!((cell.measures.num_right, cell.measures.num_right_groups), (12, 3), "{:?}", cell.cell);
    }
    assert!(found.control.is_at_chance, "{:?}", found.control);
    assert!(!found.total.chance.contains(found.total.accuracy));
    assert!(found.usage.sharing().unwrap() > 2.0, "{:?}", found.usage);
    let removed = asked_of_oracle(&workshop(false));
    assert!(removed.total.chance.contains(removed.total.accuracy), "{:?}", removed.total);
    assert_eq!(removed.total.num_right_groups, 0);
}

#[test]
fn a_model_is_asked_and_its_scores_are_a_table_a_picture_a_report_and_a_page() {
    let workshop = workshop(true);
    let (dataset, model) = (workshop.text("out"), workshop.text("model"));
    run(&["model", "init", &model, "--seed", "4"], 0);
    let arguments = ["validate", &dataset, "--model", &model, "--needles", "--device", "cpu", "--quiet"];
    let text = stdout(&arguments);
    assert!(
        text.contains("96 questions") && text.contains("as text alone") && text.contains("image_retrieval"),
        "{text}"
    );
    let read =
        || -> Value { serde_json::from_slice(&fs::read(workshop.path("out/needle-scores.json")).unwrap()).unwrap() };
    let report = read();
    assert_eq!(report["total"]["num_questions"], NUM_QUESTIONS);
    assert_eq!(report["total"]["num_unusable"], 0);
    for name in ["table", "heat_map"] {
        let file = fs::read(workshop.path("out").join(report[name]["path"].as_str().unwrap())).unwrap();
        assert_eq!(json!(Digest::of(&file)), report[name]["digest"], "{name}");
    }
    let page = workshop.text("page.html");
    run(&["report", &dataset, "--output", &page], 0);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<h2>Needles</h2>") && page.contains("depth of the needle") && !page.contains("http://"));
    // The same again, but for the clock.
    run(&arguments, 0);
    let mut again = read();
    again["usage"] = report["usage"].clone();
    assert_eq!(again, report);
    // A dataset without questions is a usage error, and so is a choice of samples.
    let mut other = Workshop::new();
    other.add_source("t", "text", &json!([{ "id": "t", "text": "A text." }]), "").build();
    run(&["validate", &other.text("out"), "--model", &model, "--needles", "--quiet"], 2);
    run(&[&arguments[..], &["--samples", "3"]].concat(), 2);
}

#[test]
fn a_run_that_is_killed_goes_on_with_the_next_question() {
    let workshop = workshop(true);
    let (dataset, model) = (workshop.text("out"), workshop.text("model"));
    run(&["model", "init", &model, "--seed", "4"], 0);
    let arguments = ["validate", &dataset, "--model", &model, "--needles", "--device", "cpu", "--quiet"];
    let mut child = manyframe(&arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
    let journal = || {
        let work = fs::read_dir(workshop.path("out.work")).ok()?;
        let mut files = work.filter_map(|entry| Some(entry.ok()?.path()));
        let file = files.find(|path| path.extension().is_some_and(|end| end == "jsonl"))?;
        Some(fs::read_to_string(file).ok()?.lines().filter(|line| line.starts_with('{')).count())
    };
    // Until some questions are in the journal.
    while journal().unwrap_or(0) < 4 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let num_kept = journal().unwrap() as u64;
    assert!((4..NUM_QUESTIONS).contains(&num_kept), "{num_kept}");
    let report: Value = serde_json::from_str(&stdout(&[&arguments[..], &["--json"]].concat())).unwrap();
    assert_eq!(report["usage"]["num_questions"], NUM_QUESTIONS - num_kept);
    assert_eq!(report["total"]["num_questions"], NUM_QUESTIONS);
}
