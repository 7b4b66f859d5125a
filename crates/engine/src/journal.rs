//! What a task has decoded and encoded so far, so that a task that is cut short does not begin again.
//!
//! ```text
//! PLAN/journal/NNNNNN-M.journal    one file for each process that worked on task NNNNNN; removed once the task is done
//!     entry: "MFENTRY2" │ description: number of bytes │ payload: number of bytes │ digest of both │ description │ payload
//! ```
//!
//! The payload is the bytes of images, then those of a video file. A visual is one entry. While a video takes long, its frames so
//! far are entries, too.
//!
//! Entries are written without a flush, and read back only if their digest is right: a killed process has left them with the
//! system. A journal that cannot be written or read costs time, never the task.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use manyframe_core::{ClipFormat, ClipFrames, Handling, ImageFormat, RecordId, SampleClip, SampleImage};
use manyframe_media::video::{DeliveredClip, FrameKeeper, VideoFrame};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::encoded::EncodedVisual;

const MAGIC: &[u8; 8] = b"MFENTRY2";
const HEAD_BYTES: usize = 32;
const MAX_DESCRIPTION_BYTES: u64 = 16 << 20;

/// A visual is kept if each of its bytes took this long to make. Writing one takes a fiftieth of that; what is not kept is
/// made again at 50 MB/s or faster.
const LEAST_NANOSECONDS_PER_BYTE: u128 = 20;

/// Time after which the frames of a video are kept before all of them are decoded.
const KEEP_INTERVAL: Duration = Duration::from_secs(2);

/// A visual of a sample: the number of the visual, from 0.
type Key = (RecordId, u32);

/// The journal of one task.
pub(crate) struct Journal {
    directory: PathBuf,
    task: u32,
    files: Vec<(PathBuf, File)>,
    kept: FxHashMap<Key, Entry>,
    kept_frames: FxHashMap<Key, Vec<Entry>>,
    output: Mutex<Output>,
}

/// Where an entry is.
struct Entry {
    file: usize,
    /// First byte of its description.
    offset: u64,
    description_bytes: u64,
    payload_bytes: u64,
    digest: u64,
}

/// Where entries go; the file is made with the first.
enum Output {
    None,
    File(PathBuf, File),
    /// It cannot be written.
    Failed,
}

#[derive(Serialize, Deserialize)]
struct Description {
    sample: RecordId,
    visual: u32,
    content: Content,
    images: Vec<ImageDescription>,
}

/// What an entry holds, without its images and its video file.
#[derive(Serialize, Deserialize)]
enum Content {
    Visual { encoded: Box<EncodedVisual>, clip: Option<ClipDescription> },
    Frames(Vec<FrameDescription>),
}

/// A video file, whose bytes follow those of the images.
#[derive(Serialize, Deserialize)]
struct ClipDescription {
    extension: String,
    frames: ClipFrames,
}

#[derive(Serialize, Deserialize)]
struct FrameDescription {
    index: usize,
    time_s: f64,
}

#[derive(Serialize, Deserialize)]
struct ImageDescription {
    format: ImageFormat,
    width_px: u32,
    height_px: u32,
    num_bytes: u64,
}

impl Journal {
    /// The journal of a task, with what earlier processes have kept in it.
    pub(crate) fn open(plan: &Path, task: u32) -> Self {
        let directory = plan.join("journal");
        let mut journal = Self {
            directory,
            task,
            files: Vec::new(),
            kept: FxHashMap::default(),
            kept_frames: FxHashMap::default(),
            output: Mutex::new(Output::None),
        };
        loop {
            let path = journal.path(journal.files.len());
            // Nothing but a file is opened: a pipe could block.
            let Some(file) = path.is_file().then(|| File::open(&path).ok()).flatten() else { return journal };
            // What is behind a damaged entry is made again.
            _ = journal.list(&file);
            journal.files.push((path, file));
        }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.directory.join(format!("{:06}-{number}.journal", self.task))
    }

