//! Runs samples through a model, batch by batch, and continues where an earlier run stopped.
//!
//! Batches depend on the chosen samples alone, and each is done or not done. So an interrupted and resumed run has the
//! same results as an uninterrupted one.

use std::ops::Range;
use std::path::Path;

use manyframe_base::Progress;
use manyframe_kernels::peak_device_bytes;
use manyframe_media::RgbImage;
use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::report::{RunUsage, StageUsage};
use super::sample::{SampleMeasure, finite_mean};
use crate::error::ValidateError;
use crate::model::{HybridModel, ImageFeatures, TokenLosses};
use crate::sequence::{Sequence, Unusable, ValidationSample};

/// The samples of a run, by index. Each may be read several times.
pub trait SampleSource {
    /// Why a sample cannot be read.
    type Error: From<ValidateError>;

    /// Tokens of each sample, as the dataset states them.
    fn lengths(&self) -> &[u64];

    /// Whether a sample has images.
    fn has_images(&self, index: usize) -> bool;

    /// Reads a sample and decodes its images.
    ///
    /// # Errors
    ///
    /// It cannot be read. A sample that can be read but not run is no error.
    fn read(&self, index: usize) -> Result<ValidationSample, Self::Error>;
}

/// Measures time and memory of the process. The caller provides it, because this crate has no clock.
pub trait Meter: Sync {
    /// Seconds since a fixed moment.
    fn seconds(&self) -> f64;

    /// Memory of the process in bytes; `None`, the default, where it is not known.
    fn memory_bytes(&self) -> Option<u64> {
        None
    }

    /// The most memory that the process ever had, in bytes; `None`, the default, where it is not known.
    fn peak_memory_bytes(&self) -> Option<u64> {
        None
    }

    /// Bytes that the process has read so far; `None`, the default, where it is not known.
    fn read_bytes(&self) -> Option<u64> {
        None
    }
}

/// Whether samples are also run with other images than their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controls {
    /// With blank images and with those of another sample: three passes instead of one.
    All,
    /// With their own images only.
    None,
}

/// How samples are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Maximum number of tokens of a batch; a longer sample is a batch by itself. Default: 16,384.
    pub batch_tokens: u64,
    /// Whether samples are also run with other images than their own. Default: all controls.
    pub controls: Controls,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { batch_tokens: 16_384, controls: Controls::All }
    }
}

/// A run of samples through a model.
pub struct ValidationRun<'a, S> {
    /// The model.
    pub model: &'a HybridModel,
    /// The samples.
    pub samples: &'a S,
    /// How they are run.
    pub options: RunOptions,
    /// Measures time and memory.
    pub meter: &'a dyn Meter,
}

impl<S: SampleSource> ValidationRun<'_, S> {
    /// Runs all samples that are not in the journal, and adds them to it. Returns the measures of all samples in order.
    ///
    /// The file name of the journal must identify samples, model and options: a journal is only good for the same ones.
    ///
    /// # Errors
    ///
    /// A sample cannot be read, a computation fails, or the journal cannot be read or written. What was done by then is in the
    /// journal.
    pub fn run(self, journal: &Path, progress: &dyn Progress) -> Result<(Vec<SampleMeasure>, RunUsage), S::Error> {
        let mut journal = Journal::open(journal)?;
        let mut usage = RunUsage::default();
        let mut measures = Vec::new();
        for batch in batches(self.samples.lengths(), self.options.batch_tokens) {
            let (first, num_samples) = (batch.start, batch.len());
            measures.extend(if let Some(of_batch) = journal.take(&batch) {
                of_batch
            } else {
                let (of_batch, of_run) = self.run_batch(batch)?;
                usage += of_run;
                journal.append(first, of_batch)?
            });
            progress.advance(num_samples as u64, num_samples as u64);
        }
        Ok((measures, usage))
    }

    /// Runs one of the [`batches`]. Returns the measures of its samples in order, and what they cost.
    ///
    /// # Errors
    ///
    /// A sample cannot be read, or a computation fails.
    pub fn run_batch(&self, batch: Range<usize>) -> Result<(Vec<SampleMeasure>, RunUsage), S::Error> {
        let mut runner = BatchRunner { run: self, usage: RunUsage::default() };
        let measures = runner.run_batch(batch)?;
        let mut usage = runner.usage;
        usage.peak_memory_bytes = self.meter.peak_memory_bytes();
        let peak_device_bytes = peak_device_bytes(&self.model.options().device);
        usage.peak_device_bytes = peak_device_bytes.map_err(ValidateError::compute("the memory of the GPU"))?;
        Ok((measures, usage.with_rates()))
    }
}

