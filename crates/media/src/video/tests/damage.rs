//! Damage leaves a trace: frames that are missing or damaged are counted, and tables that cannot be true are rejected.

use std::path::Path;
use std::time::{Duration, Instant};

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
    let decoded = decode_frames(&open(path).unwrap(), selection, &ImagePolicy::default(), &mut ()).unwrap();
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
    ("a.webm", "-c:v libvpx -b:v 100k -g 30 -deadline realtime -cpu-used -8"),
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
        let num_absent = index.known_damage(&[0, 15, 30, 45, 60, 75]).num_missing;
        let damage = damage(&path);
        assert!((2..5).contains(&num_absent) && damage.num_missing == num_absent, "{name}: {num_absent}, {damage}");
    }
}

#[test]
fn a_file_that_was_cut_short_says_how_many_frames_are_missing() {
    let clips = Clips::new();
    for (name, encoder) in [
        ("a.mkv", "-c:v libx264 -g 30 -pix_fmt yuv420p"),
        ("a.webm", "-c:v libvpx -b:v 100k -g 30 -deadline realtime -cpu-used -8"),
        ("a.avi", "-c:v mpeg4 -bf 2 -g 30"),
        ("a.flv", "-c:v libx264 -g 30 -pix_fmt yuv420p"),
        ("a.wmv", "-c:v wmv2 -g 30"),
    ] {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let bytes = std::fs::read(&path).unwrap();
        write(&path, &bytes[..bytes.len() / 2]);
        let cut = index(&path).unwrap();
        let known = cut.known_damage(&[0, 15, 30, 45, 60, 75]);
        // Where the cut separates frames from the one that they precede, these are not counted.
        let num_frames = cut.num_frames();
        assert!(
            (88..=90).contains(&num_frames) && (2..5).contains(&known.num_missing),
            "{name}: {num_frames}, {known}"
        );
        assert!((cut.duration_s() - 3.0).abs() < 0.1, "{name}: {}", cut.duration_s());
        let damage = damage(&path);
        assert!(damage.num_missing >= known.num_missing && !damage.is_incomplete, "{name}: {damage}");
    }
    for (name, encoder) in
        [("a.gif", "-r 10"), ("a.mp4", "-c:v libx264 -g 15 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov")]
    {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let bytes = std::fs::read(&path).unwrap();
        write(&path, &bytes[..bytes.len() / 2]);
        assert!(index(&path).unwrap().known_damage(&[0]).is_incomplete, "{name}");
    }
}

/// Bytes that look like nothing.
pub(super) fn noise(num_bytes: usize) -> Vec<u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(1), next).map(|state| (state >> 24) as u8).take(num_bytes).collect()
}

#[test]
fn what_follows_the_end_of_a_good_file_is_no_damage() {
    const SOUND: &str = "-f lavfi -i sine=duration=4";
    const PAUSE: &str = r"-vf select=lt(mod(n\,30)\,9) -vsync vfr";
    const H264: &str = "-c:v libx264 -g 30 -pix_fmt yuv420p";
    let clips = Clips::new();
    for (name, encoder) in [
        ("a.flv", H264.to_owned()),
        ("b.flv", format!("{SOUND} {H264} -c:a aac")),
        ("c.flv", format!("{SOUND} {PAUSE} {H264} -c:a aac -flvflags no_duration_filesize")),
        ("a.mkv", format!("{SOUND} {H264} -c:a aac")),
        ("b.mkv", format!("{SOUND} {PAUSE} {H264} -c:a aac -live 1")),
        ("a.ogv", format!("{SOUND} {PAUSE} -c:v libtheora -c:a libvorbis")),
        ("a.ts", format!("{SOUND} {PAUSE} {H264} -c:a aac")),
        ("a.avi", format!("{SOUND} -c:v mpeg4 -bf 2 -c:a mp3")),
        ("a.wmv", format!("{SOUND} -c:v wmv2 -c:a wmav2")),
        ("a.mp4", format!("{SOUND} {H264} -c:a aac")),
        ("b.mp4", format!("{SOUND} {H264} -c:a aac -movflags frag_keyframe+empty_moov")),
    ] {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let bytes = std::fs::read(&path).unwrap();
        let good = index(&path).unwrap();
        assert!(good.known_damage(&[0]).is_none() && good.num_frames() >= 27, "{name}: {}", good.num_frames());
        for rest in [vec![0; 5000], noise(60_000)] {
            write(&path, [&bytes[..], &rest].concat());
            let longer = index(&path).unwrap();
            let all: Vec<usize> = (0..longer.num_frames()).collect();
            let known = longer.known_damage(&all);
            assert!(
                known.is_none() && longer.num_frames() == good.num_frames(),
                "{name}: {} frames, {known}",
                all.len()
            );
        }
    }
}