    fn list(&mut self, file: &File) -> io::Result<()> {
        let file_bytes = file.metadata()?.len();
        let mut start = 0;
        while let Some(head) = read_head(file, start)? {
            let (description_bytes, payload_bytes, digest) = head;
            let offset = start + HEAD_BYTES as u64;
            let end = offset.checked_add(description_bytes).and_then(|sum| sum.checked_add(payload_bytes));
            let Some(end) = end.filter(|end| *end <= file_bytes && description_bytes <= MAX_DESCRIPTION_BYTES) else {
                break;
            };
            let mut text = vec![0; description_bytes as usize];
            file.read_exact_at(&mut text, offset)?;
            let Description { sample, visual, content, .. } = serde_json::from_slice(&text)?;
            let entry = Entry { file: self.files.len(), offset, description_bytes, payload_bytes, digest };
            match content {
                Content::Visual { .. } => _ = self.kept.insert((sample, visual), entry),
                Content::Frames(_) => self.kept_frames.entry((sample, visual)).or_default().push(entry),
            }
            start = end;
        }
        Ok(())
    }

    /// A visual that was kept.
    pub(crate) fn read(&self, sample: RecordId, visual: u32) -> Option<EncodedVisual> {
        let (content, images, rest) = self.read_entry(self.kept.get(&(sample, visual))?)?;
        let Content::Visual { encoded, clip } = content else { return None };
        let clip = match clip {
            None => None,
            Some(ClipDescription { extension, frames }) => {
                let clip = SampleClip { bytes: rest, format: ClipFormat::from_extension(&extension)? };
                Some(Box::new(DeliveredClip { clip, frames }))
            }
        };
        Some(EncodedVisual { images, clip, ..*encoded })
    }

    /// The frames of a visual that were kept.
    fn read_frames(&self, sample: RecordId, visual: u32) -> Vec<VideoFrame> {
        let entries = self.kept_frames.get(&(sample, visual)).into_iter().flatten();
        let contents = entries.filter_map(|entry| self.read_entry(entry));
        let frames = contents.filter_map(|(content, images, _)| match content {
            Content::Frames(frames) => Some(frames.into_iter().zip(images)),
            Content::Visual { .. } => None,
        });
        // Frames of video files are always encoded.
        let frame = |(FrameDescription { index, time_s }, image)| VideoFrame {
            index,
            time_s,
            image,
            handling: Handling::Encoded,
        };
        frames.flatten().map(frame).collect()
    }

    /// What an entry holds, its images, and the bytes after them.
    fn read_entry(&self, entry: &Entry) -> Option<(Content, Vec<SampleImage>, Vec<u8>)> {
        let Entry { file, offset, description_bytes, payload_bytes, digest } = entry;
        let mut bytes = vec![0; usize::try_from(description_bytes + payload_bytes).ok()?];
        self.files.get(*file)?.1.read_exact_at(&mut bytes, *offset).ok()?;
        if XxHash3_64::oneshot(&bytes) != *digest {
            return None;
        }
        let (description, mut rest) = bytes.split_at_checked(*description_bytes as usize)?;
        let description: Description = serde_json::from_slice(description).ok()?;
        let mut images = Vec::with_capacity(description.images.len());
        for ImageDescription { format, width_px, height_px, num_bytes } in description.images {
            let (bytes, later) = rest.split_at_checked(num_bytes as usize)?;
            rest = later;
            images.push(SampleImage { bytes: bytes.to_vec(), format, width_px, height_px });
        }
        Some((description.content, images, rest.to_vec()))
    }

    /// Makes a visual, whose images are to have this width and height if one is given, and keeps it if that takes long.
    pub(crate) fn keep<E>(
        &self,
        (sample, visual): Key,
        size_px: Option<(u32, u32)>,
        make: impl FnOnce(&mut dyn FrameKeeper) -> Result<EncodedVisual, E>,
    ) -> Result<EncodedVisual, E> {
        // What is made does not depend on the clock, only whether it is kept.
        let started = Instant::now();
        let mut frames = KeptFrames::of(self, (sample, visual), size_px);
        let encoded = make(&mut frames)?;
        if is_worth_keeping(&encoded, started.elapsed()) {
            self.write_visual((sample, visual), &encoded);
        }
        Ok(encoded)
    }