/// Runs batches, and adds up what they cost.
struct BatchRunner<'a, S> {
    run: &'a ValidationRun<'a, S>,
    usage: RunUsage,
}

/// A sample of a batch.
struct BatchSample {
    index: usize,
    measure: SampleMeasure,
    /// `None` if it cannot be run.
    inputs: Option<SampleInputs>,
}

struct SampleInputs {
    sequence: Sequence,
    features: ImageFeatures,
}

/// A sample that can be run.
struct RunnableSample<'a> {
    index: usize,
    measure: &'a mut SampleMeasure,
    inputs: &'a SampleInputs,
}

impl<S: SampleSource> BatchRunner<'_, S> {
    fn run_batch(&mut self, batch: Range<usize>) -> Result<Vec<SampleMeasure>, S::Error> {
        let mut samples = batch.map(|index| self.prepare(index)).collect::<Result<Vec<_>, _>>()?;
        let runnable = samples.iter_mut().filter_map(|BatchSample { index, measure, inputs }| {
            Some(RunnableSample { index: *index, measure, inputs: inputs.as_ref()? })
        });
        let mut runnable: Vec<RunnableSample<'_>> = runnable.collect();
        let own: Vec<_> = runnable.iter().map(|sample| (&sample.inputs.sequence, &sample.inputs.features)).collect();
        let losses = self.losses(&own)?;
        for (sample, losses) in runnable.iter_mut().zip(&losses) {
            sample.measure.add_losses(losses);
        }
        if self.run.options.controls == Controls::All {
            runnable.retain(|sample| sample.measure.num_images > 0 && sample.measure.num_labels > 0);
            self.run_controls(&mut runnable)?;
        }
        Ok(samples.into_iter().map(|sample| sample.measure).collect())
    }

    /// Reads a sample, lays it out and encodes its images.
    fn prepare(&mut self, index: usize) -> Result<BatchSample, S::Error> {
        let sample = self.read(index)?;
        let mut measure = SampleMeasure::of(&sample);
        let inputs = match self.lay_out(&sample) {
            Err(reason) => {
                measure.unusable = Some(reason);
                None
            }
            Ok(sequence) => {
                measure.add_sequence(&sequence, sample.bare_tokens);
                Some(SampleInputs { sequence, features: self.encode(&sample.images)? })
            }
        };
        Ok(BatchSample { index, measure, inputs })
    }

    /// Runs samples with images again: with blank ones, then with those of another sample.
    fn run_controls(&mut self, samples: &mut [RunnableSample<'_>]) -> Result<(), S::Error> {
        if samples.is_empty() {
            return Ok(());
        }
        let blank = self.encode(&[blank_image()])?;
        let mut with_blank = Vec::new();
        let mut with_other = Vec::new();
        for sample in samples.iter() {
            let num_images = sample.inputs.sequence.num_images();
            with_blank.push(blank.cycled(num_images).map_err(ValidateError::compute("blank images"))?);
            let other = self.partner(sample.index)?.map(|features| features.cycled(num_images)).transpose();
            with_other.push(other.map_err(ValidateError::compute("other images"))?);
        }
        let batch: Vec<_> = samples.iter().map(|sample| &sample.inputs.sequence).zip(&with_blank).collect();
        let losses = self.losses(&batch)?;
        for (sample, losses) in samples.iter_mut().zip(&losses) {
            sample.measure.controls.blank = finite_mean(losses);
        }
        // Samples that share the dataset with no other sample with images are left out.
        let paired = samples.iter_mut().zip(&with_other);
        let mut paired: Vec<_> = paired.filter_map(|(sample, other)| Some((sample, other.as_ref()?))).collect();
        let batch: Vec<_> = paired.iter().map(|(sample, other)| (&sample.inputs.sequence, *other)).collect();
        let losses = self.losses(&batch)?;
        for ((sample, _), losses) in paired.iter_mut().zip(&losses) {
            sample.measure.controls.other = finite_mean(losses);
        }
        Ok(())
    }

    /// The images of the next sample that has any, starting over after the last; `None` if no other sample has any.
    fn partner(&mut self, index: usize) -> Result<Option<ImageFeatures>, S::Error> {
        let samples = self.run.samples;
        let others = (index + 1..samples.lengths().len()).chain(0..index);
        for other in others.filter(|other| samples.has_images(*other)) {
            // Images that cannot be decoded are missing.
            let sample = self.read(other)?;
            if !sample.images.is_empty() {
                return self.encode(&sample.images).map(Some);
            }
        }
        Ok(None)
    }

    fn read(&mut self, index: usize) -> Result<ValidationSample, S::Error> {
        let start_s = self.run.meter.seconds();
        let sample = self.run.samples.read(index)?;
        self.usage.read.end_step(self.run.meter, start_s);
        Ok(sample)
    }

    fn lay_out(&self, sample: &ValidationSample) -> Result<Sequence, Unusable> {
        let model = self.run.model;
        let sequence = Sequence::try_new(&sample.input_ids, &sample.labels, model.sequence_sizes())?;
        if sequence.num_images() != sample.images.len() {
            return Err(Unusable::ImageCount);
        }
        if sequence.num_images() > 0 && model.tower().is_none() {
            return Err(Unusable::NoTower);
        }
        Ok(sequence)
    }

    fn encode(&mut self, images: &[RgbImage]) -> Result<ImageFeatures, S::Error> {
        let start_s = self.run.meter.seconds();
        let features = self.run.model.encode_images(images)?;
        self.usage.images.end_step(self.run.meter, start_s);
        self.usage.num_images += images.len() as u64;
        Ok(features)
    }

    fn losses(&mut self, batch: &[(&Sequence, &ImageFeatures)]) -> Result<Vec<TokenLosses>, S::Error> {
        let start_s = self.run.meter.seconds();
        let losses = self.run.model.losses(batch)?;
        self.usage.language.end_step(self.run.meter, start_s);
        self.usage.num_tokens += batch.iter().map(|(sequence, _)| sequence.len() as u64).sum::<u64>();
        Ok(losses)
    }
}

