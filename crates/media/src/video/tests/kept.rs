//! What is kept while a video is decoded: wherever a process is ended, the next one comes to the same, and decodes less.

use std::collections::BTreeMap;
use std::path::Path;

use super::clips::{Clips, PICTURE, index, open, write};
use super::inputs::store;
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::policy::ImagePolicy;
use crate::video::clip::{ClipRequest, deliver_clip};
use crate::video::decode::{FrameSelection, decode_frames};
use crate::video::decoded::{
    Beginning, DecodedVideo, DeliveredClip, FrameDigest, FrameKeeper, Keeper, Kept, Pass, VideoFrame,
};
use crate::video::index::index_video;
use crate::video::input::open_input;

/// Keeps everything at once, and what was kept at each moment.
#[derive(Debug, Clone, Default)]
struct Memory {
    frames: BTreeMap<Pass, Kept<VideoFrame>>,
    digests: BTreeMap<Pass, Kept<FrameDigest>>,
    moments: Vec<Memory>,
}

impl Memory {
    /// What the next process finds, if one is ended at a moment.
    fn at(&self, moment: usize) -> Self {
        Self { moments: Vec::new(), ..self.moments[moment].clone() }
    }

    fn note(&mut self) {
        let moment = Self { moments: Vec::new(), ..self.clone() };
        self.moments.push(moment);
    }
}

impl Keeper<VideoFrame> for Memory {
    fn kept(&mut self, pass: Pass) -> Kept<VideoFrame> {
        self.frames.get(&pass).cloned().unwrap_or_default()
    }

    fn keep(&mut self, pass: Pass, items: &[VideoFrame], beginning: Option<Beginning>) {
        self.frames.insert(pass, Kept { items: items.to_vec(), beginning });
        self.note();
    }

    fn forget(&mut self, pass: Pass) {
        self.frames.remove(&pass);
    }
}

impl Keeper<FrameDigest> for Memory {
    fn kept(&mut self, pass: Pass) -> Kept<FrameDigest> {
        self.digests.get(&pass).cloned().unwrap_or_default()
    }

    fn keep(&mut self, pass: Pass, items: &[FrameDigest], beginning: Option<Beginning>) {
        self.digests.insert(pass, Kept { items: items.to_vec(), beginning });
        self.note();
    }

    fn forget(&mut self, pass: Pass) {
        self.digests.remove(&pass);
    }
}

/// Ends a process at each moment: the next one comes to the same. Returns what was kept in a calm one.
fn check<T: PartialEq + std::fmt::Debug>(mut make: impl FnMut(&mut dyn FrameKeeper) -> T) -> Memory {
    let mut calm = Memory::default();
    let expected = make(&mut calm);
    assert_eq!(make(&mut ()), expected);
    for moment in 0..calm.moments.len() {
        let mut next = calm.at(moment);
        assert_eq!(make(&mut next), expected, "ended at moment {moment}");
        let (num_left, num_all) = (next.moments.len(), calm.moments.len());
        // Those at which passes go on may be there again.
        assert!(num_left + moment <= num_all + 1, "{num_left} of {num_all} moments are left after moment {moment}");
    }
    calm
}

fn decode(path: &Path, positions: &[usize], keeper: &mut dyn FrameKeeper) -> DecodedVideo {
    let (input, index) = (open(path).unwrap(), index(path).unwrap());
    decode_frames(&input, FrameSelection { index: &index, positions }, &ImagePolicy::default(), keeper).unwrap()
}

fn clip(path: &Path, part: (usize, usize), keeper: &mut dyn FrameKeeper) -> Option<DeliveredClip> {
    let (input, index) = (open(path).unwrap(), index(path).unwrap());
    let positions: Vec<usize> = (part.0..part.1).step_by(7).collect();
    let request = ClipRequest { index: &index, part, positions: &positions };
    let delivered: Result<_, MediaError> = deliver_clip(&input, request, &MediaLimits::default(), keeper);
    delivered.unwrap()
}

#[test]
fn frames_that_were_kept_are_not_decoded_again_and_damaged_ones_are_not_kept() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", &format!("{PICTURE} -c:v libx264 -g 30 -pix_fmt yuv420p"));
    let positions = [3, 40, 80];
    let whole = decode(&path, &positions, &mut ());
    let calm = check(|keeper| decode(&path, &positions, keeper));
    assert_eq!(calm.frames[&Pass::Frames], Kept { items: whole.frames.clone(), beginning: None });

    // Without the packets of the kept frames, those frames can only come from the keeper.
    let (mut bytes, index) = (std::fs::read(&path).unwrap(), index(&path).unwrap());
    let (first, last) = (index.packets[0].position as usize, index.packets[60].position as usize);
    bytes[first..last].fill(0);
    let broken = clips.path("broken.mp4");
    write(&broken, bytes);
    assert_eq!(decode(&broken, &positions, &mut calm.at(1)), whole);
    let mut nothing = Memory::default();
    let damaged = decode(&broken, &[3, 80], &mut nothing);
    assert!(damaged.damage.num_missing + damaged.damage.num_damaged > 0, "{:?}", damaged.damage);
    let kept = &nothing.frames.get(&Pass::Frames).cloned().unwrap_or_default().items;
    assert!(kept.iter().all(|frame| frame.index != 3));
}