    fn write_visual(&self, key: Key, encoded: &EncodedVisual) {
        let describe = |clip: &DeliveredClip| ClipDescription {
            extension: clip.clip.format.extension().to_owned(),
            frames: clip.frames.clone(),
        };
        let clip = encoded.clip.as_deref();
        let content = Content::Visual { encoded: Box::new(encoded.without_files()), clip: clip.map(describe) };
        let rest = clip.map_or(&[][..], |clip| &clip.clip.bytes);
        self.write(key, content, &encoded.images, rest);
    }

    /// Writes an entry: a description, the bytes of images, and others.
    fn write<'i>(
        &self,
        (sample, visual): Key,
        content: Content,
        images: impl IntoIterator<Item = &'i SampleImage, IntoIter: Clone>,
        rest: &[u8],
    ) {
        let images = images.into_iter();
        let describe = |image: &SampleImage| {
            let &SampleImage { format, width_px, height_px, .. } = image;
            ImageDescription { format, width_px, height_px, num_bytes: image.bytes.len() as u64 }
        };
        let description = Description { sample, visual, content, images: images.clone().map(describe).collect() };
        let Ok(description) = serde_json::to_vec(&description) else { return };
        let payload_bytes = images.clone().map(|image| image.bytes.len()).sum::<usize>() + rest.len();
        let mut entry = Vec::with_capacity(HEAD_BYTES + description.len() + payload_bytes);
        entry.extend(MAGIC);
        entry.extend((description.len() as u64).to_le_bytes());
        entry.extend((payload_bytes as u64).to_le_bytes());
        entry.extend([0; 8]);
        entry.extend(&description);
        images.for_each(|image| entry.extend(&image.bytes));
        entry.extend(rest);
        let (head, body) = entry.split_at_mut(HEAD_BYTES);
        if let Some(digest) = head.last_chunk_mut() {
            *digest = XxHash3_64::oneshot(body).to_le_bytes();
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.append(&mut output, &entry) {
            tracing::debug!(task = self.task, %error, "the journal cannot be written; a task that is cut short begins again");
            if let Output::File(path, _) = std::mem::replace(&mut *output, Output::Failed) {
                // Its space may be what the shard needs.
                _ = fs::remove_file(path);
            }
        }
    }

    fn append(&self, output: &mut Output, entry: &[u8]) -> io::Result<()> {
        if let Output::None = output {
            fs::create_dir_all(&self.directory)?;
            let (path, file) = self.create()?;
            *output = Output::File(path, file);
        }
        match output {
            Output::File(_, file) => file.write_all(entry),
            Output::None | Output::Failed => Ok(()),
        }
    }

    /// A file of its own for this process: several may work on one task.
    fn create(&self) -> io::Result<(PathBuf, File)> {
        let mut number = self.files.len();
        loop {
            let path = self.path(number);
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                file => return Ok((path, file?)),
            }
        }
    }

    /// Removes the files of the journal, once the task is done.
    pub(crate) fn remove(self) {
        let output = self.output.into_inner().unwrap_or_else(PoisonError::into_inner);
        let written = if let Output::File(path, _) = output { Some(path) } else { None };
        for path in self.files.into_iter().map(|(path, _)| path).chain(written) {
            // It goes with the plan otherwise.
            _ = fs::remove_file(path);
        }
    }
}

/// The frames of one visual, while it is decoded.
struct KeptFrames<'j> {
    journal: &'j Journal,
    key: Key,
    /// Frames that an earlier process kept, by position in the index.
    earlier: FxHashMap<usize, VideoFrame>,
    /// Number of frames that are kept so far.
    num_kept: usize,
    last_kept: Instant,
}

impl<'j> KeptFrames<'j> {
    fn of(journal: &'j Journal, key: Key, size_px: Option<(u32, u32)>) -> Self {
        let frames = journal.read_frames(key.0, key.1);
        let is_of_size =
            |image: &SampleImage| size_px.is_none_or(|size_px| size_px == (image.width_px, image.height_px));
        let frames = frames.into_iter().filter(|frame| is_of_size(&frame.image));
        let earlier = frames.map(|frame| (frame.index, frame)).collect();
        Self { journal, key, earlier, num_kept: 0, last_kept: Instant::now() }
    }

