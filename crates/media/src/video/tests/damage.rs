//! Damage leaves a trace: frames that are missing or damaged are counted, and tables that cannot be true are rejected.

use std::path::Path;

use manyframe_core::RejectCode;

use super::clips::{Clips, PICTURE, index, open, write};
use crate::damage::FrameDamage;
use crate::error::MediaError;
use crate::policy::ImagePolicy;
use crate::sampling::Sampling;
use crate::video::choose::choose_frames;
use crate::video::decode::{FrameSelection, decode_frames};

/// What is wrong with the frames of a clip, of which one is chosen every half second.
fn damage(path: &Path) -> FrameDamage {
    let index = index(path).unwrap();
    let chosen = choose_frames(&index, None, &Sampling::Interval { interval_s: 0.5, max_frames: 128 }).unwrap();
    let selection = FrameSelection { index: &index, positions: &chosen };
    let decoded = decode_frames(&open(path).unwrap(), selection, &ImagePolicy::default()).unwrap();
    assert_eq!(decoded.frames.len() + decoded.damage.num_missing, decoded.damage.num_chosen);
    decoded.damage
}

const ENCODERS: [(&str, &str); 8] = [
    ("a.mp4", "-c:v libx264 -g 30 -pix_fmt yuv420p"),
    ("a.mkv", "-c:v libx264 -g 30 -x264-params open-gop=1 -pix_fmt yuv420p"),
    ("a.ts", "-c:v libx264 -g 30 -pix_fmt yuv420p"),
    ("b.ts", "-c:v mpeg2video -bf 2 -g 15"),
    ("a.flv", "-c:v flv1 -g 30"),
    ("a.avi", "-c:v mpeg4 -bf 2 -g 30"),
    ("b.avi", "-c:v mjpeg"),
    ("a.webm", "-c:v libvpx -b:v 100k -g 30 -deadline realtime -cpu-used 8"),
];

#[test]
fn nothing_is_wrong_with_a_good_clip() {
    let clips = Clips::new();
    for (name, encoder) in ENCODERS {
        let damage = damage(&clips.make(name, &format!("{PICTURE} {encoder}")));
        assert!(damage.is_none() && damage.num_chosen == 6, "{name}: {damage:?}");
    }
}

#[test]
fn frames_beyond_the_end_of_a_cut_mp4_are_missing() {
    let clips = Clips::new();
    for (name, encoder) in [("a.mp4", "-c:v libx264 -g 30 -pix_fmt yuv420p"), ("b.mp4", "-c:v mpeg4 -g 30")] {
        let path = clips.make(name, &format!("{PICTURE} {encoder} -movflags faststart"));
        let bytes = std::fs::read(&path).unwrap();
        write(&path, &bytes[..bytes.len() / 2]);
        let index = index(&path).unwrap();
        assert_eq!(index.num_frames(), 90, "{name}");
        let num_absent = index.num_absent(&[0, 15, 30, 45, 60, 75]);
        let damage = damage(&path);
        assert!((2..5).contains(&num_absent) && damage.num_missing == num_absent, "{name}: {num_absent}, {damage}");
    }
}

#[test]
fn a_garbled_frame_damages_those_that_refer_to_it() {
    let clips = Clips::new();
    for (name, encoder) in [
        ("a.mp4", "-c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p"),
        ("a.mkv", "-c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p"),
        ("a.avi", "-c:v mpeg4 -g 30 -q:v 3"),
        ("b.ts", "-c:v mpeg2video -g 30 -q:v 3"),
    ] {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let good = index(&path).unwrap();
        // Half a second after the second keyframe is the fourth of the frames that are chosen; this is before it.
        let packet = good.packets[38];
        let mut bytes = std::fs::read(&path).unwrap();
        let start = packet.position as usize + packet.num_bytes / 3;
        let end = (packet.position as usize + packet.num_bytes).min(start + 40);
        bytes[start..end].iter_mut().zip(0..).for_each(|(byte, at)| *byte ^= 0x5a_u8.rotate_left(at));
        write(&path, &bytes);
        let damage = damage(&path);
        assert_eq!((damage.num_missing, damage.num_damaged), (0, 1), "{name}: {damage:?}");
    }
}