#[test]
fn a_video_that_is_decoded_from_its_start_goes_on_at_a_keyframe() {
    let clips = Clips::new();
    let codecs = [
        ("a.ts", "-c:v libx264 -g 15 -pix_fmt yuv420p"),
        ("open.ts", "-c:v libx264 -g 15 -x264-params open-gop=1 -pix_fmt yuv420p"),
        ("b.ts", "-c:v mpeg2video -g 15 -bf 2"),
        ("c.flv", "-c:v libx264 -g 15 -bf 0 -pix_fmt yuv420p"),
        ("d.mpg", "-c:v mpeg1video -g 15 -bf 0"),
        ("e.h264", "-c:v libx264 -g 15 -pix_fmt yuv420p"),
        ("f.ogv", "-c:v libtheora -g 15"),
    ];
    let mut num_going_on = 0;
    for (name, codec) in codecs {
        let path = clips.make(name, &format!("{PICTURE} {codec}"));
        let positions: Vec<usize> = (0..90).step_by(4).collect();
        let calm = check(|keeper| decode(&path, &positions, keeper));
        num_going_on += usize::from(!calm.moments.is_empty());
        for moment in &calm.moments {
            assert!(moment.frames[&Pass::Frames].beginning.is_some_and(|beginning| beginning.packet > 0), "{name}");
        }
        println!("{name}: {} moments to go on", calm.moments.len());
    }
    assert!(num_going_on >= 4, "{num_going_on}");
}

#[test]
fn damage_is_found_however_often_a_process_is_ended_before_it() {
    let clips = Clips::new();
    let path = clips.make("a.ts", &format!("{PICTURE} -c:v libx264 -g 15 -pix_fmt yuv420p"));
    let mut bytes = std::fs::read(&path).unwrap();
    let packets = index(&path).unwrap().packets;
    let middle = packets[50].position as usize + 400;
    bytes[middle..middle + 700].fill(0x55);
    let broken = clips.path("broken.ts");
    write(&broken, bytes);
    let positions: Vec<usize> = (0..88).collect();
    let mut calm = Memory::default();
    let expected = decode(&broken, &positions, &mut calm);
    assert!(expected.damage.num_missing + expected.damage.num_damaged > 0, "{:?}", expected.damage);
    assert!(!calm.moments.is_empty());
    for moment in 0..calm.moments.len() {
        assert_eq!(decode(&broken, &positions, &mut calm.at(moment)), expected, "ended at moment {moment}");
    }
}

#[test]
fn a_clip_that_is_cut_or_read_plainly_goes_on_within_each_pass() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", &format!("{PICTURE} -c:v libx264 -g 15 -bf 2 -pix_fmt yuv420p"));
    let calm = check(|keeper| clip(&path, (5, 85), keeper));
    let passes = |memory: &Memory| memory.digests.keys().copied().collect::<Vec<_>>();
    assert_eq!(passes(&calm), [Pass::Digests, Pass::Cut]);
    assert!(calm.moments.iter().filter(|moment| passes(moment).contains(&Pass::Cut)).count() >= 4);

    let path = clips.make("a.ts", &format!("{PICTURE} -c:v libx264 -g 15 -bf 2 -pix_fmt yuv420p"));
    let calm = check(|keeper| clip(&path, (0, 90), keeper));
    assert_eq!(passes(&calm), [Pass::Digests, Pass::Count]);
    assert!(calm.moments.iter().filter(|moment| passes(moment).contains(&Pass::Count)).count() >= 4);
}

#[test]
fn the_images_of_a_directory_are_not_prepared_again() {
    let clips = Clips::new();
    std::fs::create_dir(clips.path("frames")).unwrap();
    clips.make("frames/%03d.bmp", &format!("{PICTURE} -frames:v 9"));
    write(clips.path("frames/005.bmp"), b"broken");
    let input = open_input(&store(&clips.path("")).locate("", "frames").unwrap()).unwrap();
    let index = index_video(&input, &MediaLimits::default(), Some(2.0)).unwrap();
    let selection = FrameSelection { index: &index, positions: &[0, 2, 4, 7] };
    let calm = check(|keeper| decode_frames(&input, selection, &ImagePolicy::default(), keeper).unwrap());
    assert_eq!(calm.moments.len(), 3);
}
