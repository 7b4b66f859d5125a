//! Runs samples through a model, batch by batch, and goes on where an earlier run stopped.
//!
//! Batches depend on the samples chosen and on nothing else, and a batch is done or not done. So a run that was cut off gives
//! in the end what one that was not would have given.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;

use manyframe_base::Progress;
use manyframe_media::RgbImage;
use serde::{Deserialize, Serialize};

use super::report::{Stage, Stages};
use super::sample::{SampleMeasure, finite_mean};
use crate::ValidateError;
use crate::model::{Features, HybridModel};
use crate::sequence::{Sequence, Unusable, ValidationSample};

/// Gives the samples of a run, by their number, as often as it is asked.
pub trait SampleSource {
    /// How a sample cannot be read.
    type Error: From<ValidateError>;
    /// Tokens of each sample, as the dataset states them.
    fn lengths(&self) -> &[u64];
    /// Whether a sample has images.
    fn has_images(&self, index: usize) -> bool;
    /// Reads a sample and decodes its images.
    fn read(&self, index: usize) -> Result<ValidationSample, Self::Error>;
}

/// Measures time and memory. Only whoever runs the program has a clock.
pub trait Meter: Sync {
    /// Seconds since some moment.
    fn seconds(&self) -> f64;
    /// What the process has in memory; `None` where the system does not tell.
    fn memory_bytes(&self) -> Option<u64>;
    /// The most that it ever had.
    fn peak_memory_bytes(&self) -> Option<u64>;
}

/// Whether samples are run with other images, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controls {
    /// With blank images, and with those of another sample: three passes instead of one.
    All,
    /// Only with their own.
    None,
}

/// How samples are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Tokens of a batch. A sample that has more is a batch of its own.
    pub batch_tokens: u64,
    /// Whether samples are run with other images, too.
    pub controls: Controls,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { batch_tokens: 16_384, controls: Controls::All }
    }
}

/// A run of samples through a model.
pub struct Run<'a, S> {
    model: &'a HybridModel,
    samples: &'a S,
    options: RunOptions,
    meter: &'a dyn Meter,
    stages: Stages,
}

/// A sample that is ready to be run.
struct Ready {
    measure: SampleMeasure,
    sequence: Sequence,
    features: Features,
}

/// A batch in the journal.
#[derive(Serialize, Deserialize)]
struct Done {
    first: usize,
    measures: Vec<SampleMeasure>,
}

impl<'a, S: SampleSource> Run<'a, S> {
    /// Gets ready to run samples.
    pub fn new(model: &'a HybridModel, samples: &'a S, options: RunOptions, meter: &'a dyn Meter) -> Self {
        Self { model, samples, options, meter, stages: Stages::default() }
    }

    /// Runs all samples that the journal does not have, and appends them to it. The journal is of these samples, model and
    /// options, which its name has to say; a line that was cut off is run again.
    pub fn run(mut self, journal: &Path, progress: &dyn Progress) -> Result<(Vec<SampleMeasure>, Stages), S::Error> {
        let batches = batches(self.samples.lengths(), self.options.batch_tokens);
        let mut done = read_journal(journal)?;
        let mut file =
            File::options().create(true).append(true).open(journal).map_err(ValidateError::write(journal))?;
        // If the last line was cut off, what follows begins on a line of its own.
        file.write_all(b"\n").map_err(ValidateError::write(journal))?;
        let mut measures = Vec::new();
        for batch in batches {
            let num_samples = batch.len();
            let known = done.iter().position(|done| done.first == batch.start && done.measures.len() == num_samples);
            let of_batch = if let Some(known) = known {
                done.swap_remove(known).measures
            } else {
                let of_batch = Done { first: batch.start, measures: self.run_batch(batch)? };
                let mut line = serde_json::to_vec(&of_batch).unwrap_or_default();
                line.push(b'\n');
                file.write_all(&line).map_err(ValidateError::write(journal))?;
                of_batch.measures
            };
            measures.extend(of_batch);
            progress.advance(num_samples as u64, num_samples as u64);
        }
        let rate = |num: u64, seconds: f64| (seconds > 0.0).then(|| num as f64 / seconds);
        self.stages.tokens_per_s = rate(self.stages.num_tokens, self.stages.language.seconds);
        self.stages.images_per_s = rate(self.stages.num_images, self.stages.images.seconds);
        self.stages.peak_memory_bytes = self.meter.peak_memory_bytes();
        let peak_device_bytes = manyframe_kernels::peak_device_bytes(&self.model.options().device);
        self.stages.peak_device_bytes = peak_device_bytes.map_err(ValidateError::compute("the memory of the GPU"))?;
        Ok((measures, self.stages))
    }

    fn run_batch(&mut self, batch: Range<usize>) -> Result<Vec<SampleMeasure>, S::Error> {
        let mut measures = Vec::with_capacity(batch.len());
        let mut ready = Vec::new();
        for index in batch.clone() {
            let sample = self.read(index)?;
            let mut measure = SampleMeasure::of(&sample);
            match self.lay_out(&sample) {
                Err(reason) => measure.unusable = Some(reason),
                Ok(sequence) => {
                    measure.add_sequence(&sequence, sample.bare_tokens);
                    let features = self.encode(&sample.images)?;
                    ready.push((index, Ready { measure: measure.clone(), sequence, features }));
                }
            }
            measures.push(measure);
        }
        let own: Vec<_> = ready.iter().map(|(_, ready)| &ready.features).collect();
        let losses = self.losses(&ready, &own)?;
        for ((_, ready), losses) in ready.iter_mut().zip(&losses) {
            ready.measure.add_losses(losses);
        }
        if self.options.controls == Controls::All {
            self.run_controls(&mut ready)?;
        }
        for (index, ready) in ready {
            if let Some(measure) = measures.get_mut(index - batch.start) {
                *measure = ready.measure;
            }
        }
        Ok(measures)
    }

