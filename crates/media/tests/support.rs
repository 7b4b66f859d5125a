//! Shared by the tests: fixtures, small generated images, reject codes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use manyframe_core::{RejectCode, Rejection};
use manyframe_media::{JpegOptions, Located, MediaError, MediaRoot, MediaStore, RgbImage, encode_jpeg};

/// A fixture as the index describes it.
pub(crate) struct Fixture {
    pub name: String,
    pub width_px: u32,
    pub height_px: u32,
    pub orientation: u8,
    pub is_animated: bool,
    pub deliverable_as_is: bool,
    pub bytes: Vec<u8>,
    /// What Pillow shows.
    pub pixels: Vec<u8>,
}

pub(crate) fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/images");
    let index = fs::read_to_string(folder.join("index.tsv")).unwrap();
    let fixtures = index.lines().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, width, height, orientation, animated, as_is] = fields[..] else { panic!("{line:?}") };
        Fixture {
            name: name.to_owned(),
            width_px: width.parse().unwrap(),
            height_px: height.parse().unwrap(),
            orientation: orientation.parse().unwrap(),
            is_animated: animated == "1",
            deliverable_as_is: as_is == "1",
            bytes: fs::read(folder.join(name)).unwrap(),
            pixels: fs::read(folder.join(format!("{name}.rgb"))).unwrap(),
        }
    });
    fixtures.collect()
}

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    fixtures().into_iter().find(|fixture| fixture.name == name).unwrap().bytes
}

/// Pixels without symmetry or repetition.
pub(crate) fn picture(width_px: u32, height_px: u32) -> RgbImage {
    let pixels = (0..height_px).flat_map(|y| {
        (0..width_px).flat_map(move |x| [(x * 3 + y) as u8 / 2, (y * 2 + x / 3) as u8 / 2, (x ^ y) as u8 / 4])
    });
    RgbImage::try_new(width_px, height_px, pixels.collect()).unwrap()
}

pub(crate) fn jpeg(width_px: u32, height_px: u32) -> Vec<u8> {
    encode_jpeg(picture(width_px, height_px).view(), JpegOptions::default()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a fixture that was half written fails its test")]
pub(crate) fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap();
}

/// A store with one root for every subset.
pub(crate) fn store(root: &Path) -> MediaStore {
    MediaStore::open(&[root_at(root)]).unwrap()
}

pub(crate) fn root_at(path: &Path) -> MediaRoot {
    MediaRoot { subset: None, path: PathBuf::from(path), name: path.display().to_string(), links: Vec::new() }
}

/// The bytes of the medium at a path.
pub(crate) fn read(store: &MediaStore, path: &str) -> Result<Vec<u8>, MediaError> {
    store.locate("", path)?.read(1 << 30)
}

/// The files of a located directory.
pub(crate) fn frame_names(located: &Located) -> Vec<String> {
    let Located::Directory { frames, .. } = located else { panic!("{located:?}") };
    let name = |frame: &Located| match frame {
        Located::File(path) => path.file_name().unwrap().to_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    frames.iter().map(name).collect()
}

#[track_caller]
pub(crate) fn reject<T: std::fmt::Debug>(result: Result<T, MediaError>) -> Rejection {
    match result {
        Err(MediaError::Rejected(rejection)) => rejection,
        other => panic!("expected a rejection, found {other:?}"),
    }
}

#[track_caller]
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, MediaError>) -> RejectCode {
    reject(result).code
}

/// A TIFF structure that holds an orientation.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    [&b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation], &[0; 6]].concat()
}

pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn png_chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(&kind);
    crc.update(content);
    [&(content.len() as u32).to_be_bytes(), &kind[..], content, &crc.sum().to_be_bytes()].concat()
}

/// `rgb.png` with chunks before its pixels.
pub(crate) fn png_with(chunks: &[u8]) -> Vec<u8> {
    png_around(chunks, &[])
}

/// `rgb.png` with chunks after its pixels.
pub(crate) fn png_with_after(chunks: &[u8]) -> Vec<u8> {
    png_around(&[], chunks)
}

/// `rgb.png` with chunks before and after its pixels.
pub(crate) fn png_around(before: &[u8], after: &[u8]) -> Vec<u8> {
    let mut bytes = fixture("rgb.png");
    let end = bytes.len() - 12;
    bytes.splice(end..end, after.iter().copied());
    bytes.splice(33..33, before.iter().copied());
    bytes
}

/// `baseline.jpg` with a segment after its first one.
pub(crate) fn jpeg_with(marker: u8, segment: &[u8]) -> Vec<u8> {
    let mut bytes = fixture("baseline.jpg");
    let length = (segment.len() as u16 + 2).to_be_bytes();
    bytes.splice(20..20, [&[0xff, marker][..], &length, segment].concat());
    bytes
}

/// A chunk of a WebP.
pub(crate) fn riff_chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = vec![0; content.len() % 2];
    [&kind[..], &(content.len() as u32).to_le_bytes(), content, &padding].concat()
}

/// A WebP of these chunks.
pub(crate) fn riff(chunks: &[u8]) -> Vec<u8> {
    [&b"RIFF"[..], &(chunks.len() as u32 + 4).to_le_bytes(), b"WEBP", chunks].concat()
}
