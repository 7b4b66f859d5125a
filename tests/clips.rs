//! Promise: with `video.deliver = "clip"`, a trainer that decodes the delivered file at the stated positions gets the frames that
//! were counted, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use manyframe_core::{ClipFile, Sample};
use manyframe_shards::ShardFormat;
use serde_json::{Value, json};

use crate::support::{Built, Workshop, run, run_python, stdout};

/// Videos of 8 s with a keyframe a second, and how `ffmpeg` makes them.
const VIDEOS: [(&str, &str); 10] = [
    ("h264.mp4", "-c:v libx264 -preset veryfast -bf 3 -g 25 -pix_fmt yuv420p"),
    ("open.mp4", "-c:v libx264 -preset veryfast -bf 3 -g 25 -x264-params open-gop=1 -pix_fmt yuv420p"),
    ("h264.mkv", "-c:v libx264 -preset veryfast -bf 3 -g 25 -pix_fmt yuv420p"),
    ("hevc.mp4", "-c:v libx265 -preset ultrafast -x265-params keyint=25:open-gop=0:log-level=none -pix_fmt yuv420p"),
    // Frames after its keyframes are shown before them, and refer to those before.
    (
        "open-hevc.mp4",
        "-c:v libx265 -preset ultrafast -x265-params keyint=25:open-gop=1:bframes=3:log-level=none -pix_fmt yuv420p",
    ),
    ("vp9.webm", "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -g 25 -b:v 200k"),
    ("mpeg4.mp4", "-c:v mpeg4 -bf 2 -g 25"),
    ("mpeg4.avi", "-c:v mpeg4 -g 25"),
    ("mpeg2.ts", "-c:v mpeg2video -g 25 -bf 2"),
    ("variable.mp4", "-vf select=mod(n\\,7) -fps_mode vfr -c:v libx264 -preset veryfast -bf 3 -g 25 -pix_fmt yuv420p"),
];

fn make(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let ffmpeg = |arguments: &str, name: &str| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace());
        assert!(command.arg(directory.join(name)).status().unwrap().success(), "ffmpeg {arguments} {name}");
    };
    for (name, arguments) in VIDEOS {
        ffmpeg(&format!("-f lavfi -i testsrc2=size=96x64:rate=25:duration=8 -threads 1 {arguments}"), name);
    }
    // What is before 3.3 s is in the file, and hidden by an edit list.
    ffmpeg(&format!("-ss 3.3 -i {} -c copy", directory.join("h264.mp4").display()), "edited.mp4");
    // The stream that is larger is shown, and another one comes first.
    let streams =
        format!("-i {} -filter_complex [0:v]split[a][b];[a]scale=48:32[c]", directory.join("h264.mp4").display());
    ffmpeg(&format!("{streams} -map [c] -map [b] -c:v libx264 -g 25 -bf 2 -disposition:v 0 -threads 1"), "second.mkv");
    let frames = directory.join("frames");
    fs::create_dir_all(&frames).unwrap();
    for number in 0..4 {
        fs::write(frames.join(format!("{number}.jpg")), crate::support::photo(number, 96, 64)).unwrap();
    }
}

fn record(video: &str, part: Option<(f64, f64)>) -> Value {
    let mut record =
        json!({ "video": video, "QA": [{ "i": "", "q": "What is shown?", "a": format!("{video} {part:?}") }] });
    if let Some((start, end)) = part {
        record["start"] = json!(start);
        record["end"] = json!(end);
    }
    record
}

/// A part of each video, all of two of them, and a directory of frames, as frames and as clips.
struct Datasets {
    workshop: Workshop,
    frames: Built,
    clips: Built,
}

fn datasets() -> &'static Datasets {
    static DATASETS: OnceLock<Datasets> = OnceLock::new();
    DATASETS.get_or_init(|| {
        let mut workshop = Workshop::new();
        make(&workshop.path("media"));
        let names = VIDEOS.iter().map(|(name, _)| *name).chain(["edited.mp4", "second.mkv"]);
        let mut records: Vec<Value> = names.map(|name| record(name, Some((2.4, 4.3)))).collect();
        records.extend(["h264.mp4", "vp9.webm", "frames"].map(|name| record(name, None)));
        let head = workshop.head.clone();
        let build = |workshop: &Workshop, out: &str| {
            let pipeline = workshop.pipeline();
            let out = workshop.text(out);
            run(&["build", &pipeline, "--output", &out, "--quiet"], 0);
            Built::read(Path::new(&out))
        };
        let more =
            "[output]\nformats = [\"parquet\", \"webdataset\"]\n[video]\nsampling = \"interval\"\ninterval_s = 0.4\n";
        workshop.add_source("v", "videochat2", &json!(records), "");
        workshop.head = format!("{head}{more}");
        let frames = build(&workshop, "frames");
        workshop.head = format!("{head}{more}deliver = \"clip\"\n");
        let clips = build(&workshop, "clips");
        Datasets { workshop, frames, clips }
    })
}

