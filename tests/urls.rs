//! Promise: a build whose sources are objects is the build from the same files on a disk; what fails at a store is never taken for
//! a fault of a record.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::dirt::zip_with;
use crate::support::{Built, Workshop, contents_below, llava, manyframe, photo, tar_of};
use crate::web::WebServer;

/// Sources below `data/`, a web server of them, and a cache of objects.
struct Served {
    workshop: Workshop,
    server: WebServer,
}

const PIPELINE: &str = r#"
    name = "t"
    [vars]
    data = "/nowhere"
    [output]
    formats = ["parquet", "webdataset"]
    [format]
    tokenizer = "TOKENIZER"
    [[source]]
    name = "loose"
    kind = "llava"
    annotations = "${data}/loose.json"
    media = "${data}/a folder"
    max_rejects = "60 %"
    [[source]]
    name = "packed"
    kind = "llava"
    annotations = "${data}/packed.json"
    media = ["${data}/a.tar", "${data}/b.zip"]
"#;

impl Served {
    fn new() -> Self {
        let workshop = Workshop::new();
        let names = ["1.jpg", "deep/2 %41.jpg", "3.jpg"];
        for (number, name) in (0..).zip(names) {
            workshop.write(&format!("data/a folder/{name}"), photo(number, 320, 240));
        }
        let mut loose: Vec<Value> = names.iter().map(|name| llava(name, name)).collect();
        loose.push(llava("missing", "deep/none.jpg"));
        workshop.write("data/loose.json", json!(loose).to_string());
        let member = |number: u32| (format!("m/{number}.jpg"), photo(number, 320, 240));
        let members: Vec<(String, Vec<u8>)> = (10..16).map(member).collect();
        let (in_tar, in_zip) = members.split_at(3);
        workshop.write("data/a.tar", tar_of(in_tar));
        let in_zip: Vec<(&str, Vec<u8>)> = in_zip.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        workshop.write("data/b.zip", zip_with(&in_zip));
        let packed: Vec<Value> = members.iter().map(|(name, _)| llava(name, name)).collect();
        workshop.write("data/packed.json", json!(packed).to_string());
        let tokenizer = crate::support::root().join("crates/format/tests/golden/jamba.model");
        workshop.write("pipeline.toml", PIPELINE.replace("TOKENIZER", &tokenizer.display().to_string()));
        let server = WebServer::of(workshop.path("data"));
        Self { workshop, server }
    }

    /// Runs with sources at a place; must end with this code.
    fn run(&self, command: &[&str], data: &str, code: i32) -> Output {
        let data = format!("data={data}");
        let mut command = manyframe(&[command, &["--set", &data]].concat());
        command.env("MANYFRAME_CACHE", self.workshop.path("cache")).env("AWS_ENDPOINT_URL", &self.server.address);
        command.env("AWS_ACCESS_KEY_ID", "AKIA").env("AWS_SECRET_ACCESS_KEY", "hush");
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(output.status.code(), Some(code), "{}\n{}", text(&output.stdout), text(&output.stderr));
        output
    }

    /// Builds into a directory; returns the dataset, and what was printed.
    fn build(&self, data: &str, output: &str, more: &[&str]) -> (Built, String) {
        let (pipeline, to) = (self.workshop.text("pipeline.toml"), self.workshop.text(output));
        let printed = self.run(&[&["build", &pipeline, "--output", &to, "--quiet"], more].concat(), data, 0);
        (Built::read(&self.workshop.path(output)), String::from_utf8(printed.stdout).unwrap())
    }

    fn build_from_urls(&self, more: &[&str]) -> (Built, String) {
        self.build(&self.server.address, "out", more)
    }

    /// Builds from the disk, from scratch.
    fn build_from_disk(&self) -> Built {
        self.build(&self.workshop.text("data"), "disk", &["--fresh"]).0
    }

    /// Makes sure that both datasets are the same, but for what only a machine knows.
    fn assert_same(&self) {
        let contents = |name: &str| {
            let mut contents = contents_below(&self.workshop.path(name));
            contents.retain(|(path, _)| path != "build.json");
            contents
        };
        assert_eq!(contents("out"), contents("disk"));
    }

    /// Bytes that the server sent since it was asked last.
    fn num_bytes_served(&self) -> usize {
        self.server.answers().iter().map(|answer| answer.num_bytes).sum()
    }
}

fn made(built: &Built) -> u64 {
    let facts: Value = serde_json::from_slice(&fs::read(built.dataset.join("build.json")).unwrap()).unwrap();
    facts["work"]["num_samples_made"].as_u64().unwrap()
}

