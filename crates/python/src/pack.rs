//! A pack as a rank trains on it: its tokens, and its images as they are asked for.
//!
//! Knows nothing of Python.

use std::ops::Range;
use std::sync::Arc;

use manyframe_core::{Sample, SampleTokens};
use manyframe_dataset::PackRow;
use manyframe_engine::{EngineError, PackReader, decode_images};
use manyframe_media::RgbImage;
use manyframe_shards::PackedSequence;

use crate::error::message;
use crate::pixels::PixelLaw;
use crate::prefetch::Work;
use crate::values::PixelValues;

/// What becomes of the images of a pack.
#[derive(Debug, Clone)]
pub(crate) enum ImageForm {
    /// They are left out.
    None,
    /// Their files.
    Encoded,
    /// Pixels, at the size that they are delivered at.
    Pixels,
    /// What the vision tower of the dataset's model family is given.
    Values(Box<PixelLaw>),
}

/// The images of a pack.
pub(crate) enum PackImages {
    None,
    Encoded(Vec<Vec<u8>>),
    Pixels(Vec<RgbImage>),
    Values(PixelValues),
}

/// A rank of a sequence-parallel group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupRank {
    pub(crate) rank: usize,
    pub(crate) degree: usize,
}

/// How packs are read.
pub(crate) struct PackWork {
    pub(crate) reader: PackReader,
    pub(crate) images: ImageForm,
    /// The part of each pack that is wanted; all of it without sequence parallelism.
    pub(crate) group: Option<GroupRank>,
}

/// A pack whose samples were read.
pub(crate) struct ReadPack {
    row: PackRow,
    samples: Vec<Sample>,
}

/// A pack, ready to be trained on.
pub(crate) struct LoadedPack {
    pub(crate) pack: u64,
    pub(crate) sample_ids: Vec<String>,
    pub(crate) sources: Vec<Arc<str>>,
    pub(crate) tokens: RankTokens,
    pub(crate) cu_seqlens: Vec<i32>,
    pub(crate) cu_images: Vec<u64>,
    pub(crate) image_grids: Vec<i32>,
    pub(crate) video_grids: Vec<i32>,
    pub(crate) frame_times_s: Vec<f64>,
    /// Which of the images of the pack these are.
    pub(crate) image_range: Range<u64>,
    pub(crate) images: PackImages,
}

/// The tokens of a rank, and where they are in the sequence.
#[derive(Debug, PartialEq)]
pub(crate) struct RankTokens {
    /// Start and end of each chunk.
    pub(crate) chunks: Vec<(usize, usize)>,
    pub(crate) input_ids: Vec<i64>,
    pub(crate) labels: Vec<i64>,
    pub(crate) shift_labels: Vec<i64>,
    pub(crate) position_ids: Vec<i64>,
    pub(crate) type_ids: Vec<i64>,
}

impl PackWork {
    /// Loads a pack, its images on several threads.
    pub(crate) fn load(&self, pack: u64) -> Result<LoadedPack, String> {
        let (read, _) = self.prepare(pack)?;
        self.finish(read)
    }

    fn read(&self, pack: u64) -> Result<ReadPack, EngineError> {
        let row = self.reader.pack(pack)?;
        let samples = self.reader.samples(&row)?;
        Ok(ReadPack { row, samples })
    }

    /// The images of the pack that this rank encodes: those that the index gives it, but for a video whose values are made of
    /// several frames at a time, which is divided between these.
    fn image_range(&self, ReadPack { row, samples }: &ReadPack) -> Result<Range<u64>, String> {
        let all = 0..row.cu_images.last().copied().unwrap_or(0);
        let Some(GroupRank { rank, degree }) = self.group else { return Ok(all) };
        let bounds = row.rank_images.get(rank).zip(row.rank_images.get(rank + 1));
        let range = bounds.filter(|_| row.rank_images.len() == degree + 1).map(|(start, end)| *start..*end);
        let range = range.ok_or_else(|| not_for(row.pack, degree))?;
        Ok(match &self.images {
            ImageForm::Values(law) => law.next_step(samples, range.start)..law.next_step(samples, range.end),
            ImageForm::None | ImageForm::Encoded | ImageForm::Pixels => range,
        })
    }
}