fn samples(built: &Built) -> Vec<Sample> {
    let shard = built.dataset.join("parquet/temporal/000000.parquet");
    manyframe_shards::read(ShardFormat::Parquet, manyframe_shards::open(&shard).unwrap())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn a_clip_costs_what_its_frames_cost() {
    let Datasets { frames, clips, .. } = datasets();
    assert_eq!(frames.manifest.total, clips.manifest.total);
    for (of_frames, of_clip) in samples(frames).iter().zip(&samples(clips)) {
        assert_eq!(
            (&of_frames.prompt, of_frames.cost, &of_frames.tokens),
            (&of_clip.prompt, of_clip.cost, &of_clip.tokens)
        );
        assert_eq!(of_frames.visuals[0].times_s, of_clip.visuals[0].times_s);
        assert!(of_frames.clips.is_empty() && of_clip.images.is_empty() != of_clip.clips.is_empty());
    }
}

#[test]
fn a_dataset_of_clips_verifies_and_says_what_is_in_it() {
    let Datasets { workshop, clips, .. } = datasets();
    clips.verify();
    let out = workshop.text("clips");
    let of = |path: &str| samples(clips).into_iter().find(|sample| sample.visuals[0].path == path).unwrap();
    let shown = stdout(&["inspect", &out, &of("vp9.webm").id.to_string(), "--images", &workshop.text("shown")]);
    assert!(shown.contains("frames, 96×64 px"), "{shown}");
    assert!(
        fs::read_dir(workshop.path("shown")).unwrap().any(|file| file.unwrap().path().extension().unwrap() == "mkv")
    );
    let why = stdout(&["why", &out, &of("h264.mkv").id.to_string()]);
    assert!(why.contains("\nvideo     h264.mkv, cut from it as a file of "), "{why}");
    let told = |path: &str| {
        let id = of(path).id;
        clips.ledger.iter().find(|row| row.id == id).and_then(|row| row.videos.clone()).unwrap()
    };
    let whole =
        "mpeg4.avi, delivered as its whole file of 200 frames, because only MP4 and Matroska are cut, and it is avi";
    assert_eq!(told("mpeg4.avi"), whole);
    assert_eq!(told("frames"), "frames, delivered as images of its frames");
    let frames = of("frames");
    assert_eq!((frames.images.len(), frames.clips.len()), (4, 0));
}

#[test]
fn pyav_decodes_the_frames_of_the_source_from_each_delivered_file() {
    let Datasets { workshop, clips, .. } = datasets();
    let (dataset, media) = (clips.dataset.display().to_string(), workshop.text("media"));
    let found = run_python("video", "tests/python/read_clips.py", &[&dataset, &media]);
    let found: Value = serde_json::from_str(found.lines().last().unwrap()).unwrap();
    for (format, files) in found.as_object().unwrap() {
        assert_eq!(files.as_object().unwrap().len(), VIDEOS.len() + 2, "{format}");
        for (path, file) in files
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, of)| of.as_array().unwrap().iter().map(move |file| (path, file)))
        {
            assert_eq!(file["num_differ"], 0, "{format} {path}: {file}");
            assert!(file["num_frames"].as_u64().unwrap() >= 4, "{format} {path}: {file}");
        }
    }
}

#[test]
fn a_part_is_cut_where_that_gives_the_same_frames() {
    let Datasets { clips, .. } = datasets();
    let parts = samples(clips).into_iter().filter(|sample| sample.visuals[0].times_s.last() < Some(&5.0));
    let parts: Vec<Sample> = parts.filter(|sample| !sample.clips.is_empty()).collect();
    assert_eq!(parts.len(), VIDEOS.len() + 2);
    for sample in parts {
        let visual = &sample.visuals[0];
        let frames = visual.clip.as_ref().unwrap();
        let reason = match visual.path.as_str() {
            "mpeg4.avi" | "mpeg2.ts" => Some("only MP4 and Matroska are cut"),
            _ => None,
        };
        let expected = if reason.is_some() { ClipFile::Whole } else { ClipFile::Cut };
        assert_eq!(frames.file, expected, "{}: {frames:?}", visual.path);
        let found = frames.uncut_because.as_deref().unwrap_or_default();
        assert!(found.starts_with(reason.unwrap_or_default()), "{}: {found}", visual.path);
        assert!(expected == ClipFile::Whole || frames.num_frames < 150, "{}: {frames:?}", visual.path);
    }
}

