//! A pack with its contents as a row: a training sequence that needs no other file.
//!
//! `input_ids`, `loss_mask` and `seq_start_id` are those that Megatron-Bridge reads of packed Parquet
//! (`data/packing/parquet.py`): its mask belongs to labels that are shifted by one token. The other columns are named as
//! processors of Hugging Face and FlashAttention name them, whose labels are not shifted.

use std::io::Write;

use manyframe_columnar::{Descriptions, List, TableOptions, TableWriter, table};
use manyframe_core::{Sample, SampleImage, SampleTokens, SampleVisual, VisualKind};

use crate::error::ShardError;
use crate::json::names_of;
use crate::sample_table::{ImageTable, Medium, grids};

/// The tokens of a pack.
///
/// # Invariants
/// All but the boundaries and the grids are equally long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedSequence {
    /// Ids of tokens, a placeholder for each visual token; 0 where samples are padded.
    pub input_ids: Vec<i32>,
    /// The id to be predicted at each position, not shifted; −100 where there is no loss.
    pub labels: Vec<i32>,
    /// Positions within each sample.
    pub position_ids: Vec<i32>,
    /// 1 where there is a loss on predicting the next token of the sample, otherwise 0: beside labels that are shifted.
    pub loss_mask: Vec<i32>,
    /// What each token is part of: 0 text, 1 an image, 2 a video.
    pub type_ids: Vec<i32>,
    /// Tokens before each sample, and of all.
    pub cu_seqlens: Vec<i32>,
    /// Patches in time, height and width of each image, one after another.
    pub image_grids: Vec<i32>,
    /// Patches in time, height and width of each video, one after another.
    pub video_grids: Vec<i32>,
}

/// A pack as it is written.
#[derive(Debug, Clone, Copy)]
pub struct PackedRow<'r> {
    /// Its number, from 0.
    pub pack: u64,
    /// The training step that it belongs to.
    pub step: u64,
    /// The data-parallel rank that trains on it.
    pub rank: u64,
    /// Its samples in order, with images instead of clips.
    pub samples: &'r [Sample],
    /// Their tokens.
    pub sequence: &'r PackedSequence,
}

/// Writes packs to a Parquet file, a row group each.
pub struct PackedTableWriter<W: Write + Send> {
    table: TableWriter<PackedTable, W>,
}

impl<W: Write + Send> PackedTableWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    ///
    /// If the sink fails.
    pub fn create(sink: W) -> Result<Self, ShardError> {
        let options = TableOptions { descriptions: Descriptions::Kept, ..TableOptions::default() };
        let table = TableWriter::with_options(sink, &options);
        Ok(Self { table: table.map_err(|source| ShardError::WriteTable { source })? })
    }

    /// Appends a pack.
    ///
    /// # Errors
    ///
    /// If the sink fails.
    pub fn write(&mut self, row: PackedRow<'_>) -> Result<(), ShardError> {
        let of_sample = |sample: &Sample| {
            let names = names_of(&sample.images).into_iter().map(|name| format!("{}.{name}", sample.id));
            names.collect::<Vec<_>>()
        };
        let names: Vec<String> = row.samples.iter().flat_map(of_sample).collect();
        let images = row.samples.iter().flat_map(|sample| &sample.images);
        let times = row.samples.iter().flat_map(|sample| sample.visuals.iter().flat_map(|visual| &visual.times_s));
        let parts = PackedParts {
            row,
            images: &names.iter().zip(images).collect::<Vec<_>>(),
            times_s: &times.copied().collect::<Vec<_>>(),
            ids: &row.samples.iter().map(|sample| sample.id.to_string()).collect::<Vec<_>>(),
            sources: &row.samples.iter().map(|sample| sample.source.to_string()).collect::<Vec<_>>(),
        };
        let written = self.table.write(parts).and_then(|()| self.table.end_row_group());
        written.map_err(|source| ShardError::WriteTable { source })
    }

    /// Writes the end of the file, and flushes it; returns what it was written to.
    ///
    /// # Errors
    ///
    /// If the sink fails.
    pub fn finish(self) -> Result<W, ShardError> {
        let mut sink = self.table.finish().map_err(|source| ShardError::WriteTable { source })?;
        sink.flush().map_err(|source| ShardError::Write { source })?;
        Ok(sink)
    }
}