    fn keep_rest(&mut self, frames: &[VideoFrame]) {
        let rest = frames.get(self.num_kept..).unwrap_or_default();
        let describe = |frame: &VideoFrame| FrameDescription { index: frame.index, time_s: frame.time_s };
        let content = Content::Frames(rest.iter().map(describe).collect());
        self.journal.write(self.key, content, rest.iter().map(|frame| &frame.image), &[]);
        self.num_kept = frames.len();
        self.last_kept = Instant::now();
    }
}

impl FrameKeeper for KeptFrames<'_> {
    fn kept(&mut self, position: usize) -> Option<VideoFrame> {
        let frame = self.earlier.remove(&position);
        self.num_kept += usize::from(frame.is_some());
        frame
    }

    fn keep(&mut self, frames: &[VideoFrame]) {
        if self.last_kept.elapsed() >= KEEP_INTERVAL {
            self.keep_rest(frames);
        }
    }
}

fn is_worth_keeping(encoded: &EncodedVisual, elapsed: Duration) -> bool {
    let clip_bytes = encoded.clip.as_ref().map_or(0, |clip| clip.clip.bytes.len() as u128);
    let image_bytes: u128 = encoded.images.iter().map(|image| image.bytes.len() as u128).sum();
    elapsed.as_nanos() >= (clip_bytes + image_bytes) * LEAST_NANOSECONDS_PER_BYTE
}

/// Sizes and digest of the entry at a position; `None` at the end, and where no entry begins.
fn read_head(file: &File, position: u64) -> io::Result<Option<(u64, u64, u64)>> {
    let mut head = [0; HEAD_BYTES];
    match file.read_exact_at(&mut head, position) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let [magic, numbers @ ..] = head.as_chunks::<8>().0 else { return Ok(None) };
    let &[description_bytes, payload_bytes, digest] = numbers else { return Ok(None) };
    let number = u64::from_le_bytes;
    Ok((magic == MAGIC).then_some((number(description_bytes), number(payload_bytes), number(digest))))
}

#[cfg(test)]
mod tests {
    use manyframe_core::{ClipFile, FrameChoice, HandledImages, VisualKind};
    use manyframe_media::FrameDamage;

    use super::*;

    const SAMPLE: RecordId = RecordId([7; 16]);

    fn encoded(bytes: &[&[u8]]) -> EncodedVisual {
        let image = |bytes: &&[u8]| SampleImage {
            bytes: bytes.to_vec(),
            format: ImageFormat::Png,
            width_px: bytes.len() as u32,
            height_px: 2,
        };
        EncodedVisual {
            kind: VisualKind::Video,
            images: bytes.iter().map(image).collect(),
            clip: None,
            grid: None,
            cut: None,
            times_s: vec![0.1, 1.0 / 3.0],
            path: "a b.mp4".to_owned(),
            width_px: 5,
            height_px: 6,
            told_px: (5, 6),
            frames: Some(FrameChoice { num_frames: 9, fps: 29.97, taken: vec![0, 4] }),
            handled: HandledImages { num_encoded: bytes.len() as u64, ..HandledImages::default() },
            damage: FrameDamage { num_chosen: 3, num_missing: 1, ..FrameDamage::default() },
        }
    }

    /// The bytes of a journal with two entries, and where it is.
    fn written(plan: &Path) -> (PathBuf, Vec<u8>) {
        let journal = Journal::open(plan, 3);
        journal.write_visual((SAMPLE, 0), &encoded(&[b"one", b"second"]));
        journal.write_visual((SAMPLE, 1), &encoded(&[b"third"]));
        let path = plan.join("journal/000003-0.journal");
        (path.clone(), fs::read(path).unwrap())
    }

