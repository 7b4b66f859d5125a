//! Promise: what cannot be read, decoded or written costs what depends on it, never the build, and never in silence.

use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use manyframe_core::RejectCode;
use manyframe_skip::skip;
use serde_json::{Value, json};

use crate::support::{Built, Workshop, llava, manyframe, photo, root, run, stdout};

/// A pipe that nobody writes to, or a socket: opening the first blocks forever.
fn make_pipe(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn outcome<'a>(built: &'a Built, upstream_id: &str) -> &'a str {
    let row = built.row(upstream_id);
    row.reason.as_deref().unwrap_or_else(|| row.status.as_str())
}

fn video(id: &str, path: &str) -> Value {
    let mut record = llava(id, path);
    record.as_object_mut().unwrap().remove("image");
    record["video"] = path.into();
    record["conversations"][0]["value"] = "<video>\nWhat happens?".into();
    record
}

/// The command for a user without privileges: root reads files of mode 000.
pub(crate) fn without_privileges(arguments: &[&str]) -> Command {
    let program = manyframe(arguments);
    if Command::new("id").arg("-u").output().unwrap().stdout != b"0\n" {
        return program;
    }
    let mut command = Command::new("setpriv");
    // Without the capabilities that let root read and write everything.
    command.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]);
    command.arg(program.get_program()).args(program.get_args()).current_dir(root());
    command
}

#[test]
fn pipes_sockets_and_directories_in_the_place_of_media_cost_their_record() {
    let mut workshop = Workshop::new();
    workshop.write("media/good.jpg", photo(1, 60, 40));
    make_pipe(&workshop.path("media/pipe.jpg"));
    make_pipe(&workshop.path("media/pipe.mp4"));
    make_pipe(&workshop.path("media/frames/1.jpg"));
    let socket = std::os::unix::net::UnixListener::bind(workshop.path("media/socket.jpg")).unwrap();
    std::fs::create_dir_all(workshop.path("media/directory.jpg")).unwrap();
    let images = ["good.jpg", "pipe.jpg", "socket.jpg", "directory.jpg", "frames"];
    let mut records: Vec<Value> = images.iter().map(|name| llava(name, name)).collect();
    records.extend(["pipe.mp4"].map(|name| video(name, name)));
    workshop.add_source("a", "llava", &json!(records), "max_rejects = 1.0");
    let built = workshop.build();
    drop(socket);
    assert_eq!(outcome(&built, "good.jpg"), "delivered");
    for name in ["pipe.jpg", "socket.jpg", "directory.jpg", "frames", "pipe.mp4"] {
        assert_eq!(outcome(&built, name), "media_type", "{name}");
    }
    built.verify();
}

#[test]
fn a_pipe_as_a_media_root_is_an_error_and_one_among_unwanted_images_is_said() {
    let mut workshop = Workshop::new();
    workshop.write("media/good.jpg", photo(1, 60, 40));
    workshop.add_source("a", "llava", &json!([llava("r", "good.jpg")]), "");
    make_pipe(&workshop.path("benchmark/pipe.jpg"));
    workshop.write("benchmark/2.jpg", photo(2, 60, 40));
    workshop.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", workshop.text("benchmark")));
    let manifest = workshop.build().manifest;
    assert_eq!(manifest.total.num_samples, 1);
    assert_eq!(manifest.decontamination.unwrap().rejected, BTreeMap::from([(RejectCode::MediaType, 1)]));
    make_pipe(&workshop.path("pipe.zip"));
    let media = format!("source.a.media={}", workshop.text("pipe.zip"));
    let output = run(&["plan", &workshop.pipeline(), "--set", &media, "--output", &workshop.text("other")], 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("neither a file nor a directory"));
}

#[test]
fn a_pipe_as_a_tokenizer_or_template_is_an_error() {
    let mut workshop = Workshop::new();
    workshop.write("media/good.jpg", photo(1, 60, 40));
    workshop.add_source("a", "llava", &json!([llava("r", "good.jpg")]), "");
    make_pipe(&workshop.path("pipe"));
    let pipe = workshop.text("pipe");
    for setting in [format!("format.tokenizer={pipe:?}"), format!("format.template={{ jinja = {pipe:?} }}")] {
        for command in ["check", "plan"] {
            let output = run(&[command, &workshop.pipeline(), "--set", &setting], 2);
            assert!(String::from_utf8_lossy(&output.stderr).contains("neither a file nor a directory"), "{output:?}");
        }
    }
}

