//! Damage that decoders do not notice leaves a trace where a file has checksums, or where no encoder writes such bytes.

use std::path::Path;
use std::sync::Arc;

use super::clips::{Clips, PICTURE, index, write};
use super::damage::{noise, noticed};
use crate::limits::MediaLimits;
use crate::located::{ArchiveFile, Located};
use crate::policy::ImagePolicy;
use crate::video::decode::{FrameSelection, decode_frames};
use crate::video::index::index_video;
use crate::video::input::open_input;

#[test]
fn a_bit_that_no_decoder_misses_is_found_where_the_file_has_a_checksum() {
    let clips = Clips::new();
    let hevc = "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30:bframes=2";
    for (name, encoder) in [("a.mkv", hevc), ("b.mkv", "-c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p")] {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let bytes = std::fs::read(&path).unwrap();
        let good = index(&path).unwrap();
        assert_eq!(noticed(&path), "");
        for packet in [0, 13, 44, 60, 89] {
            let packet = good.packets[packet];
            let mut damaged = bytes.clone();
            damaged[packet.position as usize + packet.num_bytes * 2 / 3] ^= 4;
            write(&path, &damaged);
            assert!(noticed(&path).contains("frames are damaged"), "{name}: {}", noticed(&path));
        }
    }
    // The last page has the last frames, and nothing follows it.
    let path = clips.make("a.ogv", &format!("{PICTURE} -c:v libtheora -q:v 6 -g 30"));
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!(noticed(&path), "");
    let middle_of_last = bytes.len() - 1000;
    bytes[middle_of_last] ^= 4;
    write(&path, &bytes);
    assert!(noticed(&path).contains("incomplete"), "{}", noticed(&path));
}

#[test]
fn zeros_inside_of_packets_leave_a_trace() {
    let clips = Clips::new();
    let large = "-f lavfi -i testsrc2=size=640x480:rate=30:duration=1 -threads 1";
    for (name, encoder, num_zeros) in [
        ("a.mp4", "-c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p", 30),
        ("b.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30:bframes=0", 30),
        ("a.flv", "-c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p", 30),
        ("a.webm", "-c:v libvpx-vp9 -b:v 4000k -g 30 -deadline realtime -cpu-used 8", 1500),
        ("b.webm", "-c:v libvpx -b:v 4000k -g 30 -deadline realtime -cpu-used -8", 1500),
        ("c.mp4", "-c:v libsvtav1 -preset 12 -crf 20 -g 30", 1500),
        ("a.avi", "-c:v mpeg4 -q:v 2 -g 30", 64),
        ("a.mpg", "-c:v mpeg2video -q:v 2 -g 30", 64),
        ("b.avi", "-c:v mjpeg -q:v 2", 100),
        ("a.dv", "-s 720x576 -r 25 -c:v dvvideo -pix_fmt yuv420p", 160),
    ] {
        let path = clips.make(name, &format!("{large} {encoder}"));
        assert_eq!(noticed(&path), "", "{name}");
        let first = index(&path).unwrap().packets[0];
        let mut bytes = std::fs::read(&path).unwrap();
        let start = first.position as usize + first.num_bytes / 2;
        assert!(first.num_bytes > 2 * num_zeros + 100, "{name}: {}", first.num_bytes);
        bytes[start..start + num_zeros].fill(0);
        write(&path, &bytes);
        assert!(noticed(&path).contains("frames are damaged"), "{name}: {}", noticed(&path));
    }
}