#[derive(Clone, Copy)]
struct PackedParts<'r> {
    row: PackedRow<'r>,
    images: &'r [(&'r String, &'r SampleImage)],
    times_s: &'r [f64],
    ids: &'r [String],
    sources: &'r [String],
}

table! {
    /// A row of packed Parquet.
    struct PackedTable<'r>(parts: PackedParts<'r>) -> PackedSequence {
        /// Number of the pack, from 0.
        pack: u64 = parts.row.pack,
        /// Training step that it belongs to.
        step: u64 = parts.row.step,
        /// Data-parallel rank that trains on it.
        rank: u64 = parts.row.rank,
        /// Ids of tokens, a placeholder for each visual token: the model's own, or −200. 0 where samples are padded.
        input_ids: Vec<i32> = &parts.row.sequence.input_ids,
        /// The id to be predicted at each position, not shifted; −100 where there is no loss.
        labels: Vec<i32> = &parts.row.sequence.labels,
        /// Positions within each sample.
        position_ids: Vec<i32> = &parts.row.sequence.position_ids,
        /// 1 where there is a loss on predicting the next token of the sample, otherwise 0. Shifted, other than `labels`:
        /// at the last position of a sample it is 0.
        loss_mask: Vec<i32> = &parts.row.sequence.loss_mask,
        /// Tokens before each sample, and of all.
        cu_seqlens: Vec<i32> = &parts.row.sequence.cu_seqlens,
        /// The first position of each sample.
        seq_start_id: Vec<i32> = parts.row.sequence.starts(),
        /// What each token is part of: 0 text, 1 an image, 2 a video.
        mm_token_type_ids: Vec<i32> = &parts.row.sequence.type_ids,
        /// Patches in time, height and width of each image, one after another: reshape to (−1, 3).
        image_grid_thw: Vec<i32> = &parts.row.sequence.image_grids,
        /// Patches in time, height and width of each video, one after another: reshape to (−1, 3).
        video_grid_thw: Vec<i32> = &parts.row.sequence.video_grids,
        /// All images and frames in order, at the size at which their tokens were counted.
        images: List<ImageTable> = parts.images.to_vec(),
        /// Times of the frames of videos in seconds, as far as known.
        frame_times_s: Vec<f64> = parts.times_s,
        /// Ids of the samples.
        sample_ids: Vec<String> = parts.ids,
        /// The source of each sample.
        sources: Vec<String> = parts.sources,
    }
    read {
        let _ = (pack, step, rank, seq_start_id, images, frame_times_s, sample_ids, sources);
        Ok(PackedSequence {
            input_ids, labels, position_ids, loss_mask, type_ids: mm_token_type_ids, cu_seqlens,
            image_grids: image_grid_thw, video_grids: video_grid_thw,
        })
    }
}

impl PackedSequence {
    /// The tokens of samples that have token ids, sample k at the positions from `cu_seqlens[k]` on.
    ///
    /// # Errors
    ///
    /// If a sample has no token ids, or not as many tokens as its cost counts, or as fit before the next one.
    pub fn of(samples: &[Sample], cu_seqlens: &[u64]) -> Result<Self, ShardError> {
        let mut sequence = Self { cu_seqlens: vec![0], ..Self::default() };
        for (sample, &end) in samples.iter().zip(cu_seqlens.iter().skip(1)) {
            let refuse = |detail| ShardError::Sample { id: sample.id, detail };
            let end = usize::try_from(end).map_err(|error| refuse(error.to_string()))?;
            sequence.push(sample, end).map_err(refuse)?;
            sequence.image_grids.extend(grids(sample, Medium::Image).unwrap_or_default());
            sequence.video_grids.extend(grids(sample, Medium::Video).unwrap_or_default());
        }
        Ok(sequence)
    }

