//! Exports the packs of a dataset with their contents, for trainers that take sequences as they are packed.
//!
//! ```text
//! packed_parquet   OUTPUT/packs-000000.parquet …                         one row a pack: ids, labels, boundaries, images
//! xtuner_pack      OUTPUT/{data.jsonl, boundaries.npy, samples.npy, paths.json}   XTuner's preset packs, of texts
//! ```
//!
//! One pack is in memory at a time. Token ids that shards do not hold are made again, with the tokenizer of the dataset.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use manyframe_base::{FileError, Progress, Step};
use manyframe_core::{Role, Sample};
use manyframe_dataset::{DatasetReader, PackRow};
use manyframe_media::DeliveredSize;
use manyframe_shards::{PackedRow, PackedSequence, PackedTableWriter, ShardError};
use serde_json::json;

use crate::error::EngineError;
use crate::export_files::{ExportFile, ExportFiles, pack_file};
use crate::exported::{Exported, FrameSize, images_of};
use crate::pack_reader::PackReader;

/// A file of packed Parquet is closed when its images and ids have this many bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Writes packs with their contents to a directory.
pub(crate) fn write_packed_parquet(
    dataset: &DatasetReader,
    files: &mut ExportFiles,
    progress: &dyn Progress,
) -> Result<Exported, EngineError> {
    let reader = PackReader::open(dataset)?;
    // As the images are that the shards hold.
    let frame_size = match dataset.manifest().pipeline_with(&BTreeMap::new())?.file.delivered_size() {
        DeliveredSize::Processor => FrameSize::Counted,
        DeliveredSize::Original => FrameSize::Own,
    };
    let mut done = Exported::default();
    let mut files = PackFiles { files, open: None, num_files: 0 };
    progress.start(Step::ExportPacks, dataset.manifest().total.num_samples);
    for pack in reader.packs()? {
        let pack = pack?;
        let mut samples = reader.samples(&pack)?;
        let sequence = reader.sequence(&pack, &mut samples)?;
        for sample in samples.iter_mut().filter(|sample| !sample.clips.is_empty()) {
            sample.images = images_of(sample, frame_size)?.into_owned();
        }
        files.write(&pack, &samples, &sequence)?;
        done.num_records += 1;
        done.num_images += samples.iter().map(|sample| sample.images.len() as u64).sum::<u64>();
        progress.advance(samples.len() as u64, samples.len() as u64);
    }
    files.close()?;
    progress.finish(Step::ExportPacks);
    Ok(done)
}

fn in_shard(path: &Path) -> impl FnOnce(ShardError) -> EngineError + use<> {
    let path = path.to_owned();
    move |error| EngineError::Shard { path, error }
}

/// Files of packed Parquet, of which one is written at a time.
struct PackFiles<'a> {
    files: &'a mut ExportFiles,
    open: Option<PackFile>,
    num_files: u32,
}

struct PackFile {
    path: PathBuf,
    writer: PackedTableWriter<ExportFile>,
    /// Of images and ids.
    num_bytes: u64,
}

impl PackFiles<'_> {
    fn write(&mut self, pack: &PackRow, samples: &[Sample], sequence: &PackedSequence) -> Result<(), EngineError> {
        let open = self.open.take().map_or_else(|| self.create(), Ok);
        let PackFile { path, mut writer, num_bytes } = open?;
        let row = PackedRow { pack: pack.pack, step: pack.step, rank: pack.rank, samples, sequence };
        writer.write(row).map_err(in_shard(&path))?;
        let images = samples.iter().flat_map(|sample| &sample.images).map(|image| image.bytes.len() as u64);
        let num_bytes = num_bytes + images.sum::<u64>() + 4 * sequence.num_tokens() as u64;
        self.open = Some(PackFile { path, writer, num_bytes });
        if num_bytes < MAX_FILE_BYTES { Ok(()) } else { self.close() }
    }

    fn create(&mut self) -> Result<PackFile, EngineError> {
        let file = self.files.start(&pack_file(self.num_files))?;
        self.num_files += 1;
        let path = file.path().to_owned();
        let writer = PackedTableWriter::create(file).map_err(in_shard(&path))?;
        Ok(PackFile { path, writer, num_bytes: 0 })
    }

    /// Finishes the file that is written, if there is one.
    fn close(&mut self) -> Result<(), EngineError> {
        if let Some(PackFile { path, writer, .. }) = self.open.take() {
            self.files.add(writer.finish().map_err(in_shard(&path))?)?;
        }
        Ok(())
    }
}

/// Writes the packs of a dataset of texts as XTuner's preset packs, over a JSONL file of their samples in order.
pub(crate) fn write_xtuner_packs(
    dataset: &DatasetReader,
    (files, path_prefix): (&mut ExportFiles, &str),
    progress: &dyn Progress,
) -> Result<Exported, EngineError> {
    let reader = PackReader::open(dataset)?;
    let mut done = Exported::default();
    let (mut boundaries, mut rows, mut num_samples) = (vec![0_i64], Vec::new(), 0_i64);
    let mut lines = files.start("data.jsonl")?;
    progress.start(Step::ExportPacks, dataset.manifest().total.num_samples);
    for pack in reader.packs()? {
        let samples = reader.samples(&pack?)?;
        for sample in &samples {
            if !sample.visuals.is_empty() {
                let detail = format!("XTuner's preset packs hold texts, and sample {} shows something", sample.id);
                return Err(EngineError::NotPacked { path: dataset.location().to_owned(), detail });
            }
            let num_tokens = i64::try_from(sample.cost.num_tokens()).unwrap_or(i64::MAX);
            rows.extend([0, num_samples, -1, -1, 0, num_tokens]);
            num_samples += 1;
            writeln!(lines, "{}", xtuner_line(sample)).map_err(FileError::write(lines.path()))?;
        }
        boundaries.push(num_samples);
        done.num_records += 1;
        progress.advance(samples.len() as u64, samples.len() as u64);
    }
    files.add(lines)?;
    let num_packs = boundaries.len();
    files.write("boundaries.npy", &npy(&boundaries, &format!("({num_packs},)")))?;
    files.write("samples.npy", &npy(&rows, &format!("({num_samples}, 6)")))?;
    files.write("paths.json", json!([format!("{path_prefix}data.jsonl")]).to_string().as_bytes())?;
    progress.finish(Step::ExportPacks);
    Ok(done)
}

/// A sample as XTuner's `openai` form has it: keys in order.
fn xtuner_line(sample: &Sample) -> String {
    let role = |role| match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let turns = sample
        .messages
        .iter()
        .map(|message| format!("{{\"role\": \"{}\", \"content\": {}}}", role(message.role), json!(message.content)));
    format!("{{\"id\": \"{}\", \"messages\": [{}]}}", sample.id, turns.collect::<Vec<_>>().join(", "))
}

/// An array of 64-bit integers in NumPy's format, version 1.0.
fn npy(values: &[i64], shape: &str) -> Vec<u8> {
    let mut header = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic, version and length of the header take 10 bytes; all together are a multiple of 64, with a newline at the end.
    let padding = (64 - (10 + header.len() + 1) % 64) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