#[test]
fn a_video_that_a_zip_stores_is_compared_with_its_checksum() {
    let clips = Clips::new();
    let path = clips.make("a.webm", &format!("{PICTURE} -c:v libvpx-vp9 -b:v 200k -deadline realtime -cpu-used 8"));
    let mut bytes = std::fs::read(&path).unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    let decode = |path: &Path| {
        let archive = Arc::new(ArchiveFile::of_file(path, std::fs::File::open(path).unwrap()).unwrap());
        let num_bytes = archive.num_bytes();
        let located = Located::Range { archive, offset: 0, num_bytes, crc32: Some(crc.sum()) };
        let input = open_input(&located).unwrap();
        let index = index_video(&input, &MediaLimits::default(), None).unwrap();
        let selection = FrameSelection { index: &index, positions: &[0, 40] };
        decode_frames(&input, selection, &ImagePolicy::default(), &mut ()).map(|decoded| decoded.frames.len())
    };
    assert_eq!(decode(&path).unwrap(), 2);
    let last = bytes.len() * 2 / 3;
    bytes[last] ^= 1;
    write(&path, &bytes);
    let error = decode(&path).unwrap_err().to_string();
    assert!(error.contains("checksum of the archive's member"), "{error}");
}

/// Which of these changes of a file are not noticed.
fn silent_of<'a>(path: &Path, changed: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Vec<&'a str> {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(noticed(path), "", "{}", path.display());
    let is_silent = |bytes: &[u8]| {
        write(path, bytes);
        noticed(path).is_empty()
    };
    let silent = changed.into_iter().filter(|(_, bytes)| is_silent(bytes)).map(|(name, _)| name).collect();
    write(path, bytes);
    silent
}

#[test]
fn what_is_missing_of_a_file_that_states_no_end_leaves_a_trace() {
    let clips = Clips::new();
    // What is written into a pipe states no length, and FFmpeg passes over the rest of a file that it does not understand.
    let whole =
        clips.make("whole.webm", &format!("{PICTURE} -c:v libvpx -b:v 300k -g 10 -deadline realtime -f webm -live 1"));
    let bytes = std::fs::read(&whole).unwrap();
    let clusters: Vec<usize> = memchr::memmem::find_iter(&bytes, &[0x1f, 0x43, 0xb6, 0x75]).collect();
    assert!(clusters.len() > 2, "{clusters:?}");
    let live = index(&whole).unwrap();
    let packet = |number: usize| live.packets[number].position as usize;
    let without = |from: usize, to: usize| [&bytes[..from], &bytes[to..]].concat();
    let zeros = |from: usize, to: usize| [&bytes[..from], &vec![0; to - from][..], &bytes[to..]].concat();
    let changed =
        [("a hole", zeros(packet(40) - 2, packet(41) + 3)), ("a piece", without(packet(40) - 2, packet(41) + 3))];
    assert_eq!(silent_of(&whole, changed), [""; 0]);
    // One whose clusters have sizes, of which the last one is damaged: what follows is in it.
    let path = clips.make("pipe.webm", &format!("{PICTURE} -c:v libvpx -b:v 300k -g 10 -deadline realtime"));
    let mut bytes = std::fs::read(&path).unwrap();
    let segment = memchr::memmem::find(&bytes, &[0x18, 0x53, 0x80, 0x67]).unwrap();
    assert_eq!(bytes[segment + 4], 1);
    bytes[segment + 5..segment + 12].fill(0xff);
    write(&path, &bytes);
    let packets = index(&path).unwrap().packets;
    bytes[packets[70].position as usize - 2..packets[85].position as usize].fill(0);
    assert_eq!(silent_of(&path, [("zeros to the end of a cluster", bytes)]), [""; 0]);
}

#[test]
fn the_first_frames_of_a_flash_video_leave_a_trace() {
    let clips = Clips::new();
    let path = clips.make("a.flv", &format!("{PICTURE} -c:v flv -g 30"));
    let mut bytes = std::fs::read(&path).unwrap();
    let packets = index(&path).unwrap().packets;
    bytes[packets[0].position as usize - 2..packets[5].position as usize + 10].fill(0);
    assert_eq!(silent_of(&path, [("the first five", bytes)]), [""; 0]);
}

