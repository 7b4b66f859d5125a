//! Questions about needles: a model that finds them has a map of ones, one that cannot see them is at chance, and what is cut off goes on.

use std::cell::Cell as Counter;
use std::ops::Range;
use std::path::Path;

use manyframe_base::NoProgress;
use manyframe_core::{Digest, RecordId};
use manyframe_media::RgbImage;
use manyframe_validate::measure::{Meter, ModelFacts};
use manyframe_validate::needles::{
    Cell, NeedleReport, NeedleRun, NeedleSample, NeedleUsage, OptionPrompt, QuestionFacts, QuestionImage,
    QuestionMeasure, QuestionSource, Scorer, needle_table_schema, write_needle_table,
};
use manyframe_validate::{
    ContinuationScore, HybridModel, IMAGE, PromptEntry, SequenceSizes, Unusable, ValidateError, prompt_entries,
};

use crate::planted::{self, COLOURS, FIRST_COLOUR, VOCAB_SIZE, planted_model};

const LENGTHS: [u64; 3] = [2, 5, 12];
const DEPTHS: [u32; 3] = [0, 500, 1000];
const NUM_OPTIONS: u64 = 3;

/// What haystacks show at the place of the needle.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Needle,
    Gray,
}

/// Every length, depth and colour, with the options in every order.
struct Haystacks {
    shown: Shown,
    /// Whether the prompt names the right answer.
    is_leaky: bool,
    /// The first question that cannot be read.
    broken_from: Counter<usize>,
    /// Length and position of a gray frame that is no image.
    damaged: Option<(u64, u64)>,
}

impl Haystacks {
    fn new(shown: Shown) -> Self {
        Self { shown, is_leaky: false, broken_from: Counter::new(usize::MAX), damaged: None }
    }

    fn num_questions() -> usize {
        LENGTHS.len() * DEPTHS.len() * COLOURS.len() * NUM_OPTIONS as usize
    }
}

/// A picture as a file without loss.
fn file_of(picture: &RgbImage) -> QuestionImage {
    let pixels = image::RgbImage::from_raw(picture.width_px(), picture.height_px(), picture.pixels().to_vec()).unwrap();
    let mut file = std::io::Cursor::new(Vec::new());
    pixels.write_to(&mut file, image::ImageFormat::Png).unwrap();
    QuestionImage(file.into_inner())
}

/// Position of a needle.
fn needle_index(length: u64, depth: u32) -> u64 {
    (u64::from(depth) * length / 1000).min(length - 1)
}

impl QuestionSource for Haystacks {
    type Error = ValidateError;

    fn batches(&self) -> Vec<Range<usize>> {
        let per_length = Self::num_questions() / LENGTHS.len();
        (0..LENGTHS.len()).map(|length| length * per_length..(length + 1) * per_length).collect()
    }