#[test]
fn a_build_from_urls_is_the_build_from_the_same_files() {
    let served = Served::new();
    let (built, _) = served.build_from_urls(&[]);
    assert_eq!((built.outcomes()["delivered"], built.outcomes()["media_missing"]), (9, 1));
    served.build_from_disk();
    served.assert_same();
    let out = served.workshop.text("out");
    let url = served.server.address.clone();
    let verified = served.run(&["verify", &out, "--quiet"], &url, 0);
    assert!(String::from_utf8(verified.stdout).unwrap().starts_with("ok"));
    let why = served.run(&["why", &out, "3.jpg"], &url, 0);
    assert!(String::from_utf8(why.stdout).unwrap().contains("What is shown in picture 3.jpg?"));
    assert!(served.build_from_urls(&[]).1.contains("nothing to do"));
}

#[test]
fn an_object_that_was_replaced_is_noticed_by_the_next_build() {
    let served = Served::new();
    served.build_from_urls(&[]);
    served.workshop.write("data/a folder/deep/2 %41.jpg", photo(77, 320, 240));
    let (built, _) = served.build_from_urls(&[]);
    assert_eq!(made(&built), 1);
    served.build_from_disk();
    served.assert_same();
    // The upload of a missing one was completed, and annotations were corrected.
    served.workshop.write("data/a folder/deep/none.jpg", photo(78, 320, 240));
    served
        .workshop
        .write("data/packed.json", json!([llava("new", "m/12.jpg"), llava("m/13.jpg", "m/13.jpg")]).to_string());
    let (built, _) = served.build_from_urls(&[]);
    assert_eq!((built.outcomes()["delivered"], made(&built)), (6, 2));
    served.build_from_disk();
    served.assert_same();
    // An archive that was packed again.
    served.workshop.write("data/a.tar", tar_of(&[("m/12.jpg".to_owned(), photo(79, 320, 240))]));
    let (built, _) = served.build_from_urls(&[]);
    assert_eq!(made(&built), 1);
    served.build_from_disk();
    served.assert_same();
}

#[test]
fn headers_are_read_in_small_ranges_and_media_once() {
    let served = Served::new();
    let picture = image::RgbImage::from_fn(1200, 900, |x, y| {
        image::Rgb([(x * y % 251) as u8, (x * 7 + y * y % 83) as u8, (y * x / 3 % 239) as u8])
    });
    let large = crate::support::encode(&picture, image::ImageFormat::Png);
    assert!(large.len() > 1 << 20, "{}", large.len());
    let names: Vec<String> = (0..8).map(|number| format!("large{number}.png")).collect();
    for name in &names {
        served.workshop.write(&format!("data/a folder/{name}"), &large);
    }
    let loose: Vec<Value> = names.iter().map(|name| llava(name, name)).collect();
    served.workshop.write("data/loose.json", json!(loose).to_string());
    let (pipeline, out) = (served.workshop.text("pipeline.toml"), served.workshop.text("out"));
    // Records differ, so that none is compared as a possible duplicate.
    served.run(&["plan", &pipeline, "--output", &out, "--quiet"], &served.server.address, 0);
    let planned = served.num_bytes_served();
    assert!(planned < 8 * (100 << 10) + (1 << 20), "{planned}");
    served.build_from_urls(&[]);
    let built = served.num_bytes_served();
    assert!(built < 8 * (large.len() + (1 << 19)) + (1 << 20), "{built}");
    // All of it is in the cache by now.
    served.build_from_urls(&["--fresh"]);
    let again = served.num_bytes_served();
    assert!(again < 8 * (100 << 10) + (1 << 20), "{again}");
}

#[test]
fn what_fails_at_a_store_fails_the_build_and_rejects_nothing() {
    let served = Served::new();
    let (pipeline, out) = (served.workshop.text("pipeline.toml"), served.workshop.text("out"));
    let arguments = ["build", &pipeline, "--output", &out, "--quiet", "--accept-rejects"];
    for refused in ["packed.json", "a folder", "a.tar", "b.zip"] {
        served.server.refuse(refused, 403);
        let failed = served.run(&arguments, &served.server.address, 1);
        let error = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(error.contains(refused) && error.contains(&served.server.address), "{error}");
        assert!(!served.workshop.path("out/manifest.json").exists());
    }
    served.server.refuse_nothing();
    served.run(&["plan", &pipeline, "--output", &out, "--quiet"], &served.server.address, 0);
    // While samples are made; headers were read before.
    fs::remove_dir_all(served.workshop.path("cache")).unwrap();
    served.server.refuse("3.jpg", 403);
    served.run(&arguments, &served.server.address, 1);
    served.server.refuse_nothing();
    let (built, _) = served.build_from_urls(&[]);
    assert_eq!((built.outcomes()["delivered"], built.outcomes()["media_missing"]), (9, 1));
    served.build_from_disk();
    served.assert_same();
}