#[test]
fn a_hole_among_the_last_packets_of_a_transport_stream_leaves_a_trace() {
    let clips = Clips::new();
    let path = clips.make("a.ts", &format!("{PICTURE} -c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p"));
    let bytes = std::fs::read(&path).unwrap();
    let changed = (1..4).map(|number| {
        let mut bytes = bytes.clone();
        let end = bytes.len() - number * 188;
        bytes[end - 188..end].fill(0);
        ("one of the last packets", bytes)
    });
    assert_eq!(silent_of(&path, changed), [""; 0]);
}

#[test]
fn a_hole_in_the_place_of_the_last_fragments_leaves_a_trace() {
    let clips = Clips::new();
    let path = clips
        .make("a.mp4", &format!("{PICTURE} -c:v libx264 -g 10 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov"));
    let mut bytes = std::fs::read(&path).unwrap();
    let last = memchr::memmem::rfind(&bytes, b"moof").unwrap() - 4;
    let end = bytes.len() - 16;
    bytes[last..end].fill(0);
    assert_eq!(silent_of(&path, [("zeros", bytes)]), [""; 0]);
}

#[test]
fn a_hole_in_a_list_of_frames_leaves_a_trace() {
    let clips = Clips::new();
    let path = clips.make("a.ivf", &format!("{PICTURE} -c:v libvpx -b:v 300k -g 30 -deadline realtime"));
    let bytes = std::fs::read(&path).unwrap();
    let packets = index(&path).unwrap().packets;
    let changed = [40, 60, 80].map(|number| {
        let mut bytes = bytes.clone();
        let start = packets[number].position as usize;
        bytes[start - 30..start + 30].fill(0);
        ("a header", bytes)
    });
    assert_eq!(silent_of(&path, changed), [""; 0]);
}

#[test]
fn pixels_that_are_missing_of_a_gif_leave_a_trace() {
    let clips = Clips::new();
    let path = clips.make("a.gif", "-f lavfi -i testsrc2=size=200x150:rate=10:duration=2");
    let bytes = std::fs::read(&path).unwrap();
    let packets = index(&path).unwrap().packets;
    let (fifth, sixth) = (packets[5].position as usize, packets[6].position as usize);
    let middle = fifth + (sixth - fifth) / 2;
    // A block of its pixels, with the byte that says how many follow.
    let whole_block = [&bytes[..middle], &bytes[middle + 256..]].concat();
    let mut zeros = bytes.clone();
    zeros[middle..middle + 100].fill(0);
    let joined = [&bytes[..middle], &bytes[sixth + (middle - fifth)..]].concat();
    let changed = [("a block", whole_block), ("zeros", zeros), ("the middle of two frames", joined)];
    assert_eq!(silent_of(&path, changed), [""; 0]);
}

/// Where boxes of a kind are in an MP4, and how many bytes each has.
fn boxes_of(bytes: &[u8], kind: [u8; 4]) -> Vec<(usize, usize)> {
    let size = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let starts = std::iter::successors(Some(0), |at| Some(at + size(*at)).filter(|next| *next < bytes.len()));
    starts.filter(|at| bytes[at + 4..at + 8] == kind[..]).map(|at| (at, size(at))).collect()
}

/// A file with noise in place of some of its bytes.
fn with_noise(bytes: &[u8], start: usize, end: usize) -> Vec<u8> {
    [&bytes[..start], &noise(end - start), &bytes[end..]].concat()
}

#[test]
fn the_last_fragments_leave_a_trace_where_the_file_lists_them() {
    let clips = Clips::new();
    for (name, flags) in
        [("a.mp4", "empty_moov"), ("b.mp4", "empty_moov+skip_trailer"), ("c.mp4", "dash+global_sidx+delay_moov")]
    {
        let encoder = format!("-c:v libx264 -g 10 -pix_fmt yuv420p -movflags frag_keyframe+{flags}");
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let bytes = std::fs::read(&path).unwrap();
        let (last, num_bytes) = *boxes_of(&bytes, *b"moof").last().unwrap();
        let end = boxes_of(&bytes, *b"mfra").first().map_or(bytes.len(), |list| list.0);
        let mut changed = vec![("noise over the last moof", with_noise(&bytes, last, last + num_bytes))];
        if end < bytes.len() {
            changed.push(("noise over the last fragment", with_noise(&bytes, last, end)));
            changed.push(("without the last fragment", [&bytes[..last], &bytes[end..]].concat()));
        }
        if name == "c.mp4" {
            changed.push(("cut before the last fragment", bytes[..last].to_vec()));
        }
        assert_eq!(silent_of(&path, changed), [""; 0], "{name}");
    }
}