    fn read(&self, index: usize) -> Result<NeedleSample, ValidateError> {
        if index >= self.broken_from.get() {
            return Err(ValidateError::Unfit { detail: "the disk is gone".to_owned() });
        }
        let (permutation, rest) = (index as u64 % NUM_OPTIONS, index / NUM_OPTIONS as usize);
        let (colour, rest) = (rest % COLOURS.len(), rest / COLOURS.len());
        // Only the leaky ones read differently from cell to cell.
        let cell = if self.is_leaky { rest as i64 } else { 0 };
        let (depth, length) = (DEPTHS[rest % DEPTHS.len()], LENGTHS[rest / DEPTHS.len()]);
        let place = needle_index(length, depth);
        let show = |frame: u64| {
            let is_needle = frame == place && self.shown == Shown::Needle;
            if !is_needle && self.damaged == Some((length, frame)) {
                return QuestionImage(b"no image".to_vec());
            }
            file_of(&planted::image(if is_needle { COLOURS[colour] } else { [20 + 17 * frame as u8; 3] }))
        };
        let images: Vec<QuestionImage> = (0..length).map(show).collect();
        let option = |position: u64| FIRST_COLOUR + ((position + permutation) % NUM_OPTIONS) as i64;
        let options: Vec<i64> = (0..NUM_OPTIONS).map(option).collect();
        // A question about each colour, with its options named in order.
        let hint = if self.is_leaky { FIRST_COLOUR + colour as i64 } else { 7 };
        let question = [&[3, 13 + cell, 25 + colour as i64], options.as_slice(), &[hint, 5]].concat();
        let frames: Vec<i64> = images.iter().flat_map(|_| [IMAGE, 2]).collect();
        let prompt = |input_ids: Vec<i64>| -> Vec<OptionPrompt> {
            let answered = |answer: &i64| OptionPrompt { input_ids: input_ids.clone(), answer: vec![*answer] };
            options.iter().map(answered).collect()
        };
        let right = options.iter().position(|id| *id == FIRST_COLOUR + colour as i64).unwrap() as u64;
        Ok(NeedleSample {
            facts: QuestionFacts {
                id: RecordId::from_digest(Digest::of(&index.to_le_bytes())),
                source: "s".to_owned(),
                task: "v_niah".to_owned(),
                cell: Cell { length, depth: Some(depth) },
                group: format!("{length} {depth} {colour}"),
                permutation,
                num_permutations: NUM_OPTIONS,
                num_options: NUM_OPTIONS,
                right,
            },
            prompts: prompt([&[1], frames.as_slice(), &question].concat()),
            blind: prompt([&[1], question.as_slice()].concat()),
            images,
        })
    }
}

/// A clock that never moves.
struct StoppedMeter;

impl Meter for StoppedMeter {
    fn seconds(&self) -> f64 {
        0.0
    }
}

const SIZES: SequenceSizes = SequenceSizes { tokens_per_image: 36, vocab_size: VOCAB_SIZE };

fn ask<S: Scorer>(
    questions: &Haystacks,
    scorer: &S,
    journal: &Path,
) -> Result<(Vec<QuestionMeasure>, NeedleUsage), ValidateError> {
    let run = NeedleRun { questions, scorer, sizes: SIZES, has_tower: true, meter: &StoppedMeter };
    run.run(journal, &NoProgress)
}

fn asked<S: Scorer>(questions: &Haystacks, scorer: &S) -> NeedleReport {
    let folder = tempfile::tempdir().unwrap();
    let (measures, usage) = ask(questions, scorer, &folder.path().join("journal")).unwrap();
    report(&measures, usage)
}

fn report(measures: &[QuestionMeasure], usage: NeedleUsage) -> NeedleReport {
    let model = ModelFacts {
        digest: Digest::of(b"model"),
        num_parameters: 1,
        vocab_size: VOCAB_SIZE,
        tokens_per_image: 36,
        is_random: false,
        device: "cpu".to_owned(),
        dtype: "f32".to_owned(),
    };
    NeedleReport::new(measures, model, usage)
}

#[test]
fn a_model_that_finds_the_needle_has_a_map_of_ones() {
    // One window, and windows that cut haystacks.
    for window_tokens in [4096, 50] {
        let report = asked(&Haystacks::new(Shown::Needle), &planted_model(window_tokens));
        assert_eq!(report.total.num_questions, Haystacks::num_questions() as u64);
        assert_eq!(report.cells.len(), LENGTHS.len() * DEPTHS.len());
        for cell in &report.cells {
            assert_eq!((cell.measures.num_questions, cell.measures.num_right), (9, 9), "{:?}", cell.cell);
            assert_eq!((cell.measures.num_groups, cell.measures.num_right_groups), (3, 3), "{:?}", cell.cell);
            assert_eq!(cell.measures.num_greedy, 9, "{:?}", cell.cell);
        }
        // Without pictures it can only guess.
        assert!(report.control.is_at_chance && report.control.num_distinct == 3, "{:?}", report.control);
        assert!(!report.total.chance.contains(report.total.accuracy), "{:?}", report.total);
        assert!(report.usage.sharing().unwrap() > 3.0, "{:?}", report.usage);
    }
}

