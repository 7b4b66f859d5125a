//! Streams whose tables and timestamps do not tell which frames there are, or when they are shown.

use std::path::PathBuf;

use super::agreement::check;
use super::clips::{Clips, PICTURE, index, write};
use crate::video::index::{Identity, VideoIndex};
use crate::video::timing::FrameRate;

/// Joins files as `cat` does.
fn joined(clips: &Clips, name: &str, parts: &[&PathBuf]) -> PathBuf {
    let path = clips.path(name);
    write(&path, parts.iter().flat_map(|part| std::fs::read(part).unwrap()).collect::<Vec<_>>());
    path
}

/// A picture of 3 s at this rate.
fn picture(rate: &str, encoder: &str) -> String {
    format!("-f lavfi -i testsrc2=size=96x64:rate={rate}:duration=3 -threads 1 {encoder}")
}

/// Checks that time goes on for all frames, and returns it in seconds.
fn times(index: &VideoIndex) -> Vec<f64> {
    let times: Vec<f64> = (0..index.num_frames()).map(|frame| index.time_s(frame)).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    times
}

#[test]
fn in_joined_streams_time_goes_on() {
    let clips = Clips::new();
    for (ending, encoder) in [
        ("ts", "-c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p"),
        ("ts", "-c:v mpeg2video -bf 2"),
        ("mpg", "-c:v mpeg2video -bf 2"),
    ] {
        let first = clips.make(&format!("a.{ending}"), &picture("25", encoder));
        let second = clips.make(&format!("b.{ending}"), &picture("30000/1001", encoder));
        let index = check(&joined(&clips, &format!("ab.{ending}"), &[&first, &second]));
        assert_eq!((index.num_frames(), index.timing.rate), (165, FrameRate::Variable), "{ending} {encoder}");
        let times = times(&index);
        assert!(
            (times[75] - 3.0).abs() < 0.001 && (index.duration_s() - 6.003).abs() < 0.001,
            "{}",
            index.duration_s()
        );
        // The same clip again, and one whose clock is hours ahead.
        let late = clips.make(&format!("late.{ending}"), &format!("{} -output_ts_offset 7200", picture("25", encoder)));
        let index = check(&joined(&clips, &format!("aab.{ending}"), &[&first, &first, &late]));
        assert_eq!((index.num_frames(), index.timing.rate), (225, FrameRate::Constant), "{ending} {encoder}");
        assert!((index.duration_s() - 9.0).abs() < 0.001, "{}", index.duration_s());
    }
}

#[test]
fn a_clock_that_wraps_goes_on() {
    let clips = Clips::new();
    for (ending, encoder) in [("ts", "-c:v libx264 -g 30 -pix_fmt yuv420p"), ("mpg", "-c:v mpeg2video -bf 2")] {
        // 2^33 ticks are 95,443.7 s.
        let arguments = format!("{} -output_ts_offset 95441", picture("25", encoder));
        let index = check(&clips.make(&format!("wrap.{ending}"), &arguments));
        assert_eq!((index.num_frames(), index.timing.rate), (75, FrameRate::Constant), "{ending}");
        assert!((times(&index)[74] - 2.96).abs() < 0.001);
    }
}

#[test]
fn keyframes_that_are_not_marked_cost_no_frame() {
    let clips = Clips::new();
    for (name, encoder) in [
        ("a.mp4", "-c:v libx264 -g 30 -pix_fmt yuv420p"),
        ("b.mp4", "-c:v libx264 -g 30 -x264-params open-gop=1 -pix_fmt yuv420p"),
        ("c.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30"),
        ("d.mp4", "-c:v mpeg4 -g 30"),
    ] {
        let mut bytes = std::fs::read(clips.make(name, &format!("{PICTURE} {encoder}"))).unwrap();
        // Without the first of its entries, the table of keyframes says that the video starts between keyframes.
        let table = memchr::memmem::find(&bytes, b"stss").unwrap() + 8;
        let num_keys = u32::from_be_bytes(bytes[table..table + 4].try_into().unwrap());
        let entries = table + 4..table + 4 + 4 * num_keys as usize;
        bytes[table..table + 4].copy_from_slice(&(num_keys - 1).to_be_bytes());
        bytes.copy_within(entries.start + 4..entries.end, entries.start);
        let wrong = clips.path(name);
        write(&wrong, &bytes);
        let index = check(&wrong);
        assert_eq!((index.num_frames(), index.packets.len(), index.num_left_out), (90, 90, 0), "{name}");
        assert!(!index.packets[0].is_key && index.packets.iter().any(|packet| packet.is_key), "{name}");
        // Nor with none of them.
        bytes[table..table + 4].copy_from_slice(&0_u32.to_be_bytes());
        write(&wrong, &bytes);
        assert_eq!(check(&wrong).num_frames(), 90, "{name}");
    }
}