#[test]
fn joined_streams_are_not_damaged() {
    let clips = Clips::new();
    let path = clips.make("a.ts", &format!("{PICTURE} -c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p"));
    let bytes = std::fs::read(&path).unwrap();
    write(&path, [&bytes[..], &bytes[..]].concat());
    let index = index(&path).unwrap();
    let all: Vec<usize> = (0..index.num_frames()).collect();
    let selection = FrameSelection { index: &index, positions: &all };
    let decoded = decode_frames(&open(&path).unwrap(), selection, &ImagePolicy::default()).unwrap();
    assert_eq!((decoded.frames.len(), decoded.damage.num_damaged), (180, 0));
}

/// A box of an MP4.
fn boxed(kind: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    [&(contents.len() as u32 + 8).to_be_bytes()[..], &kind, &contents].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// An MP4 of JPEGs of 64×64 pixels with these offsets of samples, each of `sample_bytes`, and 100,000 bytes of payload.
fn mp4_of_samples(offsets: &[u32], sample_bytes: u32) -> Vec<u8> {
    let num_samples = offsets.len() as u32;
    let matrix = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
    let entry = boxed(
        *b"jpeg",
        &[&words(&[0, 1, 0, 0, 0, 0, 0x0040_0040, 0x48_0000, 0x48_0000, 0, 0x1_0000]), &[0; 30], &[0, 24, 0xff, 0xff]],
    );
    let table = boxed(
        *b"stbl",
        &[
            &boxed(*b"stsd", &[&words(&[0, 1]), &entry]),
            &boxed(*b"stts", &[&words(&[0, 1, num_samples, 1])]),
            &boxed(*b"stsc", &[&words(&[0, 1, 1, 1, 1])]),
            &boxed(*b"stsz", &[&words(&[0, sample_bytes, num_samples])]),
            &boxed(*b"stco", &[&words(&[0, num_samples]), &words(offsets)]),
        ],
    );
    let header =
        boxed(*b"tkhd", &[&words(&[7, 0, 0, 1, 0, num_samples, 0, 0, 0, 0]), &words(&matrix), &words(&[64 << 16; 2])]);
    let media = boxed(
        *b"mdia",
        &[
            &boxed(*b"mdhd", &[&words(&[0, 0, 0, 25, num_samples, 0])]),
            &boxed(*b"hdlr", &[&words(&[0, 0]), b"vide", &[0; 13]]),
            &boxed(*b"minf", &[&table]),
        ],
    );
    let movie =
        boxed(*b"mvhd", &[&words(&[0, 0, 0, 25, num_samples, 0x1_0000, 0, 0, 0]), &words(&matrix), &words(&[0; 7])]);
    let payload = boxed(*b"mdat", &[&[0xff, 0xd8, 0xff, 0xd9].repeat(25_000)]);
    [boxed(*b"ftyp", &[b"isom\0\0\0\0"]), payload, boxed(*b"moov", &[&movie, &boxed(*b"trak", &[&header, &media])])]
        .concat()
}

#[test]
fn tables_that_cannot_be_true_are_rejected_when_they_are_read() {
    let clips = Clips::new();
    let path = clips.path("a.mp4");
    for (offsets, sample_bytes, expected) in [
        (vec![24; 1_000_000], 90_000, "claim"),
        ((0..100_000).map(|sample| 24 + sample).collect(), 3_000, "claim"),
        (vec![24, 1024, 2000], 1_000, "samples overlap: one starts at byte 2000, where another ends at 2024"),
    ] {
        write(&path, mp4_of_samples(&offsets, sample_bytes));
        let error = index(&path).unwrap_err();
        let MediaError::Rejected(rejection) = &error else { panic!("{error:?}") };
        assert_eq!(rejection.code, RejectCode::MediaCorrupt, "{rejection}");
        assert!(rejection.detail.contains(expected), "{rejection}");
    }
    write(&path, mp4_of_samples(&[24, 1024, 2024], 1_000));
    assert_eq!(index(&path).unwrap().num_frames(), 3);
}