#[test]
fn without_its_needles_a_haystack_is_at_chance() {
    let report = asked(&Haystacks::new(Shown::Gray), &planted_model(4096));
    assert!(report.total.chance.contains(report.total.accuracy), "{:?}", report.total);
    assert!((report.total.accuracy - 1.0 / 3.0).abs() < 1e-9, "{:?}", report.total);
    assert_eq!(report.total.num_right_groups, 0);
}

#[test]
fn the_score_of_a_permutation_is_that_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let haystacks = Haystacks::new(Shown::Needle);
    let measures = ask(&haystacks, &planted_model(4096), &folder.path().join("journal")).unwrap().0;
    for group in measures.chunks(NUM_OPTIONS as usize) {
        let likelihoods = |measure: &QuestionMeasure| {
            let mut by_option: Vec<f64> =
                measure.seen.as_ref().unwrap().log_likelihoods.iter().map(|value| value.unwrap()).collect();
            by_option.rotate_right(measure.facts.permutation as usize);
            by_option
        };
        for measure in group {
            for (one, other) in likelihoods(&group[0]).iter().zip(likelihoods(measure)) {
                assert!((one - other).abs() < 1e-4, "{one} {other}");
            }
        }
    }
}

/// Reads the right answer out of the text, as whoever sees no picture could: it is the token before the last.
struct TextReader;

impl Scorer for TextReader {
    type Prefix = Vec<PromptEntry>;

    fn begin(&self) -> Result<Self::Prefix, ValidateError> {
        Ok(Vec::new())
    }

    fn extend<E: From<ValidateError>>(
        &self,
        prefix: &mut Self::Prefix,
        entries: &[PromptEntry],
        _read_image: &mut dyn FnMut(usize) -> Result<RgbImage, E>,
    ) -> Result<(), E> {
        prefix.extend(entries);
        Ok(())
    }

    fn score(&self, prefix: &Self::Prefix, answer: &[u32]) -> Result<ContinuationScore, ValidateError> {
        let is_greedy = prefix.iter().rev().nth(1) == Some(&PromptEntry::Token(answer[0]));
        Ok(ContinuationScore { log_likelihood: if is_greedy { -0.1 } else { -5.0 }, is_greedy })
    }
}

#[test]
fn text_that_gives_answers_away_is_found_out() {
    let questions = Haystacks { is_leaky: true, ..Haystacks::new(Shown::Needle) };
    let report = asked(&questions, &TextReader);
    assert!((report.control.accuracy.unwrap() - 1.0).abs() < 1e-9);
    assert!(!report.control.is_at_chance && report.control.num_distinct == 27, "{:?}", report.control);
    // Of questions that all read like one of three, three may be right by chance.
    let few = asked(&Haystacks::new(Shown::Needle), &planted_model(4096)).control;
    assert!(few.num_distinct == 3 && few.chance.contains(1.0), "{few:?}");
}

#[test]
fn a_task_of_several_sources_is_told_apart_by_them() {
    let folder = tempfile::tempdir().unwrap();
    let (mut measures, usage) =
        ask(&Haystacks::new(Shown::Needle), &TextReader, &folder.path().join("journal")).unwrap();
    let task = measures[0].facts.task.clone();
    let names = |measures: &[QuestionMeasure]| {
        let report = report(measures, usage);
        assert_eq!(report.by_task.values().map(|it| it.num_questions).sum::<u64>(), report.total.num_questions);
        assert!(report.cells_by_task.keys().eq(report.by_task.keys()));
        report.by_task.into_iter().map(|(name, measures)| (name, measures.num_questions)).collect::<Vec<_>>()
    };
    assert_eq!(names(&measures), [(task.clone(), 81)]);
    measures.iter_mut().take(27).for_each(|measure| measure.facts.source = "fruits".to_owned());
    assert_eq!(names(&measures), [(format!("{task} (fruits)"), 27), (format!("{task} (s)"), 54)]);
}