#[test]
fn a_whole_video_is_delivered_byte_for_byte() {
    let Datasets { workshop, clips, .. } = datasets();
    for sample in samples(clips).iter().filter(|sample| sample.visuals[0].times_s.last() > Some(&5.0)) {
        let (visual, clip) = (&sample.visuals[0], &sample.clips[0]);
        let frames = visual.clip.as_ref().unwrap();
        assert_eq!((frames.file, &frames.uncut_because), (ClipFile::Whole, &None));
        assert_eq!(clip.bytes, fs::read(workshop.path("media").join(&visual.path)).unwrap());
    }
}

#[test]
fn an_export_has_the_frames_of_clips_as_images() {
    let Datasets { workshop, clips, .. } = datasets();
    let out = workshop.text("exported");
    run(&["export", &clips.dataset.display().to_string(), "--format", "llava_json", "--output", &out, "--quiet"], 0);
    let records: Value = serde_json::from_slice(&fs::read(workshop.path("exported/data.json")).unwrap()).unwrap();
    let num_images: usize =
        records.as_array().unwrap().iter().map(|record| record["image"].as_array().unwrap().len()).sum();
    assert_eq!(num_images as u64, clips.manifest.total.cost.num_images);
}

#[test]
fn a_tampered_position_is_found() {
    let Datasets { workshop, clips, .. } = datasets();
    let copy = workshop.path("tampered");
    let status = Command::new("cp").arg("-a").arg(&clips.dataset).arg(&copy).status().unwrap();
    assert!(status.success());
    let shard = copy.join("webdataset/temporal/000000.tar");
    let mut bytes = fs::read(&shard).unwrap();
    let at = bytes.windows(16).position(|part| part == b"\"frame_indices\":").unwrap() + 17;
    bytes[at] = if bytes[at] == b'9' { b'8' } else { bytes[at] + 1 };
    fs::write(&shard, bytes).unwrap();
    run(&["verify", &copy.display().to_string(), "--quiet"], 1);
}

/// A dataset that is a source, and the dataset that is built of it.
fn replay(dataset: &Path, more: &str) -> (Workshop, Built) {
    let mut workshop = Workshop::new();
    workshop.head.push_str(&format!(
        "{more}[[source]]\nname = \"replay\"\nkind = \"dataset\"\nfrom = {:?}\n",
        dataset.display().to_string()
    ));
    workshop.run_build(&[], 0);
    let built = Built::read(&workshop.path("out"));
    (workshop, built)
}

/// The samples of a dataset by the id of those that they replay, or their own.
fn by_id(built: &Built, is_replay: bool) -> BTreeMap<String, Sample> {
    let id = |sample: &Sample| if is_replay { sample.upstream_id.clone() } else { sample.id.to_string() };
    samples(built).into_iter().map(|sample| (id(&sample), sample)).collect()
}

#[test]
fn a_dataset_of_clips_is_replayed_as_clips_and_as_their_frames() {
    let Datasets { frames, clips, .. } = datasets();
    // Out of an archive, and then out of a table.
    let (_workshop, again) = replay(&clips.dataset, "[output]\nformats = [\"parquet\"]\n[video]\ndeliver = \"clip\"\n");
    again.verify();
    let (first, second) = (by_id(clips, false), by_id(&again, true));
    assert_eq!(first.len(), second.len());
    for (id, first) in &first {
        let second = &second[id];
        assert_eq!((&first.prompt, first.cost), (&second.prompt, second.cost), "{id}");
        assert!(first.clips == second.clips && first.images == second.images, "{id}");
        let shown = |sample: &Sample| (sample.visuals[0].clip.clone(), sample.visuals[0].times_s.clone());
        if !first.clips.is_empty() {
            assert_eq!(shown(first), shown(second), "{id}");
        }
    }
    let (_workshop, images) = replay(&again.dataset, "[output]\nformats = [\"parquet\"]\n");
    images.verify();
    let (of_frames, of_images) = (by_id(frames, false), by_id(&images, true));
    for sample in second.values() {
        let (of_source, replayed) = (&of_frames[&sample.upstream_id], &of_images[&sample.id.to_string()]);
        assert!(replayed.clips.is_empty() && replayed.images == of_source.images, "{}", sample.upstream_id);
        let is_clip = !sample.clips.is_empty();
        assert!(!is_clip || replayed.visuals[0].times_s == of_source.visuals[0].times_s, "{}", sample.upstream_id);
    }
}