fn not_for(pack: u64, degree: usize) -> String {
    format!("pack {pack} is not divided over {degree} ranks")
}

impl Work for PackWork {
    type Prepared = ReadPack;
    type Made = LoadedPack;

    fn prepare(&self, job: u64) -> Result<(ReadPack, u64), String> {
        let read = self.read(job).map_err(|error| message(&error))?;
        let range = self.image_range(&read)?;
        let share = |num_bytes: u64| {
            let num_images = read.row.cu_images.last().copied().unwrap_or(0).max(1);
            num_bytes * (range.end - range.start) / num_images
        };
        let encoded = read.samples.iter().map(num_encoded_bytes).sum::<u64>();
        let decoded = match &self.images {
            ImageForm::None => 0,
            ImageForm::Encoded => share(encoded),
            ImageForm::Pixels => share(read.samples.iter().map(num_pixels).sum::<u64>() * 3),
            ImageForm::Values(law) => share(law.num_bytes(&read.samples)),
        };
        // Six arrays of 64-bit numbers.
        let num_bytes = encoded + decoded + 48 * read.row.padded_tokens;
        Ok((read, num_bytes))
    }

    fn finish(&self, prepared: ReadPack) -> Result<LoadedPack, String> {
        let image_range = self.image_range(&prepared)?;
        let ReadPack { row, mut samples } = prepared;
        let mut sequence = self.reader.sequence(&row, &mut samples).map_err(|error| message(&error))?;
        sequence.pad(row.padded_tokens as usize);
        let chunks = match self.group {
            None => vec![(0, sequence.num_tokens())],
            Some(group) => chunks_of_rank(&row, group).ok_or_else(|| not_for(row.pack, group.degree))?,
        };
        let tokens = RankTokens::of(&sequence, chunks).ok_or_else(|| "its chunks exceed its tokens".to_owned())?;
        let images = images_of(&self.images, &samples, &image_range)?;
        Ok(LoadedPack {
            pack: row.pack,
            sample_ids: row.samples.iter().map(ToString::to_string).collect(),
            sources: samples.iter().map(|sample| Arc::clone(&sample.source)).collect(),
            tokens,
            cu_seqlens: sequence.cu_seqlens,
            cu_images: row.cu_images,
            image_grids: sequence.image_grids,
            video_grids: sequence.video_grids,
            frame_times_s: samples
                .iter()
                .flat_map(|sample| sample.visuals.iter().flat_map(|visual| visual.times_s.iter().copied()))
                .collect(),
            image_range,
            images,
        })
    }
}

fn num_encoded_bytes(sample: &Sample) -> u64 {
    let images = sample.images.iter().map(|image| image.bytes.len() as u64);
    images.chain(sample.clips.iter().map(|clip| clip.bytes.len() as u64)).sum()
}

/// Pixels of the images of a sample, and of the frames of its clips.
fn num_pixels(sample: &Sample) -> u64 {
    let images = sample.images.iter().map(|image| u64::from(image.width_px) * u64::from(image.height_px));
    let clips = sample.visuals.iter().filter(|visual| visual.clip.is_some());
    let frames =
        clips.map(|visual| u64::from(visual.width_px) * u64::from(visual.height_px) * visual.num_images as u64);
    images.chain(frames).sum()
}

/// The chunks of tokens that a rank has.
fn chunks_of_rank(row: &PackRow, group: GroupRank) -> Option<Vec<(usize, usize)>> {
    let (bounds, rest) = row.rank_tokens.as_chunks::<2>();
    if !rest.is_empty() || bounds.is_empty() || !bounds.len().is_multiple_of(group.degree) {
        return None;
    }
    let of_rank = bounds.chunks(bounds.len() / group.degree).nth(group.rank)?;
    Some(of_rank.iter().map(|[start, end]| (*start as usize, *end as usize)).collect())
}