#[test]
fn a_piece_that_is_cut_out_between_clusters_or_tags_leaves_a_trace() {
    let clips = Clips::new();
    let path = clips.make("a.webm", &format!("{PICTURE} -c:v libvpx -b:v 300k -g 10 -deadline realtime"));
    let bytes = std::fs::read(&path).unwrap();
    let clusters: Vec<usize> = memchr::memmem::find_iter(&bytes, &[0x1f, 0x43, 0xb6, 0x75]).collect();
    let changed = clusters.windows(2).skip(1).map(|pair| ("cluster", [&bytes[..pair[0]], &bytes[pair[1]..]].concat()));
    assert_eq!(silent_of(&path, changed), [""; 0]);

    let path = clips.make("a.flv", &format!("{PICTURE} -c:v flv -g 30"));
    let bytes = std::fs::read(&path).unwrap();
    // Before a picture are the header of its tag and a byte that names its codec.
    let starts: Vec<usize> = index(&path).unwrap().packets.iter().map(|packet| packet.position as usize - 12).collect();
    let changed =
        [0, 1, 44, 87].map(|number| ("a tag", [&bytes[..starts[number]], &bytes[starts[number + 1]..]].concat()));
    assert_eq!(silent_of(&path, changed), [""; 0]);
    let changed = [0, 1, 2, 44, 88].map(|number| ("noise", with_noise(&bytes, starts[number], starts[number + 1])));
    assert_eq!(silent_of(&path, changed), [""; 0]);
    let last = ("the last tag", with_noise(&bytes, starts[89], bytes.len()));
    let codecs = [2, 44].map(|number| ("a codec", with_noise(&bytes, starts[number] + 11, starts[number] + 200)));
    assert_eq!(silent_of(&path, codecs.into_iter().chain([last])), [""; 0]);
}

#[test]
fn a_picture_without_its_header_in_a_transport_stream_leaves_a_trace() {
    let clips = Clips::new();
    for (name, encoder) in [
        ("a.ts", "-c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p"),
        ("b.ts", "-c:v mpeg2video -bf 2 -g 15"),
        ("a.m2ts", "-c:v libx264 -bf 0 -g 30 -pix_fmt yuv420p -mpegts_m2ts_mode 1"),
    ] {
        let path = clips.make(name, &format!("{PICTURE} {encoder}"));
        let bytes = std::fs::read(&path).unwrap();
        let pictures: Vec<usize> = memchr::memmem::find_iter(&bytes, &[0, 0, 1, 0xe0]).collect();
        assert!((85..=92).contains(&pictures.len()), "{}", pictures.len());
        let changed = [5, 20, 44, 80].map(|number| {
            let start = pictures[number];
            ("a picture", with_noise(&bytes, start, start + 40))
        });
        assert_eq!(silent_of(&path, changed), [""; 0], "{name}");
        // After the header, the first start code is overwritten.
        let changed = [5, 20, 44, 80].map(|number| {
            let start = pictures[number] + 9 + usize::from(bytes[pictures[number] + 8]);
            ("a start code", with_noise(&bytes, start, start + 60))
        });
        if name != "b.ts" {
            assert_eq!(silent_of(&path, changed), [""; 0], "{name}");
        }
    }
}

