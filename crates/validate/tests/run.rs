//! A run over samples: what is measured, that it goes on where it stopped, and the verdict of the policy.

use std::path::Path;

use candle_core::Device;
use manyframe_base::NoProgress;
use manyframe_core::{Digest, Layout, RecordId};
use manyframe_media::RgbImage;
use manyframe_validate::checkpoint::Preset;
use manyframe_validate::measure::{
    Controls, Footprint, LimitedMeasure, Meter, ModelFacts, POSITION_BOUNDS, Policy, Report, ReportContext, RunOptions,
    RunUsage, SampleMeasure, SampleSource, ValidationRun, Verdict,
};
use manyframe_validate::{
    Checkpoint, HybridModel, IGNORED, IMAGE, ImageTokens, ModelOptions, TokenCounts, Unusable, ValidateError,
    ValidationSample, write_random,
};

struct Samples {
    all: Vec<ValidationSample>,
    lengths: Vec<u64>,
    /// The first sample that cannot be read.
    broken_from: usize,
}

impl SampleSource for Samples {
    type Error = ValidateError;

    fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    fn has_images(&self, index: usize) -> bool {
        !self.all[index].images.is_empty()
    }

    fn read(&self, index: usize) -> Result<ValidationSample, ValidateError> {
        if index >= self.broken_from {
            return Err(ValidateError::Unfit { detail: "the disk is gone".to_owned() });
        }
        Ok(self.all[index].clone())
    }
}

/// A clock that never moves.
struct StoppedMeter;

impl Meter for StoppedMeter {
    fn seconds(&self) -> f64 {
        0.0
    }
}

fn sample(number: u64, num_images: usize, labels: &[i64]) -> ValidationSample {
    let id = RecordId::from_digest(Digest::of(&number.to_le_bytes()));
    let mut input_ids = vec![IMAGE; num_images];
    input_ids.extend((0..labels.len() as i64).map(|position| (position * 7 + number as i64) % 100));
    let mut all_labels = vec![IGNORED; num_images];
    all_labels.extend(labels);
    let images = (0..num_images).map(|image| RgbImage::gray(30, 20, (image * 90) as u8 + number as u8 * 20).unwrap());
    let layout = if num_images == 0 { Layout::Text } else { Layout::Image };
    let stated =
        TokenCounts { text: labels.len() as u64, delimiters: num_images as u64, visual: 36 * num_images as u64 };
    ValidationSample {
        id,
        source: "s".to_owned(),
        layout,
        input_ids,
        labels: all_labels,
        images: images.collect(),
        stated,
        bare_tokens: Some((labels.len() - num_images) as u64),
    }
}

fn samples() -> Samples {
    let samples = vec![
        sample(0, 0, &[IGNORED, 5, 6, IGNORED, 7]),
        sample(1, 1, &[IGNORED, 5, 6]),
        sample(2, 2, &[IGNORED, 3, 4]),
        sample(3, 0, &[IGNORED; 4]),
        sample(4, 0, &[IGNORED, 100]),
        ValidationSample { stated: TokenCounts { text: 9, ..TokenCounts::default() }, ..sample(5, 0, &[IGNORED, 2]) },
    ];
    let lengths = samples.iter().map(|sample| sample.stated.text + sample.stated.visual).collect();
    Samples { all: samples, lengths, broken_from: usize::MAX }
}

fn model() -> (HybridModel, Checkpoint) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("model");
    let mut config = Preset::Tiny.config();
    config.language.vocab_size = 100;
    write_random(&directory, &config, 5).unwrap();
    let checkpoint = Checkpoint::open(&directory).unwrap();
    assert!(checkpoint.is_random());
    let options = ModelOptions { image_tokens: ImageTokens::TwoD { edge: 6 }, ..ModelOptions::on(Device::Cpu) };
    (HybridModel::read(&checkpoint, options).unwrap(), checkpoint)
}

const OPTIONS: RunOptions = RunOptions { batch_tokens: 90, controls: Controls::All };

fn report(measures: &[SampleMeasure], checkpoint: &Checkpoint) -> Report {
    let model = ModelFacts {
        digest: checkpoint.digest(),
        num_parameters: 1,
        vocab_size: 100,
        tokens_per_image: 36,
        is_random: true,
        device: "cpu".to_owned(),
        dtype: "f32".to_owned(),
    };
    let footprint = Footprint::of(checkpoint.config(), 4, 4096);
    let (policy, usage) = (Policy::default(), RunUsage::default());
    Report::new(measures, ReportContext { model, footprint, policy, usage })
}

