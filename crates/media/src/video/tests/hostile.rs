//! Bad files are rejected with a reason, and never crash.

use std::path::Path;

use manyframe_core::{RejectCode, Rejection};

use super::clips::{Clips, PICTURE, index, open, write};
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::policy::ImagePolicy;
use crate::video::decode::{FrameSelection, decode_frames};
use crate::video::index::index_video;

fn code_of(path: &Path) -> RejectCode {
    match index(path) {
        Err(MediaError::Rejected(Rejection { code, .. })) => code,
        other => panic!("{path:?}: {other:?}"),
    }
}

fn code_of_bytes(clips: &Clips, bytes: &[u8]) -> RejectCode {
    let path = clips.path("bytes");
    write(&path, bytes);
    code_of(&path)
}

/// How many of all frames can be decoded.
fn num_decodable(path: &Path) -> Result<usize, MediaError> {
    let input = open(path)?;
    let index = index_video(&input, &MediaLimits::default(), None)?;
    let all: Vec<usize> = (0..index.num_frames()).collect();
    Ok(decode_frames(&input, FrameSelection { index: &index, positions: &all }, &ImagePolicy::default(), &mut ())?
        .frames
        .len())
}

#[test]
fn a_file_that_is_not_a_video_is_identified_by_its_bytes() {
    let clips = Clips::new();
    assert_eq!(code_of_bytes(&clips, b""), RejectCode::MediaEmpty);
    assert_eq!(code_of_bytes(&clips, b"<html>404 Not Found</html>"), RejectCode::MediaType);
    assert_eq!(code_of_bytes(&clips, b"version https://git-lfs.github.com/spec/v1\n"), RejectCode::MediaType);
    assert_eq!(code_of_bytes(&clips, b"\xff\xd8\xff\xe0\0\x10JFIF"), RejectCode::MediaType);
    assert_eq!(code_of_bytes(&clips, b"RIFF\xff\xff\xff\xffAVI LIST"), RejectCode::MediaCorrupt);
    assert_eq!(code_of_bytes(&clips, b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x10\0mdat"), RejectCode::MediaCorrupt);
}

#[test]
fn an_image_or_another_file_is_named() {
    let clips = Clips::new();
    let path = clips.path("bytes");
    for (bytes, expected) in [
        (&b"RIFF\x1a\0\0\0WEBPVP8X"[..], "an image (Webp), which is not read as a video, animated or not"),
        (b"\x89PNG\r\n\x1a\n", "an image (Png), which"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x08mdat", "image"),
        (b"RIFF\x1a\0\0\0WAVEfmt ", "the file is an audio file, expected a video"),
        (b"%PDF-1.4", "the file is a PDF document, expected a video"),
        (b"\x01\x02\x03", "it starts with \"\\x01\\x02\\x03\""),
    ] {
        write(&path, bytes);
        let error = index(&path).unwrap_err();
        let MediaError::Rejected(rejection) = &error else { panic!("{error:?}") };
        assert_eq!(rejection.code, RejectCode::MediaType, "{rejection}");
        assert!(rejection.detail.contains(expected), "{rejection}");
    }
}

#[test]
fn the_reason_that_ffmpeg_gives_is_named() {
    let clips = Clips::new();
    let options = "-c:v libx264 -g 30 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov";
    let bytes = std::fs::read(clips.make("a.mp4", &format!("{PICTURE} {options}"))).unwrap();
    let moof = bytes.windows(4).rposition(|kind| kind == b"moof").unwrap();
    let path = clips.path("cut.mp4");
    write(&path, &bytes[..moof + 40]);
    let MediaError::Rejected(rejection) = index(&path).unwrap_err() else { panic!("not a rejection") };
    assert_eq!(rejection.detail, "an MP4 that is cut short: Invalid data found when processing input");
}

#[test]
fn a_play_list_does_not_open_other_files() {
    let clips = Clips::new();
    let other = clips.make("a.ts", &format!("{PICTURE} -c:v mpeg2video"));
    let list = format!("#EXTM3U\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n", other.display());
    assert_eq!(code_of_bytes(&clips, list.as_bytes()), RejectCode::MediaType);
    let concat = format!("ffconcat version 1.0\nfile {}\n", other.display());
    assert_eq!(code_of_bytes(&clips, concat.as_bytes()), RejectCode::MediaType);
}

#[test]
fn sound_without_pictures_has_no_frames() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", "-f lavfi -i sine=duration=1 -c:a aac");
    assert_eq!(code_of(&path), RejectCode::NoFrames);
}

#[test]
fn limits_hold_before_anything_is_decoded() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", &format!("{PICTURE} -c:v libx264 -pix_fmt yuv420p"));
    let input = open(&path).unwrap();
    for limits in [
        MediaLimits { max_pixels: 96 * 64 - 1, ..MediaLimits::default() },
        MediaLimits { max_video_bytes: 1000, ..MediaLimits::default() },
    ] {
        let result = index_video(&input, &limits, None);
        assert!(
            matches!(result, Err(MediaError::Rejected(Rejection { code: RejectCode::MediaTooLarge, .. }))),
            "{result:?}"
        );
    }
    for fps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let result = index_video(&input, &MediaLimits::default(), Some(fps));
        assert!(
            matches!(result, Err(MediaError::Rejected(Rejection { code: RejectCode::UnexpectedSchema, .. }))),
            "{result:?}"
        );
    }
}