#[test]
fn packets_of_real_media_that_do_not_follow_each_other_leave_a_trace() {
    let clips = Clips::new();
    for encoder in ["rv10", "rv20"] {
        let path = clips.make("a.rm", &format!("{PICTURE} -c:v {encoder} -g 15"));
        let bytes = std::fs::read(&path).unwrap();
        let packets = index(&path).unwrap().packets;
        let changed = [3, 40, 70].map(|number| packets[number].position as usize + 20).into_iter().flat_map(|start| {
            [
                ("a piece", [&bytes[..start], &bytes[start + 300..]].concat()),
                ("noise", with_noise(&bytes, start, start + 6000)),
            ]
        });
        assert_eq!(silent_of(&path, changed), [""; 0], "{encoder}");
    }
    // FFmpeg states ten bytes more than it writes; sound is longer than pictures.
    let path = clips.make("b.rm", &format!("{PICTURE} -f lavfi -i sine=duration=5 -c:v rv10 -c:a ac3"));
    assert_eq!(noticed(&path), "");
}

/// A file without one of its packets, which are a whole picture each.
fn without_packet(path: &Path, number: usize) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let packet = index(path).unwrap().packets[number];
    let start = packet.position as usize;
    [&bytes[..start], &bytes[start + packet.num_bytes..]].concat()
}

#[test]
fn a_picture_that_others_refer_to_leaves_a_trace_where_it_is_missing_from_h264() {
    let clips = Clips::new();
    for encoder in [
        "-bf 0 -g 45",
        "-bf 0 -g 45 -x264-params slices=3",
        "-bf 0 -g 45 -x264-params tff=1",
        "-bf 0 -g 45 -x264-params open-gop=1",
    ] {
        let path = clips.make("a.h264", &format!("{PICTURE} -c:v libx264 -pix_fmt yuv420p {encoder}"));
        // Before a keyframe, and where numbers start again, nothing tells.
        let changed = [5, 20, 55, 70].map(|number| ("a picture", without_packet(&path, number)));
        assert_eq!(silent_of(&path, changed), [""; 0], "{encoder}");
    }
    let whole = clips.make("whole.mp4", &format!("{PICTURE} -c:v libx264 -bf 0 -g 50 -pix_fmt yuv420p"));
    for name in ["a.mp4", "a.mkv", "a.ts", "a.flv", "a.avi"] {
        let copy = format!("-i {} -c copy", whole.display());
        assert_eq!(noticed(&clips.make(name, &copy)), "", "{name}");
        let path = clips.make(name, &format!("{copy} -bsf:v noise=drop=eq(n\\,22)"));
        // Those at 1 and 1.5 s: the next keyframe is at 1.67 s.
        assert_eq!(noticed(&path), "2 of 7 frames are damaged", "{name}");
    }
}

#[test]
fn streams_of_h264_that_are_cut_or_joined_where_decoding_can_begin_lack_nothing() {
    let clips = Clips::new();
    let parameters =
        ["keyint=30:bframes=3:open-gop=1", "keyint=20:bframes=3:b-pyramid=normal:ref=4", "keyint=15:tff=1"];
    let parts = parameters.map(|parameters| {
        let path =
            clips.make("part.h264", &format!("{PICTURE} -c:v libx264 -pix_fmt yuv420p -x264-params {parameters}"));
        assert_eq!(noticed(&path), "", "{parameters}");
        let packets = index(&path).unwrap().packets;
        let keys = packets.iter().filter(|packet| packet.is_key).map(|packet| packet.position as usize);
        let mut bounds: Vec<usize> = keys.collect();
        let bytes = std::fs::read(&path).unwrap();
        bounds.push(bytes.len());
        assert!(bounds.len() > 3, "{bounds:?}");
        bounds.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect::<Vec<_>>()
    });
    let [open, pyramid, interlaced] = &parts;
    let joined = [&open[0], &open[2], &pyramid[1], &pyramid[0], &interlaced[2], &open[1]];
    let path = clips.path("joined.h264");
    write(&path, joined.map(Vec::as_slice).concat());
    assert!(!noticed(&path).contains("incomplete"), "{}", noticed(&path));
}