    fn run_controls(&mut self, ready: &mut Vec<(usize, Ready)>) -> Result<(), S::Error> {
        let (mut with_images, without): (Vec<_>, Vec<_>) = std::mem::take(ready)
            .into_iter()
            .partition(|(_, ready)| ready.measure.num_images > 0 && ready.measure.num_labels > 0);
        if !with_images.is_empty() {
            let mut blank = Vec::new();
            let mut other = Vec::new();
            let one_colour = self.encode(&blank_image())?;
            for (index, ready) in &with_images {
                blank.push(
                    one_colour.cycled(ready.sequence.num_images()).map_err(ValidateError::compute("blank images"))?,
                );
                other.push(self.partner(*index)?.map(|features| features.cycled(ready.sequence.num_images())));
            }
            let of_blank = self.losses(&with_images, &blank.iter().collect::<Vec<_>>())?;
            for ((_, ready), losses) in with_images.iter_mut().zip(&of_blank) {
                ready.measure.controls.blank = finite_mean(losses);
            }
            let other: Option<Vec<Features>> = other
                .into_iter()
                .flatten()
                .collect::<Result<Vec<_>, _>>()
                .map(Some)
                .map_err(ValidateError::compute("other images"))?;
            if let Some(other) = other.filter(|other| other.len() == with_images.len()) {
                let of_other = self.losses(&with_images, &other.iter().collect::<Vec<_>>())?;
                for ((_, ready), losses) in with_images.iter_mut().zip(&of_other) {
                    ready.measure.controls.other = finite_mean(losses);
                }
            }
        }
        *ready = with_images;
        ready.extend(without);
        Ok(())
    }

    /// The images of the next sample that has any, from the front again after the last; `None` if there is no other.
    fn partner(&mut self, index: usize) -> Result<Option<Features>, S::Error> {
        let num_samples = self.samples.lengths().len();
        let mut others = (index + 1..num_samples).chain(0..index);
        let Some(partner) = others.find(|&other| self.samples.has_images(other)) else { return Ok(None) };
        let sample = self.read(partner)?;
        if sample.images.is_empty() { Ok(None) } else { self.encode(&sample.images).map(Some) }
    }

    fn read(&mut self, index: usize) -> Result<ValidationSample, S::Error> {
        let start = self.meter.seconds();
        let sample = self.samples.read(index)?;
        self.stages.read.end_step(self.meter, start);
        Ok(sample)
    }

    fn lay_out(&self, sample: &ValidationSample) -> Result<Sequence, Unusable> {
        let tokens_per_image = self.model.options().image_tokens.num_tokens();
        let sequence = Sequence::try_new(&sample.input_ids, &sample.labels, tokens_per_image, self.model.vocab_size())?;
        if sequence.num_images() != sample.images.len() {
            return Err(Unusable::ImageCount);
        }
        if sequence.num_images() > 0 && self.model.tower().is_none() {
            return Err(Unusable::NoTower);
        }
        Ok(sequence)
    }

    fn encode(&mut self, images: &[RgbImage]) -> Result<Features, S::Error> {
        let start = self.meter.seconds();
        let features = self.model.encode_images(images)?;
        self.stages.images.end_step(self.meter, start);
        self.stages.num_images += images.len() as u64;
        Ok(features)
    }

    fn losses(
        &mut self,
        ready: &[(usize, Ready)],
        features: &[&Features],
    ) -> Result<Vec<crate::model::Losses>, S::Error> {
        let batch: Vec<_> =
            ready.iter().zip(features).map(|((_, ready), features)| (&ready.sequence, *features)).collect();
        let start = self.meter.seconds();
        let losses = self.model.losses(&batch)?;
        self.stages.language.end_step(self.meter, start);
        self.stages.num_tokens += batch.iter().map(|(sequence, _)| sequence.len() as u64).sum::<u64>();
        Ok(losses)
    }
}

impl Stage {
    fn end_step(&mut self, meter: &dyn Meter, start_s: f64) {
        self.seconds += meter.seconds() - start_s;
        self.memory_bytes = self.memory_bytes.max(meter.memory_bytes());
    }
}

/// An image of one colour: CLIP's mean, which is what padding looks like.
fn blank_image() -> Vec<RgbImage> {
    RgbImage::try_new(1, 1, vec![122, 116, 104]).into_iter().collect()
}

/// Neighbours of together at most so many tokens.
fn batches(lengths: &[u64], batch_tokens: u64) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut open_tokens = 0;
    for (index, &length) in lengths.iter().enumerate() {
        match batches.last_mut() {
            Some(batch) if open_tokens + length <= batch_tokens => {
                batch.end = index + 1;
                open_tokens += length;
            }
            _ => {
                batches.push(index..index + 1);
                open_tokens = length;
            }
        }
    }
    batches
}

fn read_journal(path: &Path) -> Result<Vec<Done>, ValidateError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let lines = BufReader::new(File::open(path).map_err(ValidateError::read(path))?).split(b'\n');
    let mut done = Vec::new();
    for line in lines {
        let line = line.map_err(ValidateError::read(path))?;
        // A line that was cut off when the machine stopped is no batch.
        done.extend(serde_json::from_slice::<Done>(&line));
    }
    Ok(done)
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
