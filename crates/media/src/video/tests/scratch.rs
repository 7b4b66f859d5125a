//! Agreement with the `ffmpeg` program, on clips that it makes itself.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::video::convert::FrameConverter;
use crate::video::decode::visit_frames;
use crate::video::index::{VideoIndex, index_video};
use crate::video::input::{VideoInput, open_input};
use crate::{Located, MediaError, MediaLimits, MediaStore};

pub(super) struct Comparison {
    pub index: VideoIndex,
    pub num_ffmpeg: usize,
    pub num_ours: usize,
    pub max_diff: u8,
    pub num_different: usize,
    pub subset_problems: Vec<String>,
    pub first_bad: Option<usize>,
}

pub(super) fn open(path: &Path) -> Result<VideoInput<'static>, MediaError> {
    let store = Box::leak(Box::new(MediaStore::open(&[]).unwrap()));
    open_input(store, &Located::File(path.to_owned()))
}

pub(super) fn compare(path: &Path) -> Result<Comparison, MediaError> {
    let input = open(path)?;
    let index = index_video(&input, &MediaLimits::default(), None)?;
    let VideoInput::Container(file) = &input else { unreachable!() };
    let mut child = Command::new("ffmpeg")
        .args(["-v", "quiet", "-threads", "1", "-i"])
        .arg(path)
        .args(["-vsync", "0", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut expected = vec![0; (index.width_px * index.height_px * 3) as usize];
    let all: Vec<usize> = (0..index.num_frames()).collect();
    let mut converter = FrameConverter::new(index.orientation);
    let mut digests = vec![None; index.num_frames()];
    let (mut num_ffmpeg, mut num_ours, mut max_diff, mut num_different) = (0, 0, 0, 0);
    let mut first_bad = None;
    visit_frames(&file.0, &index, &all, 89_000_000, &mut |position, frame| {
        let image = converter.rgb(frame).unwrap();
        digests[position] = Some(blake3::hash(image.pixels()));
        num_ours += 1;
        if stdout.read_exact(&mut expected).is_ok() {
            num_ffmpeg += 1;
            let diff = if image.pixels() == expected {
                0
            } else if image.pixels().len() == expected.len() {
                image.pixels().iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
            } else {
                255
            };
            max_diff = max_diff.max(diff);
            num_different += usize::from(diff > 0);
            if diff > 0 && first_bad.is_none() {
                first_bad = Some(position);
            }
        }
        Ok(())
    })?;
    while stdout.read_exact(&mut expected).is_ok() {
        num_ffmpeg += 1;
    }
    child.wait().unwrap();
    let n = index.num_frames();
    let mut subset_problems = Vec::new();
    let subsets: Vec<Vec<usize>> = vec![
        vec![n - 1],
        vec![n / 2],
        (0..n).step_by((n / 8).max(1)).collect(),
        (0..n).step_by(30).collect(),
        (0..n).step_by(7).collect(),
        (n * 3 / 4..(n * 3 / 4 + 3).min(n)).collect(),
    ];
    for subset in subsets {
        let mut got = Vec::new();
        visit_frames(&file.0, &index, &subset, 89_000_000, &mut |position, frame| {
            let digest = blake3::hash(converter.rgb(frame).unwrap().pixels());
            got.push(position);
            if digests[position] != Some(digest) {
                subset_problems.push(format!("frame {position} differs"));
            }
            Ok(())
        })?;
        got.sort_unstable();
        let expected: Vec<usize> = subset.iter().copied().filter(|&f| digests[f].is_some()).collect();
        if got != expected {
            subset_problems.push(format!("{got:?} instead of {expected:?}"));
        }
    }
    Ok(Comparison { index, num_ffmpeg, num_ours, max_diff, num_different, subset_problems, first_bad })
}

#[test]
fn scratch_corpus() {
    let mut paths: Vec<_> = std::fs::read_dir("/tmp/video/clips").unwrap().map(|e| e.unwrap().path()).collect();
    let only = std::env::var("ONLY").unwrap_or_default();
    paths.retain(|p| p.to_string_lossy().contains(&only));
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let start = std::time::Instant::now();
        match compare(&path) {
            Ok(c) => println!(
                "{name:32} {}x{} index {} ours {} ffmpeg {} diff {} in {} {:?} fps {:.4} {:?} dur {:.3} keys {} {:?} [{:.1}s] {}",
                c.index.width_px,
                c.index.height_px,
                c.index.num_frames(),
                c.num_ours,
                c.num_ffmpeg,
                c.max_diff,
                c.num_different,
                c.first_bad,
                c.index.fps(),
                c.index.rate,
                c.index.duration_s(),
                c.index.packets.iter().filter(|p| p.is_key).count(),
                c.index.identity,
                start.elapsed().as_secs_f64(),
                if c.subset_problems.is_empty() {
                    "ok".into()
                } else {
                    format!("PROBLEM {:?}", &c.subset_problems[..c.subset_problems.len().min(6)])
                },
            ),
            Err(error) => println!("{name:32} ERROR {error:?}"),
        }
    }
}

fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
fn scratch_perf() {
    let mut paths: Vec<_> = std::fs::read_dir("/tmp/video/perf").unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let input = open(&path).unwrap();
        let VideoInput::Container(file) = &input else { unreachable!() };
        let t = cpu_s();
        let index = index_video(&input, &MediaLimits::default(), None).unwrap();
        let mut line = format!("{name:20} index {:.4}s |", cpu_s() - t);
        let mut converter = FrameConverter::new(index.orientation);
        let n = index.num_frames();
        for k in [8, 16, 64] {
            let wanted: Vec<usize> = (0..k).map(|i| i * (n - 1) / (k - 1)).collect();
            for mode in 0..2 {
                let mut index = index.clone();
                if mode == 1 {
                    index.identity = crate::video::index::Identity::Order;
                }
                let t = cpu_s();
                let mut count = 0;
                let packets = visit_frames(&file.0, &index, &wanted, 89_000_000, &mut |_, frame| {
                    converter.rgb(frame).unwrap();
                    count += 1;
                    Ok(())
                })
                .unwrap();
                assert_eq!(count, k);
                line += &format!(" {k}{}: {:.3}s/{}p", ["", " plain"][mode], cpu_s() - t, packets);
            }
        }
        println!("{line}");
    }
}