    #[test]
    fn the_next_process_reads_what_was_kept_and_the_end_of_the_task_removes_it() {
        let plan = tempfile::tempdir().unwrap();
        written(plan.path());
        let journal = Journal::open(plan.path(), 3);
        assert_eq!(journal.read(SAMPLE, 0), Some(encoded(&[b"one", b"second"])));
        assert_eq!(journal.read(SAMPLE, 1), Some(encoded(&[b"third"])));
        assert_eq!(journal.read(SAMPLE, 2), None);
        assert_eq!(Journal::open(plan.path(), 4).read(SAMPLE, 0), None);
        journal.write_visual((SAMPLE, 2), &encoded(&[b"fourth"]));
        let journal = Journal::open(plan.path(), 3);
        assert_eq!((journal.files.len(), journal.kept.len()), (2, 3));
        journal.remove();
        assert_eq!(fs::read_dir(plan.path().join("journal")).unwrap().count(), 0);
    }

    #[test]
    fn a_video_file_is_kept_with_the_positions_of_its_frames() {
        let plan = tempfile::tempdir().unwrap();
        let frames = ClipFrames {
            frame_indices: vec![3, 7],
            num_frames: 9,
            fps: 29.97,
            file: ClipFile::Cut,
            uncut_because: None,
        };
        let clip = SampleClip { bytes: b"a video".to_vec(), format: ClipFormat::Matroska };
        let kept = EncodedVisual { clip: Some(Box::new(DeliveredClip { clip, frames })), ..encoded(&[]) };
        Journal::open(plan.path(), 3).write_visual((SAMPLE, 0), &kept);
        assert_eq!(Journal::open(plan.path(), 3).read(SAMPLE, 0), Some(kept));
    }

    #[test]
    fn nothing_damaged_is_read() {
        let plan = tempfile::tempdir().unwrap();
        let (path, bytes) = written(plan.path());
        let expected = [encoded(&[b"one", b"second"]), encoded(&[b"third"])];
        let mut damaged: Vec<Vec<u8>> = (0..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
        damaged.extend((0..bytes.len()).map(|position| {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x10;
            flipped
        }));
        for damaged in damaged {
            File::create(&path).unwrap().write_all(&damaged).unwrap();
            let journal = Journal::open(plan.path(), 3);
            let read: Vec<Option<EncodedVisual>> = (0..2).map(|visual| journal.read(SAMPLE, visual)).collect();
            assert!(
                read.iter().zip(&expected).all(|(read, expected)| read.as_ref().is_none_or(|read| read == expected))
            );
            assert!(read.contains(&None));
        }
    }

    fn frame(index: usize) -> VideoFrame {
        let image = SampleImage {
            bytes: vec![index as u8; 9],
            format: ImageFormat::Jpeg,
            width_px: 5 + index as u32 % 2,
            height_px: 6,
        };
        VideoFrame { index, time_s: index as f64 / 3.0, image, handling: Handling::Encoded }
    }

    #[test]
    fn the_frames_of_a_video_that_takes_long_are_kept_while_it_is_decoded() {
        let plan = tempfile::tempdir().unwrap();
        let all: Vec<VideoFrame> = (0..6).map(frame).collect();
        let journal = Journal::open(plan.path(), 0);
        let mut frames = KeptFrames::of(&journal, (SAMPLE, 0), None);
        frames.keep(&all[..1]);
        frames.keep_rest(&all[..2]);
        frames.keep_rest(&all[..4]);

        let journal = Journal::open(plan.path(), 0);
        assert_eq!(journal.read(SAMPLE, 0), None);
        assert_eq!(journal.read_frames(SAMPLE, 0), all[..4]);
        let mut frames = KeptFrames::of(&journal, (SAMPLE, 0), None);
        let kept: Vec<VideoFrame> = (0..6).filter_map(|index| frames.kept(index)).collect();
        assert_eq!(kept, all[..4]);
        frames.keep_rest(&all);
        let journal = Journal::open(plan.path(), 0);
        assert_eq!(journal.read_frames(SAMPLE, 0), all);

        let mut of_size = KeptFrames::of(&journal, (SAMPLE, 0), Some((5, 6)));
        assert_eq!([1, 2, 2].map(|index| of_size.kept(index)), [None, Some(frame(2)), None]);
    }

    #[test]
    fn only_what_takes_long_is_kept() {
        let visual = encoded(&[&[0; 1000]]);
        assert!(is_worth_keeping(&visual, Duration::from_micros(20)));
        assert!(!is_worth_keeping(&visual, Duration::from_micros(19)));
    }
}
