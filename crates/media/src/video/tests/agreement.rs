//! Every frame, however it is reached, has the pixels that `ffmpeg` outputs.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use ffmpeg_next::frame;

use super::clips::{Clips, PICTURE, ffmpeg_frames, open, source, write};
use crate::limits::MediaLimits;
use crate::pixels::RgbImage;
use crate::video::convert::FrameConverter;
use crate::video::index::{Identity, VideoIndex, index_video};
use crate::video::input::VideoInput;
use crate::video::timing::FrameRate;
use crate::video::visit::ContainerVideo;

const MAX_PIXELS: u64 = 1 << 24;

/// The wanted frames, and how many packets were decoded for them.
fn decode(input: &VideoInput, index: &VideoIndex, wanted: &[usize]) -> (BTreeMap<usize, RgbImage>, usize) {
    let mut converter = FrameConverter::new(index.orientation);
    let mut frames = BTreeMap::new();
    let video = ContainerVideo { source: source(input), index, max_pixels: MAX_PIXELS };
    let visited = video.visit_frames(wanted, None, &mut |position: usize, frame: &frame::Video| {
        let known = frames.insert(position, converter.rgb(frame).unwrap());
        assert_eq!(known, None, "frame {position} came twice");
        Ok(())
    });
    (frames, visited.unwrap().num_packets)
}

/// Compares all frames with those of `ffmpeg`, and several choices of frames with all frames.
pub(super) fn check(path: &Path) -> VideoIndex {
    let input = open(path).unwrap();
    let index = index_video(&input, &MediaLimits::default(), None).unwrap();
    let all: Vec<usize> = (0..index.num_frames()).collect();
    let (frames, _) = decode(&input, &index, &all);
    let mut ffmpeg = ffmpeg_frames(path);
    let mut expected = Vec::new();
    ffmpeg.stdout.take().unwrap().read_to_end(&mut expected).unwrap();
    ffmpeg.wait().unwrap();
    let expected: Vec<&[u8]> = expected.chunks((index.width_px * index.height_px * 3) as usize).collect();
    assert_eq!(frames.len(), expected.len(), "frames of {path:?}");
    for ((position, frame), expected) in frames.iter().zip(expected) {
        assert!(frame.pixels() == expected, "frame {position} of {path:?} is not ffmpeg's");
    }
    for step in [7, 16, 45] {
        let wanted: Vec<usize> = (step / 2..index.num_frames()).step_by(step).collect();
        let (found, _) = decode(&input, &index, &wanted);
        let expected = frames.iter().filter(|(position, _)| wanted.contains(position));
        assert!(found.iter().eq(expected), "every {step}th frame of {path:?}");
    }
    index
}

/// Makes a clip of [`PICTURE`] and checks it.
fn check_encoded(name: &str, arguments: &str) -> VideoIndex {
    let clips = Clips::new();
    check(&clips.make(name, &format!("{PICTURE} {arguments}")))
}

/// Makes a clip of [`PICTURE`] with a keyframe per second, then another from it, and checks that one.
fn check_remuxed(name: &str, before_input: &str, arguments: &str) -> VideoIndex {
    let clips = Clips::new();
    clips.make("first.mp4", &format!("{PICTURE} -c:v libx264 -g 30 -pix_fmt yuv420p"));
    check(&clips.make(name, &format!("{before_input} -i {{dir}}/first.mp4 -c copy {arguments}")))
}

#[test]
fn h264_with_reordered_frames_agrees() {
    let index = check_encoded("a.mp4", "-c:v libx264 -g 30 -bf 3 -pix_fmt yuv420p");
    assert_eq!((index.num_frames(), index.fps(), index.timing.rate), (90, 30.0, FrameRate::Constant));
    assert_eq!(index.identity, Identity::Packet);
    assert!((index.duration_s() - 3.0).abs() < 1e-9);
}

#[test]
fn h264_with_one_keyframe_agrees() {
    check_encoded("a.mp4", "-c:v libx264 -g 250 -pix_fmt yuv420p");
}

#[test]
fn h264_with_open_groups_of_pictures_agrees() {
    check_encoded("a.mkv", "-c:v libx264 -g 15 -bf 3 -x264-params open-gop=1 -pix_fmt yuv420p");
}

#[test]
fn h264_that_is_refreshed_little_by_little_agrees() {
    check_encoded("a.mp4", "-c:v libx264 -x264-params intra-refresh=1:keyint=20 -pix_fmt yuv420p");
}

#[test]
fn interlaced_h264_agrees() {
    check_encoded("a.mp4", "-c:v libx264 -g 20 -x264-params tff=1 -flags +ildct+ilme -pix_fmt yuv420p");
}

#[test]
fn ten_bits_and_other_colours_agree() {
    check_encoded("a.mp4", "-c:v libx264 -g 20 -pix_fmt yuv422p10le");
    check_encoded("b.mp4", "-c:v libx264 -g 20 -pix_fmt yuv444p -colorspace bt709 -color_range pc");
}

#[test]
fn hevc_with_open_groups_and_layers_agrees() {
    check_encoded("a.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=15:open-gop=1:bframes=3");
    check_encoded("b.mp4", "-c:v libx265 -x265-params log-level=none:keyint=30:temporal-layers=2:bframes=3");
}

#[test]
fn hevc_with_unreferenced_frames_agrees() {
    check_encoded(
        "a.mp4",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30:bframes=4:b-pyramid=1",
    );
    check_encoded(
        "a.mkv",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=90:bframes=4:b-pyramid=0",
    );
}