#[test]
fn what_is_before_the_first_keyframe_is_left_out_and_counted() {
    let clips = Clips::new();
    for (name, encoder) in [("a.ts", "-c:v libx264 -g 30 -pix_fmt yuv420p"), ("b.ts", "-c:v mpeg2video -bf 2 -g 15")] {
        let bytes = std::fs::read(clips.make(name, &format!("{PICTURE} {encoder}"))).unwrap();
        let late = clips.path(&format!("late-{name}"));
        write(&late, &bytes[188 * (bytes.len() / 188 / 5)..]);
        let index = check(&late);
        assert!(index.num_left_out > 0 && index.num_frames() < 90, "{name}: {}", index.num_left_out);
        assert_eq!(index.num_frames() + index.num_left_out, index.packets.len(), "{name}");
    }
}

#[test]
fn packets_that_show_nothing_are_not_counted() {
    let clips = Clips::new();
    let log = clips.path("log").display().to_string();
    let vp9 = format!("{PICTURE} -c:v libvpx-vp9 -b:v 50k -g 60 -passlogfile {log}");
    clips.make("first-pass.webm", &format!("{vp9} -pass 1"));
    clips.make("vp9.webm", &format!("{vp9} -pass 2 -auto-alt-ref 1 -lag-in-frames 25"));
    clips.make("av1.mkv", &format!("{PICTURE} -c:v libaom-av1 -b:v 100k -g 30 -lag-in-frames 20 -cpu-used 8"));
    let split = |from: &str, filter: &str| format!("-i {{dir}}/{from} -c copy -bsf:v {filter} -fflags -autobsf");
    for (name, arguments) in [
        ("split.webm", split("vp9.webm", "vp9_superframe_split")),
        ("split.mp4", split("vp9.webm", "vp9_superframe_split")),
        ("split-av1.mkv", split("av1.mkv", "av1_frame_split")),
        ("split-av1.mp4", split("av1.mkv", "av1_frame_split")),
    ] {
        let index = check(&clips.make(name, &arguments));
        assert!(index.num_frames() == 90 && index.packets.len() > 95, "{name}: {} packets", index.packets.len());
        times(&index);
    }
}

#[test]
fn packed_frames_are_in_order() {
    let clips = Clips::new();
    let packed = clips.make("packed.avi", &picture("25", "-c:v libxvid -g 30 -bf 2 -q:v 4"));
    check(&packed);
    let index = check(&clips.make("packed.mp4", "-i {dir}/packed.avi -c copy"));
    assert_eq!(index.identity, Identity::Order);
}

#[test]
fn times_of_decoding_do_not_put_frames_in_order() {
    let clips = Clips::new();
    clips.make("a.mp4", &picture("25", "-c:v libx264 -bf 3 -g 30 -pix_fmt yuv420p"));
    clips.make("b.mp4", &picture("25", "-c:v mpeg4 -bf 2 -g 30"));
    for name in ["a.mkv", "b.mkv", "a.mp4", "b.mp4"] {
        let (first, _) = name.split_once('.').unwrap();
        let wrong = format!("-i {{dir}}/{first}.mp4 -c copy -bsf:v setts=pts=N*512:dts=N*512");
        let index = check(&clips.make(&format!("wrong-{name}"), &wrong));
        assert_eq!((index.num_frames(), index.identity), (75, Identity::Order), "{name}");
    }
}

#[test]
fn keyframes_may_be_shown_in_any_order() {
    let clips = Clips::new();
    let backwards = "-c:v mjpeg -pix_fmt yuvj420p -bsf:v setts=pts=(74-N)*40:dts=N*40";
    let index = index(&clips.make("a.mkv", &picture("25", backwards))).unwrap();
    assert_eq!((index.num_frames(), index.num_left_out), (75, 0));
}

#[test]
fn a_picture_that_repeats_the_one_before_is_not_counted() {
    let clips = Clips::new();
    let encoded = clips.make("a.m4v", &format!("{PICTURE} -c:v mpeg4 -g 30 -bf 0 -q:v 5 -f m4v"));
    let bytes = std::fs::read(encoded).unwrap();
    let starts: Vec<usize> = memchr::memmem::find_iter(&bytes, b"\0\0\x01\xb6").collect();
    assert_eq!(starts.len(), 90);
    // Pictures 11, 21, … are replaced by headers that say: not coded. Those are two bits of type, the seconds that have
    // passed, a mark, five bits of time (the rate is 30), a mark, and whether there is a picture.
    let mut sparse = bytes[..starts[0]].to_vec();
    for (number, &start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(bytes.len());
        let picture = &bytes[start..end];
        let header = u16::from_be_bytes([picture[4], picture[5]]);
        if number % 10 == 1 {
            assert_eq!(header >> 12, 0b0101, "a picture that refers to the one before, in the same second");
            sparse.extend(&picture[..4]);
            sparse.extend((header & 0b1111_1111_1100_0000 | 0b1111).to_be_bytes());
        } else {
            sparse.extend(picture);
        }
    }
    write(clips.path("sparse.m4v"), &sparse);
    let index = check(&clips.make("sparse.avi", "-f m4v -framerate 30 -i {dir}/sparse.m4v -c copy"));
    assert!(index.num_frames() == 81 && index.packets.len() > 81, "{} of {}", index.num_frames(), index.packets.len());
}