#[test]
fn a_damaged_cache_changes_nothing() {
    let served = Served::new();
    served.build_from_urls(&[]);
    served.build_from_disk();
    let files: Vec<String> = contents_below(&served.workshop.path("cache")).into_iter().map(|(path, _)| path).collect();
    assert!(files.len() > 5);
    for (number, name) in files.iter().enumerate() {
        let path = served.workshop.path("cache").join(name);
        let mut bytes = fs::read(&path).unwrap();
        match number % 3 {
            0 if !bytes.is_empty() => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            1 => bytes.truncate(bytes.len() / 2),
            _ => bytes.extend(b"more"),
        }
        fs::write(&path, &bytes).unwrap();
    }
    served.build_from_urls(&["--fresh"]);
    served.assert_same();
    // One that cannot be written is none.
    fs::remove_dir_all(served.workshop.path("cache")).unwrap();
    served.workshop.write("cache", "no directory");
    served.build_from_urls(&["--fresh"]);
    served.assert_same();
}

#[test]
fn check_finds_what_is_not_there_and_what_may_not_be_a_url() {
    let served = Served::new();
    let pipeline = served.workshop.text("pipeline.toml");
    let url = &served.server.address;
    served.run(&["check", &pipeline], url, 0);
    let check = |more: &[&str]| {
        let output = served.run(&[&["check", &pipeline], more].concat(), url, 2);
        String::from_utf8(output.stderr).unwrap()
    };
    let nowhere = format!("source.packed.annotations={url}/nowhere.json");
    let error = check(&["--set", &nowhere]);
    assert!(error.contains("source.packed.annotations: it does not exist"), "{error}");
    let error = check(&["--set", "format.tokenizer=s3://bucket/t.model"]);
    assert!(error.contains("tokenizer is a URL, and has to be on this machine"), "{error}");
    for place in ["https://me:hush@host/a", "s3://bucket/a?token=hush"] {
        let error = check(&["--set", &format!("source.loose.media={place}")]);
        assert!(error.contains("environment") && !error.contains("hush"), "{error}");
    }
    let error = check(&["--set", "source.loose.media=ftp://host/a"]);
    assert!(error.contains("ftp:// is none of s3://"), "{error}");
    served.server.refuse("a.tar", 403);
    let error = check(&[]);
    assert!(error.contains("a.tar") && error.contains("source.packed.media"), "{error}");
}

/// A video, loose, in a tar and in a zip; and the bytes of the file.
#[cfg(feature = "video")]
fn videos(served: &Served) -> usize {
    let video = served.workshop.path("data/a folder/loose.mp4");
    let picture = "-v error -nostdin -f lavfi -i testsrc2=size=640x360:rate=24:duration=20 -c:v libx264 -preset ultrafast -g 24 \
                   -threads 1 -pix_fmt yuv420p -movflags faststart";
    let made = std::process::Command::new("ffmpeg").args(picture.split_whitespace()).arg(&video).status();
    assert!(made.unwrap().success(), "the ffmpeg program, which `make setup` installs");
    let bytes = fs::read(&video).unwrap();
    served.workshop.write("data/a.tar", tar_of(&[("m/tar.mp4".to_owned(), bytes.clone())]));
    served.workshop.write("data/b.zip", zip_with(&[("m/zip.mp4", bytes.clone())]));
    let record = |name: &str| {
        let question = json!({ "from": "human", "value": format!("<video>\nWhat happens in {name}?") });
        json!({ "id": name, "video": name, "conversations": [question, { "from": "gpt", "value": "It counts." }] })
    };
    served.workshop.write("data/loose.json", json!([record("loose.mp4")]).to_string());
    served.workshop.write("data/packed.json", json!([record("m/tar.mp4"), record("m/zip.mp4")]).to_string());
    bytes.len()
}

