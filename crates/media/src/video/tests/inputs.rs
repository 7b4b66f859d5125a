//! Videos inside archives and files, and directories of frames.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use manyframe_base::InputFile;
use manyframe_core::{RejectCode, Rejection};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::clips::{Clips, PICTURE, open, write};
use crate::damage::FrameDamage;
use crate::encode::encode_jpeg;
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::pixels::RgbImage;
use crate::policy::{ImagePolicy, JpegOptions};
use crate::store::{MediaRoot, MediaStore};
use crate::video::decode::{FrameSelection, decode_frames};
use crate::video::decoded::VideoFrame;
use crate::video::index::index_video;
use crate::video::input::{VideoInput, open_input, open_range};

fn some_frames(input: &VideoInput) -> Vec<VideoFrame> {
    let index = index_video(input, &MediaLimits::default(), None).unwrap();
    decode_frames(input, FrameSelection { index: &index, positions: &[3, 40, 80] }, &ImagePolicy::default(), &mut ())
        .unwrap()
        .frames
}

pub(super) fn store(root: &Path) -> MediaStore {
    MediaStore::open(&[MediaRoot { subset: None, path: root.to_owned(), name: "root".to_owned(), links: Vec::new() }])
        .unwrap()
}

#[test]
fn a_video_is_the_same_wherever_it_is() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", &format!("{PICTURE} -c:v libx264 -g 30 -pix_fmt yuv420p"));
    let bytes = std::fs::read(&path).unwrap();
    let expected = some_frames(&open(&path).unwrap());
    assert_eq!(expected.iter().map(|frame| frame.index).collect::<Vec<_>>(), [3, 40, 80]);

    let packed = clips.path("a.zip");
    let mut writer = ZipWriter::new(File::create(&packed).unwrap());
    for (name, method) in [("stored.mp4", CompressionMethod::Stored), ("deflated.mp4", CompressionMethod::Deflated)] {
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    writer.finish().unwrap();
    let store = store(&packed);
    for name in ["stored.mp4", "deflated.mp4"] {
        let located = store.locate("", name).unwrap();
        assert_eq!(some_frames(&open_input(&located).unwrap()), expected, "{name}");
    }

    let around = clips.path("around");
    write(&around, [b"xyz", &bytes[..], b"more"].concat());
    assert_eq!(some_frames(&open_range(&InputFile::open(&around).unwrap(), 3, bytes.len() as u64).unwrap()), expected);
    assert!(matches!(
        open_range(&InputFile::open(&around).unwrap(), 5, u64::MAX),
        Err(MediaError::Rejected(Rejection { code: RejectCode::MediaCorrupt, .. }))
    ));
}

#[test]
fn a_scaled_frame_fits_the_policy() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", &format!("{PICTURE} -c:v libx264 -pix_fmt yuv420p"));
    let input = open(&path).unwrap();
    let index = index_video(&input, &MediaLimits::default(), None).unwrap();
    let policy = ImagePolicy { max_edge_px: Some(48), ..ImagePolicy::default() };
    let frames =
        decode_frames(&input, FrameSelection { index: &index, positions: &[89, 5, 5, 1000] }, &policy, &mut ())
            .unwrap()
            .frames;
    let sizes: Vec<_> = frames.iter().map(|frame| (frame.index, frame.image.width_px, frame.image.height_px)).collect();
    assert_eq!(sizes, [(5, 48, 32), (89, 48, 32)]);
    assert!((frames[1].time_s - 89.0 / 30.0).abs() < 1e-9);
}

#[test]
fn a_gif_can_be_given_another_rate() {
    let clips = Clips::new();
    let path = clips.make("a.gif", &format!("{PICTURE} -vf fps=10"));
    let index = index_video(&open(&path).unwrap(), &MediaLimits::default(), Some(25.0)).unwrap();
    assert_eq!((index.fps(), index.time_s(5), index.num_frames()), (25.0, 0.2, 30));
}

#[test]
fn a_directory_of_images_is_a_video_in_natural_order() {
    let directory = tempfile::tempdir().unwrap();
    let frames = directory.path().join("clip");
    std::fs::create_dir(&frames).unwrap();
    for number in 1..=12_u8 {
        let image = RgbImage::gray(32, 24, number * 20).unwrap();
        let bytes = encode_jpeg(image.view(), JpegOptions::default()).unwrap();
        write(frames.join(format!("frame{number}.jpg")), bytes);
    }
    write(frames.join("frame5.jpg"), b"broken");
    let store = store(directory.path());
    let input = open_input(&store.locate("", "clip").unwrap()).unwrap();
    let index = index_video(&input, &MediaLimits::default(), Some(2.0)).unwrap();
    assert_eq!((index.num_frames(), index.width_px, index.height_px, index.duration_s()), (12, 32, 24, 6.0));
    let decoded = decode_frames(
        &input,
        FrameSelection { index: &index, positions: &[1, 4, 9] },
        &ImagePolicy::default(),
        &mut (),
    )
    .unwrap();
    let expected = [1, 9].map(|position| std::fs::read(frames.join(format!("frame{}.jpg", position + 1))).unwrap());
    assert_eq!(decoded.damage, FrameDamage { num_chosen: 3, num_missing: 1, ..FrameDamage::default() });
    assert_eq!(decoded.frames.iter().map(|frame| frame.image.bytes.clone()).collect::<Vec<_>>(), expected);
    let none =
        decode_frames(&input, FrameSelection { index: &index, positions: &[4] }, &ImagePolicy::default(), &mut ());
    assert!(matches!(none, Err(MediaError::Rejected(Rejection { code: RejectCode::NoFrames, .. }))));
}
