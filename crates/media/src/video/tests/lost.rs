//! Damage that decoders do not notice leaves a trace where a file has checksums, or where no encoder writes such bytes.

use std::path::Path;
use std::sync::Arc;

use super::clips::{Clips, PICTURE, index, write};
use super::damage::noticed;
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