#[test]
fn scratch_fuzz() {
    let mut state: u64 = std::env::var("SEED").unwrap_or("1".into()).parse().unwrap();
    let rounds: usize = std::env::var("ROUNDS").unwrap_or("20".into()).parse().unwrap();
    let mut paths: Vec<_> = std::fs::read_dir("/tmp/video/clips")
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.metadata().unwrap().len() < 1_300_000 && p.metadata().unwrap().len() > 1000)
        .collect();
    paths.sort();
    let damaged = format!("/tmp/video/fuzz_{state}");
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let (mut ok, mut bad) = (0, 0);
        let start = std::time::Instant::now();
        let mut worst = 0.0_f64;
        for _ in 0..rounds {
            let mut copy = bytes.clone();
            let header = next() % 2 == 0;
            for _ in 0..1 + next() % 20 {
                let span =
                    if header { if next() % 2 == 0 { copy.len().min(2000) } else { copy.len() } } else { copy.len() };
                let from_end = next() % 2 == 0;
                let at = next() % span;
                let at = if from_end { copy.len() - 1 - at } else { at };
                copy[at] = next() as u8;
            }
            if next() % 5 == 0 {
                let n = next() % copy.len();
                copy.truncate(n);
            }
            std::fs::write(&damaged, &copy).unwrap();
            let t = std::time::Instant::now();
            let run = || -> Result<(), MediaError> {
                let input = open(Path::new(&damaged))?;
                let index = index_video(&input, &MediaLimits::default(), None)?;
                let n = index.num_frames();
                let wanted: Vec<usize> = (0..8).map(|i| i * (n - 1) / 7).collect();
                crate::video::decode_frames(
                    &input,
                    &index,
                    &wanted,
                    &crate::ImagePolicy { max_edge_px: Some(64), ..Default::default() },
                )?;
                Ok(())
            };
            match run() {
                Ok(()) => ok += 1,
                Err(MediaError::Bad { .. }) => bad += 1,
                Err(e) => panic!("{e:?}"),
            }
            worst = worst.max(t.elapsed().as_secs_f64());
        }
        println!(
            "{:32} ok {ok} bad {bad} {:.1}s worst {worst:.2}s",
            path.file_name().unwrap().to_string_lossy(),
            start.elapsed().as_secs_f64()
        );
    }
}