#[test]
fn media_that_may_not_be_read_cost_their_record() {
    let mut workshop = Workshop::new();
    for name in ["good.jpg", "closed.jpg", "closed/a.jpg", "frames/1.jpg", "closed.mp4"] {
        workshop.write(&format!("media/{name}"), photo(1, 60, 40));
    }
    for name in ["closed.jpg", "closed", "frames/1.jpg", "closed.mp4"] {
        let mode = std::fs::Permissions::from_mode(0o0);
        std::fs::set_permissions(workshop.path("media").join(name), mode).unwrap();
    }
    let mut records: Vec<Value> =
        ["good.jpg", "closed.jpg", "closed/a.jpg"].iter().map(|name| llava(name, name)).collect();
    records.extend(["frames", "closed.mp4"].map(|name| video(name, name)));
    workshop.add_source("a", "llava", &json!(records), "max_rejects = 1.0");
    let out = workshop.text("out");
    succeed(&mut without_privileges(&["build", &workshop.pipeline(), "--output", &out, "--quiet"]));
    std::fs::set_permissions(workshop.path("media/closed"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let built = Built::read(&workshop.path("out"));
    assert_eq!(outcome(&built, "good.jpg"), "delivered");
    for name in ["closed.jpg", "closed/a.jpg", "closed.mp4"] {
        assert_eq!(outcome(&built, name), "media_unreadable", "{name}");
    }
    // The others of its frames might be readable.
    assert_eq!(outcome(&built, "frames"), "no_frames");
    // Whoever runs this test can read what the build could not.
    run(&["verify", &out, "--quiet", "--no-sources", "--partial"], 0);
}

#[test]
fn a_dataset_of_another_user_in_a_sticky_directory_ends_a_build_before_its_work() {
    if Command::new("id").arg("-u").output().unwrap().stdout != b"0\n" {
        skip("only root makes files of another user");
        return;
    }
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 60, 40));
    workshop.add_source("a", "llava", &json!([llava("r", "1.jpg")]), "");
    let (pipeline, place, out) = (workshop.pipeline(), workshop.path("place"), workshop.path("place/out"));
    let out_text = out.display().to_string();
    run(&["build", &pipeline, "--output", &out_text, "--quiet"], 0);
    for path in [&place, &out] {
        std::os::unix::fs::chown(path, Some(65534), None).unwrap();
    }
    let allow = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    allow(&out, 0o777);
    let build = |mode| {
        allow(&place, mode);
        let arguments = ["build", &pipeline, "--output", &out_text, "--quiet", "--set", "seed=9"];
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search,-fowner", "--"]);
        command.arg(manyframe(&[]).get_program()).args(arguments).current_dir(root()).output().unwrap()
    };
    let output = build(0o1777);
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!("cannot publish {out:?}: in a sticky directory, only its owner, user 65534, can rename it");
    assert!(said.contains(&expected), "{said}");
    assert_eq!(output.status.code(), Some(1));
    let made = crate::support::contents_below(&workshop.path("place/out.work"));
    assert!(!made.iter().any(|(name, _)| name.contains("/done/") || name.contains("/shards/")), "no task was run");
    assert!(build(0o777).status.success(), "without the sticky bit, everybody can");
}

#[test]
fn more_threads_than_are_of_use_are_a_usage_error() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 60, 40));
    workshop.add_source("a", "llava", &json!([llava("r", "1.jpg")]), "");
    let output = run(&["build", &workshop.pipeline(), "--output", &workshop.text("out"), "--threads", "10000"], 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--threads 10000: at most"));
    assert!(!workshop.path("out.work").exists());
    workshop.build_with(&["--threads", "64"], 0);
}