    /// Pads the sequence at its end. The padding is a sequence of its own in `cu_seqlens`, without a loss.
    pub fn pad(&mut self, num_tokens: usize) {
        let room = num_tokens.saturating_sub(self.num_tokens());
        if let Some(end) = i32::try_from(num_tokens).ok().filter(|_| room > 0) {
            self.fill_up(num_tokens);
            self.position_ids.extend((0..).take(room));
            self.cu_seqlens.push(end);
        }
    }

    /// Number of positions, padding between samples included.
    pub fn num_tokens(&self) -> usize {
        self.input_ids.len()
    }

    fn push(&mut self, sample: &Sample, end: usize) -> Result<(), String> {
        let start = self.input_ids.len();
        let Expanded { input_ids, labels, type_ids } = Expanded::of(sample)?;
        let room = end.checked_sub(start).ok_or("it ends before it begins")?;
        if input_ids.len() > room || input_ids.len() as u64 != sample.cost.num_tokens() {
            let (found, counted) = (input_ids.len(), sample.cost.num_tokens());
            return Err(format!("{found} tokens, expected {counted}, and room for {room}"));
        }
        // As Megatron-Bridge's packer writes it (`fill_packing_strategy` in `data/packing/algorithms.py`).
        let is_predicted = |label: &i32| i32::from(*label != SampleTokens::IGNORED);
        self.loss_mask.extend(labels.iter().skip(1).map(is_predicted).chain(labels.first().map(|_| 0)));
        self.input_ids.extend(input_ids);
        self.labels.extend(labels);
        self.type_ids.extend(type_ids);
        self.fill_up(end);
        self.position_ids.extend((0..).take(room));
        self.cu_seqlens.push(i32::try_from(end).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn fill_up(&mut self, end: usize) {
        self.input_ids.resize(end, 0);
        self.labels.resize(end, SampleTokens::IGNORED);
        self.type_ids.resize(end, 0);
        self.loss_mask.resize(end, 0);
    }

    fn starts(&self) -> &[i32] {
        self.cu_seqlens.split_last().map_or(&[], |(_, starts)| starts)
    }
}

/// The tokens of a sample with a placeholder for each visual token.
struct Expanded {
    input_ids: Vec<i32>,
    labels: Vec<i32>,
    type_ids: Vec<i32>,
}

impl Expanded {
    fn of(sample: &Sample) -> Result<Self, String> {
        let tokens = sample.tokens.as_ref().ok_or("it has no token ids")?;
        if !tokens.type_ids.is_empty() {
            let type_ids = tokens.type_ids.iter().map(|type_id| i32::from(*type_id)).collect();
            return Ok(Self { input_ids: tokens.input_ids.clone(), labels: tokens.labels.clone(), type_ids });
        }
        let num_placeholders = tokens.input_ids.iter().filter(|id| **id == SampleTokens::IMAGE).count() as u64;
        let num_each = sample.cost.visual_tokens.checked_div(num_placeholders).unwrap_or(0);
        if sample.visuals.iter().any(|visual| visual.model.is_some())
            || num_each * num_placeholders != sample.cost.visual_tokens
        {
            return Err("its placeholders are not all of the same number of tokens; build the dataset with \
                 format.placeholders = \"expanded\""
                .to_owned());
        }
        let num_each = usize::try_from(num_each).map_err(|error| error.to_string())?;
        let type_of = |visual: &SampleVisual| if visual.kind == VisualKind::Video { 2 } else { 1 };
        let mut kinds =
            sample.visuals.iter().flat_map(|visual| std::iter::repeat_n(type_of(visual), visual.num_images));
        let mut expanded = Self { input_ids: Vec::new(), labels: Vec::new(), type_ids: Vec::new() };
        for (&id, &label) in tokens.input_ids.iter().zip(&tokens.labels) {
            let (times, kind) = if id == SampleTokens::IMAGE { (num_each, kinds.next().unwrap_or(1)) } else { (1, 0) };
            expanded.input_ids.extend(std::iter::repeat_n(id, times));
            expanded.labels.extend(std::iter::repeat_n(label, times));
            expanded.type_ids.extend(std::iter::repeat_n(kind, times));
        }
        Ok(expanded)
    }
}