#[test]
fn recordings_that_were_joined_are_whole() {
    const PAUSE: &str = r"-vf select=lt(mod(n\,30)\,9) -vsync vfr";
    let clips = Clips::new();
    for (first, second, encoder) in [
        ("a.ts", "b.ts", "-c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p"),
        ("a.ogv", "b.ogv", "-c:v libtheora -serial_offset 7"),
    ] {
        // The clock goes on from one to the next.
        let first = clips.make(first, &format!("{PICTURE} {PAUSE} {encoder}"));
        let second = clips.make(second, &format!("{PICTURE} {PAUSE} {encoder} -output_ts_offset 3"));
        let joined = [std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap()].concat();
        write(&first, joined);
        let index = index(&first).unwrap();
        let num_frames = index.num_frames();
        assert!(index.known_damage(&[0]).is_none() && (54..=58).contains(&num_frames), "{first:?}: {num_frames}");
    }
}

#[test]
fn frames_that_are_lost_with_a_part_of_the_file_leave_a_trace() {
    let clips = Clips::new();
    let h264 = "-c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p";
    for (name, encoder) in [
        ("a.mkv", h264.to_owned()),
        ("a.flv", h264.to_owned()),
        ("a.ts", h264.to_owned()),
        ("a.ogv", "-c:v libtheora -q:v 6 -g 30".to_owned()),
        ("a.mp4", format!("{h264} -movflags frag_every_frame+empty_moov")),
    ] {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let good = index(&path).unwrap();
        assert!(good.known_damage(&[0]).is_none(), "{name}");
        // Two frames are wiped out, with all that is between them.
        let mut bytes = std::fs::read(&path).unwrap();
        let [start, end] = [44, 46].map(|packet| good.packets[packet].position as usize);
        bytes[start - 40..end].fill(0);
        write(&path, &bytes);
        let broken = index(&path).unwrap();
        assert!(broken.known_damage(&[0]).is_incomplete, "{name}: {} frames", broken.num_frames());
    }
    // A pause is not damage.
    for name in ["a.mkv", "a.flv", "a.ts", "a.ogv"] {
        let encoder = if name == "a.ogv" { "-c:v libtheora" } else { h264 };
        let pause = r"-vf select=lt(mod(n\,30)\,9) -vsync vfr";
        let index = index(&clips.make(name, &format!("{PICTURE} {pause} {encoder}"))).unwrap();
        assert!(index.known_damage(&[0]).is_none(), "{name}");
    }
}

/// Clips of containers that state little or nothing about their frames.
const RECORDINGS: [(&str, &str); 5] = [
    ("a.ts", "-c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p"),
    ("a.m2ts", "-c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p -mpegts_m2ts_mode 1"),
    ("a.mpg", "-c:v mpeg2video -bf 2 -g 15"),
    ("a.mxf", "-c:v mpeg2video -g 15"),
    ("a.ivf", "-c:v libvpx -b:v 100k -g 30 -deadline realtime -cpu-used -8"),
];