/// A library that gives decoders faults, for `LD_PRELOAD`.
pub(crate) fn faults(workshop: &Workshop) -> PathBuf {
    let library = workshop.path("faults.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(root().join("tests/chaos/faults.c"));
    assert!(compiler.arg("-ldl").status().unwrap().success());
    library
}

/// A photo whose decoder has a fault when it comes to its header, or to its end.
pub(crate) fn faulty_photo(number: u32, fault: &str, is_at_end: bool) -> Vec<u8> {
    let mut bytes = photo(number, 120, 90);
    // Ignored after the end of the image; beyond what is read of a header.
    bytes.extend(vec![0; if is_at_end { 100_000 } else { 10 }]);
    bytes.extend(format!("FAULT:{fault}").bytes());
    bytes
}

/// Eight good photos, and one with each of some faults.
fn faulty_workshop(faults: &[(&str, &str, bool)]) -> Workshop {
    let mut workshop = Workshop::new();
    let mut records: Vec<Value> = Vec::new();
    for number in 0..8 {
        let name = format!("good{number}.jpg");
        workshop.write(&format!("media/{name}"), photo(number, 120, 90));
        records.push(llava(&name, &name));
    }
    for (number, (name, fault, is_at_end)) in (10..).zip(faults) {
        workshop.write(&format!("media/{name}"), faulty_photo(number, fault, *is_at_end));
        records.insert(number as usize % 7, llava(name, name));
    }
    workshop.add_source("a", "llava", &json!(records), "max_rejects = 1.0");
    workshop
}

/// The command with faults, and with little memory.
fn with_faults(workshop: &Workshop, arguments: &[&str]) -> Command {
    let program = manyframe(arguments);
    let mut command = Command::new("prlimit");
    command.args(["--data=1200000000", "--core=0"]).arg(program.get_program()).args(program.get_args());
    command.current_dir(root()).env("LD_PRELOAD", faults(workshop));
    command
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{:?}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

fn num_delivered(built: &Built) -> usize {
    built.ledger.iter().filter(|row| row.shard.is_some()).count()
}

#[test]
fn decoders_that_crash_stall_or_eat_memory_cost_their_records() {
    let workshop = faulty_workshop(&[
        ("header.jpg", "crash", false),
        ("pixels.jpg", "crash", true),
        ("abort.jpg", "abort", true),
        ("stall.jpg", "stall", true),
        ("memory.jpg", "memory", true),
    ]);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let arguments = [
        &["build", &pipeline, "--output", &out, "--quiet", "--explain"][..],
        &["--threads", "2", "--record-timeout", "4"],
    ];
    let output = succeed(&mut with_faults(&workshop, &arguments.concat()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("signal 11 (SIGSEGV)"));
    let explained = String::from_utf8(output.stdout).unwrap();
    assert_eq!(explained.matches("there is no dataset to reuse samples of").count(), 1, "{explained}");
    let built = Built::read(&workshop.path("out"));
    for name in ["header.jpg", "pixels.jpg", "abort.jpg", "memory.jpg"] {
        assert_eq!(outcome(&built, name), "decoder_crashed", "{name}");
    }
    assert_eq!(outcome(&built, "stall.jpg"), "decoder_stalled");
    assert_eq!(num_delivered(&built), 8);
    built.verify();

    // What a decoder did not survive is not tried again, until it is another file.
    workshop.build_with(&["--set", "seed=9"], 0);
    let again = Built::read(&workshop.path("out"));
    assert_eq!(again.outcomes(), built.outcomes());
    for name in ["header.jpg", "pixels.jpg"] {
        let file = File::options().write(true).open(workshop.path("media").join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(77))).unwrap();
    }
    workshop.build_with(&["--set", "seed=10"], 0);
    let again = Built::read(&workshop.path("out"));
    assert_eq!((outcome(&again, "header.jpg"), outcome(&again, "pixels.jpg")), ("delivered", "delivered"));
    assert_eq!(num_delivered(&again), 10);
}

#[test]
fn a_decoder_that_crashes_while_images_are_compared_costs_its_record() {
    let mut workshop = faulty_workshop(&[("pixels.jpg", "crash", true)]);
    workshop.write("benchmark/a.jpg", faulty_photo(30, "crash", true));
    workshop.write("benchmark/b.jpg", photo(99, 60, 40));
    workshop.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", workshop.text("benchmark")));
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let arguments = ["build", &pipeline, "--output", &out, "--quiet"];
    // Samples may show what no decoder survives.
    let output = with_faults(&workshop, &arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("decontamination: 1 of 2 images and videos that no sample may show"), "{stderr}");
    assert!(stderr.contains("benchmark/a.jpg\" (decoder_crashed: "), "{stderr}");
    assert!(!workshop.path("out").exists());
    succeed(&mut with_faults(&workshop, &[arguments.as_slice(), &["--accept-rejects"]].concat()));
    let built = Built::read(&workshop.path("out"));
    assert_eq!(outcome(&built, "pixels.jpg"), "decoder_crashed");
    assert_eq!(num_delivered(&built), 8);
    let summary = built.manifest.decontamination.as_ref().unwrap();
    assert_eq!(summary.rejected, BTreeMap::from([(RejectCode::DecoderCrashed, 1)]));
    built.verify();
}

#[test]
fn verify_survives_what_a_build_survives() {
    let workshop = faulty_workshop(&[
        ("header.jpg", "crash", false),
        ("pixels.jpg", "crash", true),
        ("more.jpg", "abort", true),
        ("stall.jpg", "stall", true),
    ]);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let limits = ["--quiet", "--threads", "2", "--record-timeout", "3"];
    succeed(&mut with_faults(&workshop, &[&["build", &pipeline, "--output", &out], limits.as_slice()].concat()));
    // What its decoders did not survive is not known any more.
    std::fs::remove_dir_all(workshop.path("out.work")).unwrap();
    let output = succeed(&mut with_faults(&workshop, &[&["verify", &out], limits.as_slice()].concat()));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("ok: "));
}

#[test]
fn a_record_that_gets_on_may_take_longer_than_the_limit() {
    let mut workshop = Workshop::new();
    let names: Vec<String> = (0..40).map(|number| format!("{number}.jpg")).collect();
    for (number, name) in (0..).zip(&names) {
        // A tenth of a second for each of them.
        workshop.write(&format!("media/{name}"), faulty_photo(number, "slow", true));
    }
    let mut record = llava("long", &names[0]);
    record["image"] = json!(names);
    record["conversations"][0]["value"] = ["<image>\n".repeat(names.len()), "What is this?".to_owned()].concat().into();
    workshop.add_source("a", "llava", &json!([record]), "max_rejects = 1.0");
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let arguments = ["build", &pipeline, "--output", &out, "--quiet", "--threads", "1", "--record-timeout", "2"];
    let started = Instant::now();
    succeed(with_faults(&workshop, &arguments).env("FAULT_LOG", workshop.path("slow.log")));
    assert!(started.elapsed() > Duration::from_secs(4));
    let built = Built::read(&workshop.path("out"));
    assert_eq!((num_delivered(&built), outcome(&built, "long")), (1, "delivered"), "{:?}", built.outcomes());
}

#[test]
fn a_task_on_its_own_survives_a_decoder_that_crashes() {
    let workshop = faulty_workshop(&[("pixels.jpg", "crash", true)]);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let plan: Value =
        serde_json::from_str(&stdout(&["plan", &pipeline, "--output", &out, "--json", "--quiet"])).unwrap();
    let output = succeed(&mut with_faults(&workshop, &["task", plan["plan"].as_str().unwrap(), "0", "--quiet"]));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["delivered"], &report["rejected"]), (&json!(8), &json!(1)));
}

