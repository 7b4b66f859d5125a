//! What was decoded and encoded so far, so that work that is cut short does not begin again.
//!
//! ```text
//! DIRECTORY/NAME-M.journal    one file for each process that did this work; removed once it is done
//!     entry: "MFENTRY3" │ description: number of bytes │ payload: number of bytes │ digest of both │ description │ payload
//! ```
//!
//! The payload is the bytes of images, then others. What is complete is one entry. While a video takes long, what was made of its
//! frames so far are entries, too.
//!
//! Entries are written without a flush, and read back only if their digest is right: a killed process has left them with the
//! system. A journal that cannot be written or read costs time, never the work.

use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use manyframe_core::{Digest, Handling, ImageFormat, SampleImage};
use manyframe_media::video::{Beginning, FrameDigest, Keeper, Kept, Pass, VideoFrame};
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use twox_hash::XxHash3_64;

const MAGIC: &[u8; 8] = b"MFENTRY3";
const HEAD_BYTES: usize = 32;
const MAX_DESCRIPTION_BYTES: u64 = 16 << 20;

/// Something is kept if each of its bytes took this long to make. Writing one takes a fiftieth of that; what is not kept is made
/// again at 50 MB/s or faster.
const LEAST_NANOSECONDS_PER_BYTE: u128 = 20;

/// Time after which what was made of a video's frames is kept before all of them are decoded.
const KEEP_INTERVAL: Duration = Duration::from_secs(2);

/// The journal of some work.
pub struct Journal {
    directory: PathBuf,
    name: String,
    files: Vec<(PathBuf, File)>,
    whole: FxHashMap<Digest, Entry>,
    parts: FxHashMap<(Digest, Pass), Vec<Entry>>,
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
    /// What it is about.
    key: Digest,
    content: Content,
    images: Vec<ImageDescription>,
}

/// What an entry holds, without its images and other bytes.
#[derive(Serialize, Deserialize)]
enum Content {
    /// All that there is to keep.
    Whole(Value),
    /// What was made of some frames.
    Part(Part),
}

#[derive(Serialize, Deserialize)]
struct Part {
    pass: Pass,
    /// Frames in the entries before.
    num_before: usize,
    beginning: Option<Beginning>,
    frames: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct ImageDescription {
    format: ImageFormat,
    width_px: u32,
    height_px: u32,
    num_bytes: u64,
}

/// What an entry had besides its description.
#[derive(Debug, Default, PartialEq)]
pub struct Payload {
    /// Its images.
    pub images: Vec<SampleImage>,
    /// The bytes after them.
    pub rest: Vec<u8>,
}

impl Journal {
    /// The journal with this name in a directory, with what earlier processes have kept in it.
    pub fn open(directory: &Path, name: &str) -> Self {
        let mut journal = Self {
            directory: directory.to_owned(),
            name: name.to_owned(),
            files: Vec::new(),
            whole: FxHashMap::default(),
            parts: FxHashMap::default(),
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
        self.directory.join(format!("{}-{number}.journal", self.name))
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
            let Description { key, content, .. } = serde_json::from_slice(&text)?;
            let entry = Entry { file: self.files.len(), offset, description_bytes, payload_bytes, digest };
            match content {
                Content::Whole(_) => _ = self.whole.insert(key, entry),
                Content::Part(Part { pass, .. }) => self.parts.entry((key, pass)).or_default().push(entry),
            }
            start = end;
        }
        Ok(())
    }

    /// What was kept whole under a key, and what it had besides.
    pub fn read<T: DeserializeOwned>(&self, key: Digest) -> Option<(T, Payload)> {
        let (content, payload) = self.read_entry(self.whole.get(&key)?)?;
        let Content::Whole(value) = content else { return None };
        Some((serde_json::from_value(value).ok()?, payload))
    }

    /// What was kept of a pass.
    fn read_parts<T: Keepable>(&self, key: Digest, pass: Pass) -> Kept<T> {
        let mut kept = Kept::default();
        for entry in self.parts.get(&(key, pass)).into_iter().flatten() {
            let Some((Content::Part(part), payload)) = self.read_entry(entry) else { break };
            let Part { num_before, beginning, frames, .. } = part;
            // Another process may have started again, or one entry is damaged.
            let mut images = payload.images.into_iter();
            let items: Option<Vec<T>> = frames.into_iter().map(|frame| T::read(frame, &mut images)).collect();
            let Some(items) = items.filter(|_| num_before <= kept.items.len()) else { break };
            kept.items.truncate(num_before);
            kept.items.extend(items);
            kept.beginning = beginning;
        }
        kept
    }

