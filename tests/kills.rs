//! Promise: a build that is killed within a record that takes long goes on within it, and ends with the bytes of a calm one.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chaos::{amount, files_below};
use crate::determinism::files_of;
use crate::robustness::{faults, faulty_photo};
use crate::support::{Workshop, encode, llava, manyframe, photo, root};

/// Bytes of the journals in the work directory of an output.
fn journal_bytes(workshop: &Workshop, out: &str) -> u64 {
    let files = files_below(&workshop.path(&format!("{out}.work")));
    let journals = files.iter().filter(|path| path.ends_with(".journal"));
    journals.map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum()
}

/// Kills a build as soon as something is kept of what takes long, and this is so.
fn kill_when(workshop: &Workshop, mut child: Child, is_time: impl Fn() -> bool) {
    let started = Instant::now();
    while journal_bytes(workshop, "killed") == 0 || !is_time() {
        assert!(child.try_wait().unwrap().is_none(), "nothing is kept before it ends");
        assert!(started.elapsed() < Duration::from_mins(2), "nothing is kept");
        std::thread::sleep(Duration::from_millis(2));
    }
    // An entry that is cut short is none, and would cost what was made in two seconds.
    std::thread::sleep(Duration::from_millis(50));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What a build gave that was killed, and finished by another one, has the bytes of a calm one, and nothing is left of its journals.
fn check_as_calm(workshop: &Workshop) {
    assert_eq!(files_of(&workshop.path("killed")), files_of(&workshop.path("calm")));
    assert_eq!(journal_bytes(workshop, "killed"), 0);
}

/// Builds with media of which some take a tenth of a second each, whenever they are decoded: calmly, and with a kill after so many of
/// them were decoded. No more than two of these are decoded again.
fn check_goes_on(workshop: &Workshop, num_before_kill: u64) {
    let (pipeline, library) = (workshop.pipeline(), faults(workshop));
    let build = |out: &str, log: &str| {
        let program = manyframe(&["build", &pipeline, "--output", &workshop.text(out), "--quiet", "--threads", "1"]);
        let mut command = Command::new(program.get_program());
        command.args(program.get_args()).current_dir(root()).stdout(Stdio::null());
        command.env("LD_PRELOAD", &library).env("FAULT_LOG", workshop.path(log)).spawn().unwrap()
    };
    let num_decoded = |log: &str| fs::metadata(workshop.path(log)).map_or(0, |file| file.len());
    assert!(build("calm", "calm.log").wait().unwrap().success());
    kill_when(workshop, build("killed", "first.log"), || num_decoded("first.log") >= num_before_kill);
    assert!(build("killed", "second.log").wait().unwrap().success());
    check_as_calm(workshop);
    let [calm, first, second] = ["calm.log", "first.log", "second.log"].map(num_decoded);
    println!("{calm} slow media in a calm build; {first} before a kill, and {second} after it");
    assert!(first >= num_before_kill && first + second <= calm + 2, "{first} + {second} of {calm}");
}

/// A record with some photos that are slow.
fn slow_record(workshop: &Workshop, num_photos: u32) -> Value {
    let names: Vec<String> = (0..num_photos).map(|number| format!("{number}.jpg")).collect();
    for (number, name) in (0..).zip(&names) {
        workshop.write(&format!("media/{name}"), faulty_photo(number, "slow", true));
    }
    let mut record = llava("long", &names[0]);
    record["image"] = json!(names);
    record["conversations"][0]["value"] = ["<image>\n".repeat(names.len()), "What is this?".to_owned()].concat().into();
    record
}

/// A directory of frames that are slow.
fn write_slow_frames(workshop: &Workshop, num_frames: u32) {
    for number in 0..num_frames {
        workshop.write(&format!("media/frames/{number:02}.jpg"), faulty_photo(number, "slow", true));
    }
}

#[test]
fn images_of_a_record_that_were_compared_are_not_compared_again() {
    let mut workshop = Workshop::new();
    let record = slow_record(&workshop, 15);
    workshop.add_source("a", "llava", &json!([record]), "");
    workshop.head.push_str("[duplicates]\nremove = \"near\"\n");
    check_goes_on(&workshop, 8);
}

#[test]
fn frames_of_a_video_that_were_decoded_to_check_them_are_not_decoded_again() {
    let mut workshop = Workshop::new();
    write_slow_frames(&workshop, 23);
    let said = json!([{ "from": "human", "value": "<video>\nWhat is seen?" }, { "from": "gpt", "value": "Waves." }]);
    workshop.add_source("v", "auto", &json!([{ "id": "v", "video": "frames", "conversations": said }]), "");
    workshop.head = workshop.head.replace(
        "[format]\n",
        "[mix]\ncheck = \"decode\"\n[video]\nsampling = \"uniform\"\nnum_frames = 23\n[format]\n",
    );
    check_goes_on(&workshop, 1);
}

#[test]
fn images_that_no_sample_may_show_are_not_decoded_again() {
    let mut workshop = Workshop::new();
    workshop.write("media/0.jpg", photo(40, 90, 60));
    workshop.add_source("a", "llava", &json!([llava("r", "0.jpg")]), "");
    for number in 0..14 {
        workshop.write(&format!("benchmark/{number}.jpg"), faulty_photo(number, "slow", true));
    }
    workshop.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", workshop.text("benchmark")));
    check_goes_on(&workshop, 7);
}

#[test]
fn frames_of_a_haystack_are_not_decoded_again() {
    let mut workshop = Workshop::new();
    write_slow_frames(&workshop, 23);
    let board = image::RgbImage::from_fn(120, 80, |x, y| {
        image::Rgb(if (x / 17 + y / 23) % 2 == 0 { [240; 3] } else { [9, 30, 80] })
    });
    workshop.write("media/needle.png", encode(&board, image::ImageFormat::Png));
    let needle = json!({ "name": "a board", "image": "needle.png", "question": "What is on the board?", "answer": "squares",
                         "wrong": ["circles", "stars", "lines"] });
    let settings = "[source.needles]\nhaystacks = [\"frames\"]\ntasks = [\"v_niah\"]\nlengths = [23]\ndepths = [500]\n\
                    questions_per_cell = 1\nnum_options = 4\ninterval_s = 1.0\nplace = \"insert\"\n";
    workshop.add_source("set", "needles", &json!([needle]), settings);
    check_goes_on(&workshop, 1);
}

#[test]
fn a_build_that_is_killed_within_a_clip_ends_with_the_same_bytes() {
    let mut workshop = Workshop::new();
    let seconds = amount(40, 120);
    fs::create_dir_all(workshop.path("media")).unwrap();
    let video = format!("testsrc2=size=1280x720:rate=25:duration={seconds}");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", &video, "-c:v", "libx264", "-preset", "ultrafast", "-g", "50"]);
    let status = ffmpeg.args(["-pix_fmt", "yuv420p"]).arg(workshop.path("media/a.mp4")).status().unwrap();
    assert!(status.success(), "the program ffmpeg, which `make setup` installs");
    let said = json!([{ "from": "human", "value": "<video>\nWhat is seen?" }, { "from": "gpt", "value": "Colours." }]);
    let record =
        json!({ "id": "v", "video": "a.mp4", "start": 0.5, "end": seconds as f64 - 0.5, "conversations": said });
    workshop.add_source("v", "auto", &json!([record]), "");
    workshop.head = workshop.head.replace("[format]\n", "[format]\nmax_tokens = 1000000\n")
        + "[video]\ndeliver = \"clip\"\nsampling = \"interval\"\ninterval_s = 0.04\nmax_frames = 4000\n";
    let pipeline = workshop.pipeline();
    let build = |out: &str| {
        let arguments = ["build", &pipeline, "--output", &workshop.text(out), "--quiet", "--threads", "1"];
        manyframe(&arguments).stdout(Stdio::null()).spawn().unwrap()
    };
    assert!(build("calm").wait().unwrap().success());
    kill_when(&workshop, build("killed"), || true);
    assert!(build("killed").wait().unwrap().success());
    check_as_calm(&workshop);
}