#[test]
fn a_replayed_clip_that_is_too_long_shows_fewer_of_its_frames() {
    let Datasets { clips, .. } = datasets();
    let whole = by_id(clips, false);
    let longest = whole.values().map(|sample| sample.cost.num_tokens()).max().unwrap();
    let (_workshop, built) = replay(
        &clips.dataset,
        &format!(
            "max_tokens = {}\n[overlength]\npolicy = [\"fewer_frames\"]\n[output]\nformats = [\"parquet\"]\n\
             [video]\ndeliver = \"clip\"\n",
            longest / 2
        ),
    );
    built.verify();
    let mut num_shortened = 0;
    for (id, sample) in by_id(&built, true) {
        let (visual, before) = (&sample.visuals[0], &whole[&id].visuals[0]);
        let Some((now, before_clip)) = visual.clip.as_ref().zip(before.clip.as_ref()) else { continue };
        assert!(sample.clips == whole[&id].clips && now.frame_indices.len() == visual.num_images, "{id}");
        let place = |index: &u32| before_clip.frame_indices.iter().position(|before| before == index).unwrap();
        let times: Vec<f64> = now.frame_indices.iter().map(|index| before.times_s[place(index)]).collect();
        assert_eq!(visual.times_s, times, "{id}");
        num_shortened += usize::from(now.frame_indices.len() < before_clip.frame_indices.len());
    }
    assert!(num_shortened >= 2, "{num_shortened}");
}

#[test]
fn a_file_that_readers_do_not_see_alike_is_no_clip() {
    let mut workshop = Workshop::new();
    let media = workshop.path("media");
    fs::create_dir_all(&media).unwrap();
    let ffmpeg = |arguments: &str, name: &str| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(name);
        assert!(command.current_dir(&media).status().unwrap().success(), "ffmpeg {arguments} {name}");
    };
    let join = |parts: [&str; 2], name: &str| {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| fs::read(media.join(part)).unwrap()).collect();
        fs::write(media.join(name), bytes).unwrap();
    };
    let picture = "-f lavfi -i testsrc2=size=96x64:rate=25:duration=2 -threads 1";
    ffmpeg(&format!("{picture} -c:v libx264 -pix_fmt yuv420p"), "h264.mp4");
    ffmpeg("-i h264.mp4 -c copy -metadata:s:v:0 rotate=90", "turned.mp4");
    ffmpeg(&format!("{picture} -c:v libtheora -q:v 7"), "theora.ogv");
    ffmpeg(&format!("{picture} -c:v libvpx-vp9 -cpu-used 8 -deadline realtime"), "vp9.ivf");
    ffmpeg(&format!("{picture} -c:v mpeg2video"), "large.ts");
    ffmpeg(&format!("{picture} -c:v mpeg2video -s 48x32"), "small.ts");
    ffmpeg("-i small.ts -i large.ts -map 0:v -map 1:v -c copy", "second.ts");
    join(["theora.ogv", "theora.ogv"], "joined.ogv");
    join(["vp9.ivf", "vp9.ivf"], "joined.ivf");
    join(["large.ts", "small.ts"], "sizes.ts");
    let unfit = [
        ("turned.mp4", "its frames are turned or mirrored for display"),
        ("second.ts", "another video stream comes first"),
        ("joined.ogv", "decoders refuse packet"),
        ("joined.ivf", "decoders refuse packet"),
        ("sizes.ts", "its frames have several sizes: 48×32, 96×64 px"),
    ];
    let fit = ["h264.mp4", "theora.ogv", "vp9.ivf", "large.ts"];
    let names = unfit.iter().map(|(name, _)| *name).chain(fit);
    let records: Vec<Value> = names.map(|name| record(name, None)).collect();
    workshop.add_source("v", "videochat2", &json!(records), "max_rejects = \"100 %\"");
    let built = workshop.build_with(&["--set", "video.deliver=clip"], 0);
    built.verify();
    for (name, reason) in unfit {
        let row = built.ledger.iter().find(|row| row.detail.as_ref().is_some_and(|detail| detail.contains(name)));
        let row = row.unwrap_or_else(|| panic!("{name} is delivered"));
        let detail = row.detail.clone().unwrap();
        assert!(detail.contains(reason) && detail.contains("video.deliver = \"frames\""), "{name}: {detail}");
        assert_eq!(row.reason.as_deref(), Some("unsupported_media"), "{name}");
    }
    assert_eq!(built.manifest.total.num_samples, fit.len() as u64);
    // As frames, all are shown.
    let frames = workshop.build_with(&[], 0);
    assert_eq!(frames.manifest.total.num_samples, (fit.len() + unfit.len()) as u64);
}