    /// What an entry holds, and its payload.
    fn read_entry(&self, entry: &Entry) -> Option<(Content, Payload)> {
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
        Some((description.content, Payload { images, rest: rest.to_vec() }))
    }

    /// Keeps something whole, if making it took so long that reading it is much faster.
    pub fn keep<'i>(
        &self,
        key: Digest,
        whole: &impl Serialize,
        images: impl IntoIterator<Item = &'i SampleImage, IntoIter: Clone>,
        (rest, elapsed): (&[u8], Duration),
    ) {
        let images = images.into_iter();
        let num_bytes = images.clone().map(|image| image.bytes.len()).sum::<usize>() + rest.len();
        if elapsed.as_nanos() >= num_bytes as u128 * LEAST_NANOSECONDS_PER_BYTE
            && let Ok(value) = serde_json::to_value(whole)
        {
            self.write(key, Content::Whole(value), images, rest);
        }
    }

    /// Keeps what is made of the frames of a video while it is decoded. Frames that are not of the size that is given, width and
    /// height in pixels, do not count.
    pub fn frames(&self, key: Digest, size_px: Option<(u32, u32)>) -> KeptFrames<'_> {
        KeptFrames { journal: self, key, size_px, num_kept: FxHashMap::default(), last_kept: Instant::now() }
    }

    /// Writes an entry: a description, the bytes of images, and others.
    fn write<'i>(
        &self,
        key: Digest,
        content: Content,
        images: impl Iterator<Item = &'i SampleImage> + Clone,
        rest: &[u8],
    ) {
        let describe = |image: &SampleImage| {
            let &SampleImage { format, width_px, height_px, .. } = image;
            ImageDescription { format, width_px, height_px, num_bytes: image.bytes.len() as u64 }
        };
        let description = Description { key, content, images: images.clone().map(describe).collect() };
        let Ok(description) = serde_json::to_vec(&description) else { return };
        let payload: Vec<&[u8]> = images.map(|image| &image.bytes[..]).chain([rest]).collect();
        let payload_bytes: usize = payload.iter().map(|part| part.len()).sum();
        let mut digest = XxHash3_64::new();
        digest.write(&description);
        for part in &payload {
            digest.write(part);
        }
        let mut start = Vec::with_capacity(HEAD_BYTES + description.len());
        start.extend(MAGIC);
        start.extend((description.len() as u64).to_le_bytes());
        start.extend((payload_bytes as u64).to_le_bytes());
        start.extend(digest.finish().to_le_bytes());
        start.extend(description);
        let mut entry: Vec<IoSlice<'_>> = [&start[..]].into_iter().chain(payload).map(IoSlice::new).collect();
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.append(&mut output, &mut entry) {
            tracing::debug!(name = self.name, %error, "the journal cannot be written; work that is cut short begins again");
            if let Output::File(path, _) = std::mem::replace(&mut *output, Output::Failed) {
                // Its space may be what the shard needs.
                _ = fs::remove_file(path);
            }
        }
    }

    fn append(&self, output: &mut Output, entry: &mut [IoSlice<'_>]) -> io::Result<()> {
        if let Output::None = output {
            fs::create_dir_all(&self.directory)?;
            let (path, file) = self.create()?;
            *output = Output::File(path, file);
        }
        match output {
            Output::File(_, file) => write_all_parts(file, entry),
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

    /// Removes the files of the journal, once the work is done.
    pub fn remove(self) {
        let output = self.output.into_inner().unwrap_or_else(PoisonError::into_inner);
        let written = if let Output::File(path, _) = output { Some(path) } else { None };
        for path in self.files.into_iter().map(|(path, _)| path).chain(written) {
            // They go with their directory otherwise.
            _ = fs::remove_file(path);
        }
    }
}

/// Writes all of the parts, without joining them first.
fn write_all_parts(file: &mut File, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Those that are empty at the start count as written.
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match file.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(num_bytes) => IoSlice::advance_slices(&mut parts, num_bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Something that is made of a frame, and can be kept.
trait Keepable: Sized + Clone {
    /// All of it but its image.
    fn describe(&self) -> Value;
    /// Its image.
    fn image(&self) -> Option<&SampleImage>;
    /// The opposite of both.
    fn read(description: Value, images: &mut impl Iterator<Item = SampleImage>) -> Option<Self>;
}

impl Keepable for FrameDigest {
    fn describe(&self) -> Value {
        serde_json::json!(self)
    }

    fn image(&self) -> Option<&SampleImage> {
        None
    }

    fn read(description: Value, _: &mut impl Iterator<Item = SampleImage>) -> Option<Self> {
        serde_json::from_value(description).ok()
    }
}

impl Keepable for VideoFrame {
    fn describe(&self) -> Value {
        serde_json::json!((self.index, self.time_s, self.handling))
    }

    fn image(&self) -> Option<&SampleImage> {
        Some(&self.image)
    }

    fn read(description: Value, images: &mut impl Iterator<Item = SampleImage>) -> Option<Self> {
        let (index, time_s, handling): (usize, f64, Handling) = serde_json::from_value(description).ok()?;
        Some(Self { index, time_s, image: images.next()?, handling })
    }
}

/// What was made of the frames of one video, while it is decoded.
pub struct KeptFrames<'j> {
    journal: &'j Journal,
    key: Digest,
    size_px: Option<(u32, u32)>,
    /// Number of frames of each pass that are kept so far.
    num_kept: FxHashMap<Pass, usize>,
    last_kept: Instant,
}

impl KeptFrames<'_> {
    fn keep_rest<T: Keepable>(&mut self, pass: Pass, items: &[T], beginning: Option<Beginning>) {
        let num_before = self.num_kept.get(&pass).copied().unwrap_or(0);
        let rest = items.get(num_before..).unwrap_or_default();
        let frames = rest.iter().map(Keepable::describe).collect();
        let content = Content::Part(Part { pass, num_before, beginning, frames });
        self.journal.write(self.key, content, rest.iter().filter_map(Keepable::image), &[]);
        self.num_kept.insert(pass, items.len());
        self.last_kept = Instant::now();
    }
}

impl<T: Keepable> Keeper<T> for KeptFrames<'_> {
    fn kept(&mut self, pass: Pass) -> Kept<T> {
        let is_of_size = |item: &T| {
            let own_px = item.image().map(|image| (image.width_px, image.height_px));
            own_px.is_none() || self.size_px.is_none() || own_px == self.size_px
        };
        let mut kept = self.journal.read_parts::<T>(self.key, pass);
        if !kept.items.iter().all(is_of_size) {
            kept = Kept::default();
        }
        self.num_kept.insert(pass, kept.items.len());
        kept
    }

    fn keep(&mut self, pass: Pass, items: &[T], beginning: Option<Beginning>) {
        // What is kept does not depend on the clock, only when.
        if self.last_kept.elapsed() >= KEEP_INTERVAL {
            self.keep_rest(pass, items, beginning);
        }
    }

    fn forget(&mut self, pass: Pass) {
        self.num_kept.insert(pass, 0);
    }
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
    use super::*;

    fn key(number: u8) -> Digest {
        Digest([number; 32])
    }

    fn image(bytes: &[u8]) -> SampleImage {
        SampleImage { bytes: bytes.to_vec(), format: ImageFormat::Png, width_px: bytes.len() as u32, height_px: 2 }
    }

    fn payload(images: &[&[u8]], rest: &[u8]) -> Payload {
        Payload { images: images.iter().map(|bytes| image(bytes)).collect(), rest: rest.to_vec() }
    }

    const LONG: Duration = Duration::from_secs(1);

    fn expected() -> [(Vec<f64>, Payload); 2] {
        [(vec![0.1, 1.0 / 3.0], payload(&[b"one", b"second"], b"and a file")), (vec![], payload(&[b"third"], b""))]
    }

    /// The bytes of a journal with two entries, and where it is.
    fn written(directory: &Path) -> (PathBuf, Vec<u8>) {
        let journal = Journal::open(directory, "a");
        for (number, (times, payload)) in expected().iter().enumerate() {
            journal.keep(key(number as u8), times, &payload.images, (&payload.rest, LONG));
        }
        let path = directory.join("a-0.journal");
        (path.clone(), fs::read(path).unwrap())
    }

    #[test]
    fn the_next_process_reads_what_was_kept_and_the_end_of_the_work_removes_it() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("journal");
        written(&directory);
        let journal = Journal::open(&directory, "a");
        let [first, second] = expected();
        assert_eq!(journal.read(key(0)), Some(first));
        assert_eq!(journal.read(key(1)), Some(second));
        assert_eq!(journal.read::<Vec<f64>>(key(2)), None);
        assert_eq!(Journal::open(&directory, "b").read::<Vec<f64>>(key(0)), None);
        journal.keep(key(2), &"fourth", [], (b"", LONG));
        let journal = Journal::open(&directory, "a");
        assert_eq!((journal.files.len(), journal.whole.len()), (2, 3));
        journal.remove();
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    }

    #[test]
    fn nothing_damaged_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = written(folder.path());
        let mut damaged: Vec<Vec<u8>> = (0..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
        damaged.extend((0..bytes.len()).map(|position| {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x10;
            flipped
        }));
        for damaged in damaged {
            File::create(&path).unwrap().write_all(&damaged).unwrap();
            let journal = Journal::open(folder.path(), "a");
            let read = [0, 1].map(|number| journal.read::<Vec<f64>>(key(number)));
            assert!(read.iter().zip(&expected()).all(|(read, right)| read.as_ref().is_none_or(|read| read == right)));
            assert!(read.contains(&None));
        }
    }

    fn frame(index: usize) -> VideoFrame {
        let image = SampleImage {
            bytes: vec![index as u8; 9],
            format: ImageFormat::Jpeg,
            width_px: 5 + u32::from(index > 4),
            height_px: 6,
        };
        VideoFrame { index, time_s: index as f64 / 3.0, image, handling: Handling::Encoded }
    }

    fn digest(index: usize) -> FrameDigest {
        FrameDigest { index, digest: key(index as u8), width_px: 5, height_px: 6 }
    }

    const BEGINNING: Option<Beginning> = Some(Beginning { packet: 9, num_frames: 4 });

    #[test]
    fn what_is_made_of_frames_is_kept_while_a_video_that_takes_long_is_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<VideoFrame> = (0..6).map(frame).collect();
        let read =
            |journal: &Journal, size_px| -> Kept<VideoFrame> { journal.frames(key(0), size_px).kept(Pass::Frames) };
        let journal = Journal::open(folder.path(), "a");
        let mut frames = journal.frames(key(0), None);
        assert_eq!(Keeper::<VideoFrame>::kept(&mut frames, Pass::Frames), Kept::default());
        frames.keep(Pass::Frames, &all[..1], None);
        frames.keep_rest(Pass::Frames, &all[..2], None);
        frames.keep_rest(Pass::Frames, &all[..4], BEGINNING);
        frames.keep_rest(Pass::Cut, &[digest(1)], None);

        let journal = Journal::open(folder.path(), "a");
        assert_eq!(read(&journal, None), Kept { items: all[..4].to_vec(), beginning: BEGINNING });
        let mut frames = journal.frames(key(0), None);
        _ = Keeper::<VideoFrame>::kept(&mut frames, Pass::Frames);
        frames.keep_rest(Pass::Frames, &all, None);
        let cut: Kept<FrameDigest> = frames.kept(Pass::Cut);
        assert_eq!(cut, Kept { items: vec![digest(1)], beginning: None });
        let digests: Kept<FrameDigest> = frames.kept(Pass::Digests);
        assert_eq!(digests, Kept::default());

        let journal = Journal::open(folder.path(), "a");
        assert_eq!(read(&journal, None), Kept { items: all, beginning: None });
        // Some are of another size.
        assert_eq!(read(&journal, Some((5, 6))), Kept::default());
    }

    #[test]
    fn a_pass_that_started_again_does_not_have_what_was_kept_before() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), "a");
        let mut frames = journal.frames(key(0), None);
        frames.keep_rest(Pass::Cut, &[digest(0), digest(1), digest(2)], BEGINNING);
        Keeper::<FrameDigest>::forget(&mut frames, Pass::Cut);
        frames.keep_rest(Pass::Cut, &[digest(5)], None);
        frames.keep_rest(Pass::Cut, &[digest(5), digest(6)], None);
        let kept: Kept<FrameDigest> = Journal::open(folder.path(), "a").frames(key(0), None).kept(Pass::Cut);
        assert_eq!(kept, Kept { items: vec![digest(5), digest(6)], beginning: None });
    }

    #[test]
    fn only_what_takes_long_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), "a");
        journal.keep(key(0), &0, &[image(&[0; 900])], (&[0; 100], Duration::from_micros(20)));
        journal.keep(key(1), &0, &[image(&[0; 900])], (&[0; 100], Duration::from_micros(19)));
        let journal = Journal::open(folder.path(), "a");
        assert!(journal.read::<u8>(key(0)).is_some() && journal.read::<u8>(key(1)).is_none());
    }
}