#[cfg(feature = "video")]
#[test]
fn videos_are_read_from_a_store_as_from_a_disk() {
    let served = Served::new();
    let num_bytes = videos(&served);
    for deliver in ["frames", "clip"] {
        let delivered = ["--fresh", "--set", &format!("video.deliver={deliver}")];
        served.num_bytes_served();
        let (built, _) = served.build_from_urls(&delivered);
        assert_eq!((built.outcomes()["delivered"], built.outcomes().len()), (3, 1), "{deliver}");
        // Each file is in the cache when its frames are decoded.
        let read = served.num_bytes_served();
        assert!(read < 4 * num_bytes, "{deliver}: {read} of three times {num_bytes}");
        served.build(&served.workshop.text("data"), "disk", &delivered);
        served.assert_same();
    }
    // Only its index is read to plan.
    fs::remove_dir_all(served.workshop.path("cache")).unwrap();
    let (pipeline, out) = (served.workshop.text("pipeline.toml"), served.workshop.text("planned"));
    served.run(&["plan", &pipeline, "--output", &out, "--quiet"], &served.server.address, 0);
    let planned = served.num_bytes_served();
    assert!(planned < num_bytes, "{planned} of {num_bytes}");
    // One that was replaced is noticed.
    served.workshop.write("data/a folder/loose.mp4", "no video");
    let arguments = ["build", &pipeline, "--output", &served.workshop.text("out"), "--quiet"];
    served.run(&arguments, &served.server.address, 3);
}

#[cfg(feature = "video")]
#[test]
fn the_packets_of_a_long_video_are_read_once() {
    let served = Served::new();
    let video = served.workshop.path("data/a folder/long.mkv");
    // In Matroska, packets have to be passed over to find the next one.
    let picture = "-v error -nostdin -f lavfi -i testsrc2=size=160x120:rate=24:duration=45 -c:v libx264 -preset ultrafast -g 24 \
                   -threads 1 -pix_fmt yuv420p";
    let made = std::process::Command::new("ffmpeg").args(picture.split_whitespace()).arg(&video).status();
    assert!(made.unwrap().success(), "the ffmpeg program, which `make setup` installs");
    let question = json!({ "from": "human", "value": "<video>\nWhat happens?" });
    let record = json!({ "id": "long", "video": "long.mkv", "conversations": [question, { "from": "gpt", "value": "It counts." }] });
    served.workshop.write("data/loose.json", json!([record]).to_string());
    let num_bytes = fs::metadata(&video).unwrap().len() as usize;
    // The bytes of the video that a plan reads, with nothing in the cache.
    let read_by_plan = |more: &[&str]| {
        served.server.answers();
        let (pipeline, out) = (served.workshop.text("pipeline.toml"), served.workshop.text("planned"));
        let arguments = [&["plan", &pipeline, "--output", &out, "--quiet"], more].concat();
        served.run(&arguments, &served.server.address, 0);
        let _absent = fs::remove_dir_all(served.workshop.path("cache"));
        let answers = served.server.answers();
        let of_video = answers.iter().filter(|answer| answer.path.ends_with("long.mkv"));
        of_video.filter(|answer| answer.method == "GET").map(|answer| answer.num_bytes).sum::<usize>()
    };
    assert!(read_by_plan(&[]) >= num_bytes / 2);
    // Other frames of the same video.
    assert_eq!(read_by_plan(&["--set", "video.interval_s=5"]), 0);
    assert_eq!(read_by_plan(&["--set", "video.sampling=uniform", "--set", "video.num_frames=4"]), 0);
    // Another video under its name.
    fs::write(&video, [&fs::read(&video).unwrap()[..], &[0; 7]].concat()).unwrap();
    assert!(read_by_plan(&["--set", "video.interval_s=5"]) >= num_bytes / 2);
}

#[test]
fn a_server_that_states_no_versions_is_warned_of_once() {
    let served = Served::new();
    let warnings = |command: &str| {
        let (pipeline, to) = (served.workshop.text("pipeline.toml"), served.workshop.text("out"));
        let arguments = [command, &pipeline, "--output", &to, "--quiet", "--log-format", "json"];
        let output = served.run(&arguments, &served.server.address, 0);
        let lines = String::from_utf8(output.stderr).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
        let of_versions =
            |fields: &Value| fields["message"].as_str().unwrap().contains("neither ETag nor Last-Modified");
        lines.filter(of_versions).map(|fields| fields["server"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(warnings("plan").is_empty());
    served.server.leave_out_versions();
    for command in ["plan", "build", "build"] {
        assert_eq!(warnings(command), [served.server.address.as_str()], "{command}");
    }
}