impl RankTokens {
    /// The tokens in some chunks; `None` if the sequence does not have them.
    fn of(sequence: &PackedSequence, chunks: Vec<(usize, usize)>) -> Option<Self> {
        let shifted = shifted_labels(sequence);
        let pick = |values: &[i32]| {
            let parts = chunks.iter().map(|&(start, end)| values.get(start..end));
            let parts = parts.collect::<Option<Vec<&[i32]>>>()?;
            Some(parts.into_iter().flatten().map(|value| i64::from(*value)).collect::<Vec<i64>>())
        };
        Some(Self {
            input_ids: pick(&sequence.input_ids)?,
            labels: pick(&sequence.labels)?,
            shift_labels: pick(&shifted)?,
            position_ids: pick(&sequence.position_ids)?,
            type_ids: pick(&sequence.type_ids)?,
            chunks,
        })
    }
}

/// What is to be predicted from each position: the label of the next one, and nothing from the last one of a sample.
fn shifted_labels(sequence: &PackedSequence) -> Vec<i32> {
    let mut shifted: Vec<i32> = sequence.labels.iter().skip(1).copied().collect();
    shifted.push(SampleTokens::IGNORED);
    for end in sequence.cu_seqlens.iter().skip(1) {
        let last = usize::try_from(*end).ok().and_then(|end| end.checked_sub(1));
        if let Some(label) = last.and_then(|last| shifted.get_mut(last)) {
            *label = SampleTokens::IGNORED;
        }
    }
    shifted.truncate(sequence.labels.len());
    shifted
}

/// The images of a range of the pack, in the form that is wanted.
fn images_of(form: &ImageForm, samples: &[Sample], range: &Range<u64>) -> Result<PackImages, String> {
    if let ImageForm::None = form {
        return Ok(PackImages::None);
    }
    let mut first = 0;
    let mut encoded = Vec::new();
    let mut pixels = Vec::new();
    let mut values = match form {
        ImageForm::Values(law) => law.nothing(),
        _ => PixelValues::default(),
    };
    for sample in samples {
        let num_images = sample.cost.num_images;
        let wanted = first.max(range.start)..(first + num_images).min(range.end);
        let (wanted, before) = (wanted.start.saturating_sub(first)..wanted.end.saturating_sub(first), first);
        first = before + num_images;
        if wanted.is_empty() {
            continue;
        }
        let wanted = wanted.start as usize..wanted.end as usize;
        match form {
            ImageForm::None => {}
            ImageForm::Encoded if sample.clips.is_empty() => {
                let images = sample.images.get(wanted).unwrap_or_default();
                encoded.extend(images.iter().map(|image| image.bytes.clone()));
            }
            ImageForm::Encoded => {
                return Err(format!("sample {} has video files; only their pixels can be given", sample.id));
            }
            ImageForm::Pixels | ImageForm::Values(_) => {
                let decoded = decode_wanted(sample, wanted.clone())?;
                match form {
                    ImageForm::Values(law) => law.extend(&mut values, sample, &decoded, wanted)?,
                    _ => pixels.extend(decoded),
                }
            }
        }
    }
    Ok(match form {
        ImageForm::None => PackImages::None,
        ImageForm::Encoded => PackImages::Encoded(encoded),
        ImageForm::Pixels => PackImages::Pixels(pixels),
        ImageForm::Values(_) => PackImages::Values(values),
    })
}

/// Some of the images of a sample. Of one without video files, no other is decoded.
fn decode_wanted(sample: &Sample, wanted: Range<usize>) -> Result<Vec<RgbImage>, String> {
    if sample.clips.is_empty() && wanted != (0..sample.images.len()) {
        let images = sample.images.get(wanted).unwrap_or_default().to_vec();
        let part = Sample { images, visuals: Vec::new(), ..sample.clone() };
        return decode_images(&part).map_err(|error| message(&error));
    }
    let mut decoded = decode_images(sample).map_err(|error| message(&error))?;
    decoded.truncate(wanted.end);
    Ok(decoded.split_off(wanted.start.min(decoded.len())))
}