/// A build that is busy with a record whose decoder never ends.
fn stalled_build(workshop: &Workshop) -> Child {
    stalled_build_with(workshop, &[], Stdio::null())
}

fn stalled_build_with(workshop: &Workshop, more: &[&str], answers: Stdio) -> Child {
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let arguments = [&["build", &pipeline, "--output", &out, "--threads", "1"], more].concat();
    let build = with_faults(workshop, &arguments);
    // The tests may run under `nohup`, whose children ignore it.
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP").arg(build.get_program()).args(build.get_args());
    command.env("LD_PRELOAD", workshop.path("faults.so")).current_dir(root());
    let child = command.stdout(answers).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !is_running(workshop, &child) {
        assert!(started.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

/// Whether the worker of a build has begun to write shards.
fn is_running(workshop: &Workshop, child: &Child) -> bool {
    let plans = std::fs::read_dir(workshop.path("out.work")).into_iter().flatten().flatten();
    let has_shards = plans.map(|plan| plan.path().join("shards")).any(|shards| shards.is_dir());
    has_shards && worker_of(child).is_some()
}

fn worker_of(child: &Child) -> Option<String> {
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    std::fs::read_to_string(children).ok()?.split_whitespace().next().map(str::to_owned)
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args(["-s", name, process]).status().unwrap().success());
}

#[test]
fn an_interrupted_build_says_what_is_kept_and_how_to_continue() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let workshop = faulty_workshop(&[("stall.jpg", "stall", true)]);
        let child = stalled_build(&workshop);
        signal(name, &child.id().to_string());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains("interrupted at step run, ") && stderr.contains("of 9 done"), "{stderr}");
        assert!(stderr.contains(".work: the same command without --fresh continues"), "{stderr}");
        assert_eq!(num_delivered(&workshop.build()), 9);
    }
}