#[test]
fn an_index_needs_no_payload() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", &format!("{PICTURE} -c:v libx264 -bf 3 -pix_fmt yuv420p"));
    let mut bytes = std::fs::read(&path).unwrap();
    let payload = memchr::memmem::find(&bytes, b"mdat").unwrap() + 4;
    let end = memchr::memmem::find(&bytes, b"moov").unwrap() - 4;
    bytes[payload..end].fill(0xa5);
    let blank = clips.path("blank.mp4");
    write(&blank, &bytes);
    assert_eq!(index(&blank).unwrap(), index(&path).unwrap());
    let result = num_decodable(&blank);
    assert!(matches!(result, Err(MediaError::Rejected(Rejection { code: RejectCode::NoFrames, .. }))), "{result:?}");
}

#[test]
fn a_truncated_file_still_has_its_first_frames() {
    let clips = Clips::new();
    let arguments = format!("{PICTURE} -c:v libx264 -g 30 -pix_fmt yuv420p -movflags faststart");
    let path = clips.make("a.mp4", &arguments);
    let bytes = std::fs::read(&path).unwrap();
    let cut = clips.path("cut.mp4");
    write(&cut, &bytes[..bytes.len() / 2]);
    let num_frames = num_decodable(&cut).unwrap();
    assert!(num_frames > 10 && num_frames < 80, "{num_frames} frames");
    write(&cut, &bytes[..1000]);
    assert_eq!(code_of(&cut), RejectCode::MediaCorrupt);
}

#[test]
fn damage_anywhere_never_ends_in_a_crash() {
    let clips = Clips::new();
    let names = [
        ("a.mp4", "-c:v libx264 -g 15 -pix_fmt yuv420p -frames:v 30"),
        ("a.mkv", "-c:v libx264 -g 15 -pix_fmt yuv420p -frames:v 30"),
        ("a.webm", "-c:v libvpx -b:v 100k -g 15 -deadline realtime -cpu-used -8 -frames:v 30"),
        ("a.avi", "-c:v mpeg4 -g 15 -frames:v 30"),
        ("a.ts", "-c:v mpeg2video -g 15 -frames:v 30"),
        ("a.gif", "-r 5 -frames:v 5"),
    ];
    let damaged = clips.path("damaged");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for (name, arguments) in names {
        let path = clips.make(name, &format!("{PICTURE} {arguments}"));
        let bytes = std::fs::read(&path).unwrap();
        for _ in 0..20 {
            let mut copy = bytes.clone();
            for _ in 0..8 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 33) as usize % copy.len();
                copy[at] = (state >> 24) as u8;
            }
            write(&damaged, &copy);
            if let Err(error) = num_decodable(&damaged) {
                assert!(matches!(error, MediaError::Rejected(_)), "{name}: {error:?}");
            }
        }
    }
}