#[test]
fn vp8_with_hidden_reference_frames_agrees() {
    check_encoded(
        "a.webm",
        "-c:v libvpx -b:v 200k -auto-alt-ref 1 -lag-in-frames 16 -g 30 -deadline realtime -cpu-used -8",
    );
}

#[test]
fn vp9_and_av1_agree() {
    check_encoded("a.webm", "-c:v libvpx-vp9 -b:v 200k -g 30 -deadline realtime -cpu-used 8");
    check_encoded("a.mp4", "-c:v libaom-av1 -b:v 200k -g 30 -usage realtime -cpu-used 8");
}

#[test]
fn avi_agrees_and_frames_without_times_are_counted() {
    check_encoded("a.avi", "-c:v mjpeg -q:v 5");
    let index = check_encoded("b.avi", "-c:v mpeg4 -bf 2 -g 30 -q:v 5");
    assert_eq!((index.identity, index.num_frames()), (Identity::Order, 90));
}

#[test]
fn mpeg_streams_agree() {
    check_encoded("a.mpg", "-c:v mpeg2video -bf 2 -g 15 -q:v 5");
    check_remuxed("a.ts", "", "-f mpegts");
}

#[test]
fn flash_video_and_fragments_agree() {
    check_remuxed("a.flv", "", "-f flv");
    check_remuxed("a.mp4", "", "-movflags frag_keyframe+empty_moov");
}

#[test]
fn an_edit_list_hides_frames() {
    let index = check_remuxed("a.mp4", "-ss 1.35", "");
    assert!(index.num_frames() < 60 && index.packets.len() >= 60, "{} frames", index.num_frames());
}

#[test]
fn a_late_start_does_not_move_the_first_frame() {
    let index = check_remuxed("a.mkv", "", "-output_ts_offset 5");
    assert!(index.frames.first().unwrap().pts > 4000 && index.time_s(0) == 0.0);
}

#[test]
fn frames_before_the_first_of_a_trimmed_file_are_left_out() {
    let clips = Clips::new();
    clips.make("first.mkv", &format!("{PICTURE} -c:v libx264 -g 15 -bf 3 -x264-params open-gop=1 -pix_fmt yuv420p"));
    let index = check(&clips.make("a.mkv", "-ss 1.0 -i {dir}/first.mkv -c copy"));
    assert!(index.num_left_out > 0 && index.known_damage(&[0]).num_missing == 0, "{}", index.num_left_out);
    assert_eq!((index.identity, index.num_frames() + index.num_left_out), (Identity::Packet, index.packets.len()));
}

#[test]
fn rotated_video_is_upright() {
    for (degrees, size) in [(90, (64, 96)), (180, (96, 64)), (270, (64, 96))] {
        let index = check_remuxed("a.mp4", "", &format!("-metadata:s:v rotate={degrees}"));
        assert_eq!((index.width_px, index.height_px), size);
    }
}

#[test]
fn uneven_times_are_a_variable_rate() {
    let skip = r"-vf select=lt(mod(n\,30)\,9) -vsync vfr -c:v libx264 -g 30 -pix_fmt yuv420p";
    let index = check_encoded("a.mp4", skip);
    assert_eq!((index.timing.rate, index.num_frames()), (FrameRate::Variable, 27));
    assert!((index.time_s(9) - 1.0).abs() < 1e-9);
}

#[test]
fn a_gif_is_a_video() {
    let index = check_encoded("a.gif", "-vf fps=10");
    assert_eq!((index.num_frames(), index.fps()), (30, 10.0));
}

#[test]
fn a_recording_that_starts_between_keyframes_begins_at_the_first_one() {
    let clips = Clips::new();
    let path = clips.make("a.ts", &format!("{PICTURE} -c:v libx264 -g 30 -pix_fmt yuv420p"));
    let bytes = std::fs::read(&path).unwrap();
    let late = clips.path("late.ts");
    write(&late, &bytes[188 * (bytes.len() / 188 / 5)..]);
    let index = check(&late);
    assert!(index.num_frames() < 90 && index.num_frames() >= 60 && index.num_frames() < index.packets.len());
}

#[test]
fn few_frames_cost_few_packets() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", &format!("{PICTURE} -c:v libx264 -g 10 -pix_fmt yuv420p"));
    let input = open(&path).unwrap();
    let index = index_video(&input, &MediaLimits::default(), None).unwrap();
    let (frames, num_packets) = decode(&input, &index, &[40, 82]);
    assert_eq!(frames.len(), 2);
    assert!(num_packets <= 8, "{num_packets} packets");
}

#[test]
fn a_wrong_seek_table_costs_time_but_not_pixels() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", &format!("{PICTURE} -c:v libx264 -g 250 -pix_fmt yuv420p"));
    // Without its table of keyframes (`stss`) an MP4 says that every frame is one.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = memchr::memmem::find(&bytes, b"stss").unwrap();
    bytes[at..at + 4].copy_from_slice(b"free");
    let wrong = clips.path("wrong.mp4");
    write(&wrong, &bytes);
    let index = check(&wrong);
    assert!(index.packets.iter().all(|packet| packet.is_key));
    let input = open(&wrong).unwrap();
    let (_, num_packets) = decode(&input, &index, &[60]);
    assert!((61..80).contains(&num_packets), "{num_packets} packets");
}