/// Further ones, which say where they end, or are bare streams.
const OTHERS: [(&str, &str); 4] = [
    ("a.wmv", "-c:v wmv2 -g 30"),
    ("a.hevc", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30:bframes=2"),
    ("a.h264", "-c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p"),
    ("a.gif", "-r 10"),
];

/// Those of files with tables, chunks, tags or pages.
const FILES: [(&str, &str); 8] = [
    ("a.mkv", "-c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p"),
    ("b.mkv", "-c:v mjpeg -q:v 3"),
    ("a.webm", "-c:v libvpx -b:v 300k -g 30 -deadline realtime -cpu-used -8"),
    ("a.avi", "-c:v mpeg4 -bf 2 -g 30"),
    ("b.avi", "-c:v mjpeg -q:v 3"),
    ("c.avi", "-c:v rawvideo -pix_fmt bgr24"),
    ("a.flv", "-c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p"),
    ("a.ogv", "-c:v libtheora -q:v 6 -g 30"),
];

/// What is said of a clip: that it cannot be read, or what is wrong with its frames. Empty if nothing is.
pub(super) fn noticed(path: &Path) -> String {
    match index(path) {
        Err(error) => error.to_string(),
        Ok(_) => damage(path).to_string(),
    }
}

#[test]
fn a_hole_inside_of_a_recording_leaves_a_trace() {
    let clips = Clips::new();
    let mut silent = Vec::new();
    for (name, encoder) in [&RECORDINGS[..], &OTHERS, &FILES].concat() {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(noticed(&path), "", "{name}");
        let (before, rest) = bytes.split_at(bytes.len() * 45 / 100);
        // Whole packs of a program stream are not missed: nothing numbers them.
        let (lost, after) = rest.split_at((bytes.len() / 10) | 1);
        for (kind, hole) in [("zeros", vec![0; lost.len()]), ("noise", noise(lost.len())), ("nothing", Vec::new())] {
            // Without some of its bytes, the blocks of a GIF may still follow each other.
            if name == "a.gif" && hole.is_empty() {
                continue;
            }
            write(&path, [before, &hole, after].concat());
            if noticed(&path).is_empty() {
                silent.push(format!("{name} with {kind}"));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn a_few_bytes_that_are_missing_leave_a_trace() {
    let clips = Clips::new();
    let mut silent = Vec::new();
    for (name, encoder) in FILES {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let bytes = std::fs::read(&path).unwrap();
        let (before, rest) = bytes.split_at(bytes.len() * 2 / 5);
        write(&path, [before, &rest[1500..]].concat());
        if noticed(&path).is_empty() {
            silent.push(name);
        }
    }
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn the_end_of_a_download_that_was_not_completed_leaves_a_trace() {
    let clips = Clips::new();
    let mut silent = Vec::new();
    for (name, encoder) in [&RECORDINGS[..], &FILES].concat() {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let mut bytes = std::fs::read(&path).unwrap();
        // Within a packet: whole ones that are followed by zeros are a file that was padded.
        let middle = bytes.len() * 3 / 5 / 2048 * 2048 + 777;
        bytes[middle..].fill(0);
        write(&path, &bytes);
        if noticed(&path).is_empty() {
            silent.push(name);
        }
    }
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn damage_inside_of_a_group_of_matroska_leaves_a_trace() {
    let clips = Clips::new();
    // A picture and its transparency are a group.
    let encoder = "-vf format=yuva420p -c:v libvpx-vp9 -auto-alt-ref 0 -b:v 300k -g 30 -deadline realtime -cpu-used 8";
    let path = clips.make("a.webm", &format!("{PICTURE} {encoder}"));
    let bytes = std::fs::read(&path).unwrap();
    let good = index(&path).unwrap();
    assert_eq!(noticed(&path), "");
    for packet in [20, 44, 71] {
        let start = good.packets[packet].position as usize - 40;
        let mut damaged = bytes.clone();
        damaged[start..start + 200].copy_from_slice(&noise(200));
        write(&path, &damaged);
        assert!(!noticed(&path).is_empty(), "packet {packet}");
    }
}

#[test]
fn the_end_of_a_cut_recording_leaves_a_trace() {
    const CUT: [(&str, &str); 3] = [
        ("a.ogv", "-c:v libtheora -q:v 6 -g 30"),
        ("a.dv", "-s 720x576 -r 25 -c:v dvvideo -pix_fmt yuv420p"),
        ("a.rm", "-c:v rv10"),
    ];
    let clips = Clips::new();
    let mut silent = Vec::new();
    for (name, encoder) in [&RECORDINGS[..], &CUT].concat() {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let bytes = std::fs::read(&path).unwrap();
        // Between two pictures, nothing tells that more followed.
        for length in [bytes.len() * 9 / 20, bytes.len() / 2 + 77, bytes.len() / 3, bytes.len() * 4 / 5] {
            write(&path, &bytes[..length]);
            if noticed(&path).is_empty() {
                silent.push(format!("{length} bytes of {} of {name}", bytes.len()));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn a_garbled_frame_damages_those_that_refer_to_it() {
    let clips = Clips::new();
    for (name, num_damaged, encoder) in [
        ("a.mp4", 1, "-c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p"),
        // The checksum is of all frames from the keyframe on.
        ("a.mkv", 2, "-c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p"),
        ("a.avi", 1, "-c:v mpeg4 -g 30 -q:v 3"),
        ("b.ts", 1, "-c:v mpeg2video -g 30 -q:v 3"),
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
        assert_eq!((damage.num_missing, damage.num_damaged), (0, num_damaged), "{name}: {damage:?}");
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
    let decoded = decode_frames(&open(&path).unwrap(), selection, &ImagePolicy::default(), &mut ()).unwrap();
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

/// Tables of samples of an MP4 that has these offsets of samples, each of `sample_bytes`.
fn sample_tables(offsets: &[u32], sample_bytes: u32) -> [Vec<u8>; 4] {
    let num_samples = offsets.len() as u32;
    [
        boxed(*b"stts", &[&words(&[0, 1, num_samples, 1])]),
        boxed(*b"stsc", &[&words(&[0, 1, 1, 1, 1])]),
        boxed(*b"stsz", &[&words(&[0, sample_bytes, num_samples])]),
        boxed(*b"stco", &[&words(&[0, num_samples]), &words(offsets)]),
    ]
}

/// An MP4 of JPEGs of 64×64 pixels with these tables of samples, these boxes beside them, and 100,000 bytes of payload.
fn mp4_of_tables(tables: &[Vec<u8>], beside: &[Vec<u8>]) -> Vec<u8> {
    let matrix = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
    let entry = boxed(
        *b"jpeg",
        &[&words(&[0, 1, 0, 0, 0, 0, 0x0040_0040, 0x48_0000, 0x48_0000, 0, 0x1_0000]), &[0; 30], &[0, 24, 0xff, 0xff]],
    );
    let table = boxed(*b"stbl", &[&boxed(*b"stsd", &[&words(&[0, 1]), &entry]), &tables.concat()]);
    let header =
        boxed(*b"tkhd", &[&words(&[7, 0, 0, 1, 0, 1000, 0, 0, 0, 0]), &words(&matrix), &words(&[64 << 16; 2])]);
    let media = boxed(
        *b"mdia",
        &[
            &boxed(*b"mdhd", &[&words(&[0, 0, 0, 25, 1000, 0])]),
            &boxed(*b"hdlr", &[&words(&[0, 0]), b"vide", &[0; 13]]),
            &boxed(*b"minf", &[&table]),
        ],
    );
    let movie = boxed(*b"mvhd", &[&words(&[0, 0, 0, 25, 1000, 0x1_0000, 0, 0, 0]), &words(&matrix), &words(&[0; 7])]);
    let payload = boxed(*b"mdat", &[&[0xff, 0xd8, 0xff, 0xd9].repeat(25_000)]);
    let track = boxed(*b"trak", &[&header, &beside.concat(), &media]);
    [boxed(*b"ftyp", &[b"isom\0\0\0\0"]), payload, boxed(*b"moov", &[&movie, &track])].concat()
}

fn mp4_of_samples(offsets: &[u32], sample_bytes: u32) -> Vec<u8> {
    mp4_of_tables(&sample_tables(offsets, sample_bytes), &[])
}

/// Checks that the index of a file is rejected with this detail, within seconds.
fn check_rejected(path: &Path, code: RejectCode, expected: &str) {
    let started = Instant::now();
    let error = index(path).unwrap_err();
    let MediaError::Rejected(rejection) = &error else { panic!("{error:?}") };
    assert_eq!(rejection.code, code, "{rejection}");
    assert!(rejection.detail.contains(expected), "{rejection}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}: {rejection}", started.elapsed());
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
        check_rejected(&path, RejectCode::MediaCorrupt, expected);
    }
    write(&path, mp4_of_samples(&[24, 1024, 2024], 1_000));
    assert_eq!(index(&path).unwrap().num_frames(), 3);
}

#[test]
fn tables_that_are_endless_are_rejected_before_they_are_read() {
    let clips = Clips::new();
    let path = clips.path("a.mp4");
    let of_one_size = |number| {
        let [stts, stsc, _, stco] = sample_tables(&[24, 1024, 2024], 1);
        [stts, stsc, boxed(*b"stsz", &[&words(&[0, 1, number])]), stco]
    };
    write(&path, mp4_of_tables(&of_one_size(0x7fff_ffff), &[]));
    check_rejected(&path, RejectCode::MediaTooLarge, "its tables claim 2147483647 samples, at most 8000000 are read");

    // Each edit shows everything again.
    let edits = |number: u32| {
        boxed(
            *b"edts",
            &[&boxed(*b"elst", &[&words(&[0, number]), &words(&[1000, 0, 0x1_0000].repeat(number as usize))])],
        )
    };
    let samples = sample_tables(&(0..1000).map(|sample| 24 + 10 * sample).collect::<Vec<_>>(), 10);
    write(&path, mp4_of_tables(&samples, &[edits(100_000)]));
    check_rejected(&path, RejectCode::MediaTooLarge, "an edit list of 100000 entries for 1000 samples");
    write(&path, mp4_of_tables(&samples, &[edits(1)]));
    assert_eq!(index(&path).unwrap().num_frames(), 1000);

    let fragment = boxed(*b"moof", &[&boxed(*b"traf", &[&boxed(*b"trun", &[&words(&[0, 30_000_000])])])]);
    write(&path, [mp4_of_samples(&[24, 1024, 2024], 1000), fragment].concat());
    check_rejected(&path, RejectCode::MediaTooLarge, "its tables claim 30000003 samples");

    let compressed = boxed(*b"moov", &[&boxed(*b"cmov", &[&[0; 8]])]);
    write(&path, [boxed(*b"ftyp", &[b"qt  \0\0\0\0"]), compressed].concat());
    check_rejected(&path, RejectCode::MediaType, "its index (moov) is compressed");
}