fn run(
    model: &HybridModel,
    samples: &Samples,
    journal: &Path,
) -> Result<(Vec<SampleMeasure>, RunUsage), ValidateError> {
    ValidationRun { model, samples, options: OPTIONS, meter: &StoppedMeter }.run(journal, &NoProgress)
}

#[test]
fn every_sample_is_measured_or_says_why_not() {
    let (model, checkpoint) = model();
    let (samples, folder) = (samples(), tempfile::tempdir().unwrap());
    let (measures, usage) = run(&model, &samples, &folder.path().join("journal")).unwrap();
    assert_eq!(measures.iter().map(|measure| measure.num_labels).collect::<Vec<_>>(), [3, 2, 2, 0, 0, 1]);
    assert_eq!(measures[0].answers.iter().map(|answer| answer.num_labels).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(measures[4].unusable, Some(Unusable::UnknownId));
    assert_eq!(
        measures.iter().map(SampleMeasure::is_as_stated).collect::<Vec<_>>(),
        [true, true, true, true, true, false]
    );
    for (measure, has_images) in measures.iter().zip([false, true, true, false, false, false]) {
        assert_eq!(measure.gain_over_blank().is_some(), has_images);
        assert_eq!(measure.gain_over_other().is_some(), has_images);
    }
    // 3 of their own, a blank one per batch, and those of a partner for each of the two samples with images.
    assert_eq!(usage.num_images, 3 + 2 + 3);
    let report = report(&measures, &checkpoint);
    assert_eq!(report.verdict, Verdict::Fail);
    let failed: Vec<_> =
        report.findings.iter().filter(|f| f.verdict == Verdict::Fail).map(|finding| finding.measure).collect();
    assert_eq!(failed, [LimitedMeasure::MismatchedTokens, LimitedMeasure::Unusable, LimitedMeasure::WithoutLabels]);
    assert!(report.random_distance().unwrap() < 0.2);
    assert_eq!(report.by_images.keys().collect::<Vec<_>>(), ["0", "1", "2-3"]);
    assert_eq!(report.unusable, [samples.all[4].id]);
}

#[test]
fn a_run_that_was_cut_off_and_continued_measures_the_same() {
    let (model, _) = model();
    let folder = tempfile::tempdir().unwrap();
    let whole = run(&model, &samples(), &folder.path().join("whole")).unwrap().0;
    let journal = folder.path().join("journal");
    let broken = Samples { broken_from: 4, ..samples() };
    assert!(run(&model, &broken, &journal).is_err());
    let kept = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(kept.lines().filter(|line| line.starts_with('{')).count(), 1, "the first batch is done");
    // Half a line at the end.
    let mut file = std::fs::OpenOptions::new().append(true).open(&journal).unwrap();
    std::io::Write::write_all(&mut file, br#"{"first": 3, "measures": [{"id""#).unwrap();
    let (again, usage) = run(&model, &samples(), &journal).unwrap();
    assert_eq!(again, whole);
    // The first batch was not run again.
    assert!(usage.num_images < 8);
}

#[test]
fn the_table_has_a_row_per_sample_and_describes_its_columns() {
    let (model, _) = model();
    let (samples, folder) = (samples(), tempfile::tempdir().unwrap());
    let measures = run(&model, &samples, &folder.path().join("journal")).unwrap().0;
    let path = folder.path().join("validation.parquet");
    manyframe_validate::measure::write_table(&path, &measures).unwrap();
    let table = manyframe_columnar::RowReader::open(&path).unwrap();
    assert_eq!(table.num_rows(), 6);
    let schema = manyframe_validate::measure::table_schema();
    let described =
        schema["properties"].as_object().unwrap().iter().filter(|(_, property)| property["description"].is_string());
    let described: std::collections::BTreeSet<_> = described.map(|(name, _)| name.as_str()).collect();
    assert_eq!(table.column_names().into_iter().collect::<std::collections::BTreeSet<_>>(), described);
    let by_position = table.column_names().into_iter().filter(|name| name.starts_with("loss_from"));
    assert!(by_position.eq(&POSITION_BOUNDS.map(|from| format!("loss_from_{from}"))));
}