impl StageUsage {
    /// Adds a step that started at `start_s` and ends now.
    fn end_step(&mut self, meter: &dyn Meter, start_s: f64) {
        self.seconds += meter.seconds() - start_s;
        self.memory_bytes = self.memory_bytes.max(meter.memory_bytes());
    }
}

/// An image of CLIP's mean colour, which is also the colour of padding.
fn blank_image() -> RgbImage {
    #[expect(clippy::expect_used, reason = "one pixel has three channels")]
    RgbImage::try_new(1, 1, vec![122, 116, 104]).expect("one pixel of three channels")
}

/// Consecutive samples with at most this many tokens together; a longer sample is alone.
pub fn batches(lengths: &[u64], batch_tokens: u64) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut num_tokens = 0;
    for (index, &length) in lengths.iter().enumerate() {
        match batches.last_mut() {
            Some(batch) if num_tokens + length <= batch_tokens => {
                batch.end = index + 1;
                num_tokens += length;
            }
            _ => {
                batches.push(index..index + 1);
                num_tokens = length;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_as_much_as_fits() {
        assert_eq!(batches(&[3, 3, 4, 20, 1, 1], 10), [0..3, 3..4, 4..6]);
        assert_eq!(batches(&[], 10), Vec::<Range<usize>>::new());
    }
}