#[test]
fn a_run_that_was_cut_off_and_continued_scores_the_same() {
    let (model, folder) = (planted_model(4096), tempfile::tempdir().unwrap());
    let whole = ask(&Haystacks::new(Shown::Needle), &model, &folder.path().join("whole")).unwrap();
    let journal = folder.path().join("journal");
    let questions = Haystacks::new(Shown::Needle);
    questions.broken_from.set(30);
    assert!(ask(&questions, &model, &journal).is_err());
    let kept = std::fs::read_to_string(&journal).unwrap().lines().filter(|line| line.starts_with('{')).count();
    assert_eq!(kept, 27, "the questions of the first length");
    let mut file = std::fs::OpenOptions::new().append(true).open(&journal).unwrap();
    std::io::Write::write_all(&mut file, br#"{"first": 27, "measures": [{"facts""#).unwrap();
    questions.broken_from.set(usize::MAX);
    let (again, usage) = ask(&questions, &model, &journal).unwrap();
    assert_eq!(again, whole.0);
    assert_eq!((usage.num_questions, whole.1.num_questions), (54, 81));
}

#[test]
fn a_question_that_cannot_be_asked_says_why_and_is_not_right() {
    let folder = tempfile::tempdir().unwrap();
    let model = planted_model(4096);
    let run = NeedleRun {
        questions: &Haystacks::new(Shown::Needle),
        scorer: &model,
        sizes: SequenceSizes { vocab_size: 12, ..SIZES },
        has_tower: true,
        meter: &StoppedMeter,
    };
    let (measures, usage) = run.run(&folder.path().join("journal"), &NoProgress).unwrap();
    let report = report(&measures, usage);
    assert_eq!((report.total.num_unusable, report.total.num_right, usage.num_questions), (81, 0, 0));
    assert_eq!(report.unusable.len(), 20);
}

#[test]
fn an_image_that_cannot_be_decoded_costs_the_questions_that_show_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let questions = Haystacks { damaged: Some((5, 4)), ..Haystacks::new(Shown::Needle) };
    let (measures, usage) = ask(&questions, &planted_model(4096), &journal).unwrap();
    for measure in &measures {
        // At the greatest depth the needle is in place of that frame.
        let is_lost = measure.facts.cell == Cell { length: 5, depth: Some(0) }
            || measure.facts.cell == Cell { length: 5, depth: Some(500) };
        assert_eq!(measure.unusable.map(Unusable::as_str), is_lost.then_some("undecodable_image"));
        assert_eq!(measure.is_right(), !is_lost, "{:?}", measure.facts);
    }
    // Neither asked again nor forgotten.
    let (again, usage_again) = ask(&questions, &planted_model(4096), &journal).unwrap();
    assert_eq!((again == measures, usage_again.num_questions), (true, 0));
    let report = report(&measures, usage);
    assert_eq!((report.total.num_unusable, report.unusable.len(), report.total.num_right), (18, 18, 63));
}

#[test]
fn the_table_has_a_row_per_question_and_describes_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let measures = ask(&Haystacks::new(Shown::Needle), &TextReader, &journal).unwrap().0;
    let path = folder.path().join("scores.parquet");
    write_needle_table(&path, &measures).unwrap();
    let table = manyframe_columnar::RowReader::open(&path).unwrap();
    assert_eq!(table.num_rows(), measures.len() as u64);
    let schema = needle_table_schema();
    let mut described: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut columns = table.column_names();
    described.sort_unstable();
    columns.sort_unstable();
    assert_eq!(columns, described);
}

#[test]
fn a_likelihood_of_several_tokens_is_the_sum_of_theirs() {
    let model: HybridModel = planted_model(4096);
    let prefix = |ids: &[i64]| {
        let mut prefix = model.begin().unwrap();
        let entries = prompt_entries(ids, &[], SIZES).unwrap();
        let none = &mut |_: usize| -> Result<RgbImage, ValidateError> { panic!("no image") };
        model.extend(&mut prefix, &entries, none).unwrap();
        prefix
    };
    let both = model.score(&prefix(&[1, 3]), &[10, 11]).unwrap().log_likelihood;
    let first = model.score(&prefix(&[1, 3]), &[10]).unwrap().log_likelihood;
    let second = model.score(&prefix(&[1, 3, 10]), &[11]).unwrap().log_likelihood;
    assert!((both - first - second).abs() < 1e-5);
}