#[test]
fn an_interrupted_build_answers_with_an_error_if_it_is_asked_for_json() {
    let schema = std::fs::read(root().join("schemas/commands/error.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let workshop = faulty_workshop(&[("stall.jpg", "stall", true)]);
        let child = stalled_build_with(&workshop, &["--json"], Stdio::piped());
        signal(name, &child.id().to_string());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(validator.is_valid(&answer), "{answer}");
        assert_eq!(answer["exit_code"], code);
        assert!(answer["error"].as_str().unwrap().starts_with("interrupted at step run, "), "{answer}");
    }
}

#[test]
fn an_interrupted_command_without_supervision_answers_too() {
    // A store that takes every connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = manyframe(&["inspect", "s3://bucket/dataset", "--json"]);
    command.env("AWS_ENDPOINT_URL", format!("http://{}", silent.local_addr().unwrap()));
    command.env("AWS_ACCESS_KEY_ID", "AKIA").env("AWS_SECRET_ACCESS_KEY", "hush");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let _connection = silent.accept().unwrap();
    signal("TERM", &child.id().to_string());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(15), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["error"], &answer["exit_code"]), (&json!("interrupted"), &json!(143)));
}

#[test]
fn a_build_under_nohup_does_not_end_with_its_terminal() {
    let workshop = faulty_workshop(&[("stall.jpg", "stall", true)]);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let mut command = Command::new("nohup");
    let build = with_faults(&workshop, &["build", &pipeline, "--output", &out, "--threads", "1"]);
    command.arg(build.get_program()).args(build.get_args()).env("LD_PRELOAD", workshop.path("faults.so"));
    let mut child = command.current_dir(root()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !is_running(&workshop, &child) {
        assert!(started.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(10));
    }
    signal("HUP", &child.id().to_string());
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none());
    signal("TERM", &child.id().to_string());
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn no_worker_outlives_its_build() {
    let workshop = faulty_workshop(&[("stall.jpg", "stall", true)]);
    let mut child = stalled_build(&workshop);
    let worker = worker_of(&child).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let started = Instant::now();
    while Path::new("/proc").join(&worker).exists() {
        assert!(started.elapsed() < Duration::from_secs(10), "worker {worker} goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(num_delivered(&workshop.build()), 9);
}

#[test]
fn a_worker_that_somebody_kills_is_replaced_and_no_record_is_lost() {
    let workshop = faulty_workshop(&[("stall.jpg", "stall", true)]);
    let child = stalled_build(&workshop);
    // The library is gone: the next worker meets with no fault.
    std::fs::remove_file(workshop.path("faults.so")).unwrap();
    signal("KILL", &worker_of(&child).unwrap());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(num_delivered(&Built::read(&workshop.path("out"))), 9);
}

#[test]
fn a_pipe_in_place_of_a_file_ends_a_command() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.head = workshop.head.replace("seed = 3\n", "seed = 3\nvalidate = { model = \"MODEL\" }\n");
    workshop.head = workshop.head.replace("MODEL", &workshop.text("model"));
    workshop.add_source("a", "llava", &json!([llava("r", "1.jpg")]), "");
    run(&["model", "init", &workshop.text("model"), "--preset", "tiny", "--vocab-size", "70000"], 0);
    workshop.build();
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let ends = |arguments: &[&str], expected: &str| {
        let mut child = manyframe(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("{arguments:?} waits for a pipe");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(expected), "{arguments:?}: {text}");
    };
    let with_pipe = |name: &str, check: &dyn Fn()| {
        let (path, kept) = (workshop.path(name), workshop.path("kept"));
        let is_there = path.exists();
        if is_there {
            std::fs::rename(&path, &kept).unwrap();
        }
        make_pipe(&path);
        check();
        std::fs::remove_file(&path).unwrap();
        if is_there {
            std::fs::rename(&kept, &path).unwrap();
        }
    };
    let seed = ["build", &pipeline, "--quiet", "--output", &out, "--set", "seed=9"];
    for name in ["model/config.json", "model/model.safetensors"] {
        with_pipe(name, &|| ends(&seed, "not a regular file"));
    }
    with_pipe("out/manifest.json", &|| {
        ends(&seed, "is not a manyframe dataset");
        ends(&["inspect", &out], "not a regular file");
        ends(&["check", &pipeline, "--set", &format!("output.directory={out}")], "something else than a dataset");
    });
    let exported = ["export", &out, "--quiet", "--format", "llava_json", "--output", &workshop.text("exported")];
    with_pipe("out/webdataset/image/000000.tar", &|| ends(&exported, "not a regular file"));
    with_pipe("sets/1.toml", &|| {
        for command in ["check", "plan", "build"] {
            ends(&[command, &workshop.text("sets")], "not a regular file");
        }
        ends(&["status", &workshop.text("sets")], "no dataset");
    });
    let replay = format!("[[source]]\nname = \"b\"\nkind = \"dataset\"\nfrom = {:?}\n", workshop.text("next.toml"));
    let replays = workshop.write("replays.toml", format!("{}{replay}", workshop.head)).display().to_string();
    with_pipe("next.toml", &|| ends(&["check", &replays], "not a regular file"));
    let policy = format!("validate.policy={}", workshop.text("limits.toml"));
    with_pipe("limits.toml", &|| ends(&["check", &pipeline, "--set", &policy], "neither a file nor a directory"));
    with_pipe("limits.toml", &|| {
        ends(
            &["validate", &out, "--model", &workshop.text("model"), "--policy", &workshop.text("limits.toml")],
            "not a regular file",
        );
    });
    with_pipe("out/ledger.parquet", &|| {
        ends(&["pack", &out], "not a regular file");
        ends(&seed, "out");
    });
}

#[test]
fn threads_that_the_system_does_not_start_are_an_error_or_not_needed() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("a", "llava", &json!([llava("r", "1.jpg")]), "");
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    // The limit is on the threads of a user, and root has none: a user of whom nothing else runs is asked.
    if Command::new("id").arg("-u").output().unwrap().stdout != b"0\n" {
        return;
    }
    for path in [workshop.path("."), workshop.path("media"), workshop.path("out")] {
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let program = manyframe(&["build", &pipeline, "--output", &out, "--json", "--threads", "2"]);
    let words: Vec<String> = std::iter::once(program.get_program())
        .chain(program.get_args())
        .map(|word| format!("'{}'", word.display()))
        .collect();
    let as_another = ["--reuid=54321", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let mut reaches = Command::new("setpriv");
    if !reaches.args(as_another).arg(program.get_program()).arg("--version").output().unwrap().status.success() {
        return;
    }
    let mut num_failed = 0;
    for most in 1..12 {
        let script = format!("ulimit -u {most}; exec {}", words.join(" "));
        let mut command = Command::new("setpriv");
        command.args(as_another).args(["bash", "-c", &script]);
        let output = command.current_dir(root()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.contains("panicked"), "{most}: {told}");
        let answer: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{most}: {error}: {told}"));
        match output.status.code() {
            Some(0) => assert_eq!(answer["is_published"], true),
            code => {
                assert_eq!(code, Some(1), "{most}: {told}");
                num_failed += 1;
            }
        }
    }
    assert!((1..11).contains(&num_failed), "{num_failed}");
}
