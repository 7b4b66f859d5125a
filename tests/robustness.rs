//! Promise: what cannot be read, decoded or written costs what depends on it, never the build, and never in silence.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Built, Workshop, llava, manyframe, photo, run};

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

/// Runs manyframe like a user without privileges: root reads files of mode 000.
fn run_without_privileges(arguments: &[&str]) -> Output {
    let program = manyframe(arguments);
    let mut command = Command::new("setpriv");
    // Without the capabilities that let root read everything.
    command.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]);
    command.arg(program.get_program()).args(program.get_args()).current_dir(program.get_current_dir().unwrap());
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let output = if is_root { command.output() } else { { program }.output() }.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
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
fn a_pipe_as_a_media_root_is_an_error_and_one_among_unwanted_images_is_ignored() {
    let mut workshop = Workshop::new();
    workshop.write("media/good.jpg", photo(1, 60, 40));
    workshop.add_source("a", "llava", &json!([llava("r", "good.jpg")]), "");
    make_pipe(&workshop.path("benchmark/pipe.jpg"));
    workshop.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", workshop.text("benchmark")));
    assert_eq!(workshop.build().manifest.total.num_samples, 1);
    make_pipe(&workshop.path("pipe.zip"));
    let media = format!("source.a.media={}", workshop.text("pipe.zip"));
    let output = run(&["plan", &workshop.pipeline(), "--set", &media, "--output", &workshop.text("other")], 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("neither a file nor a directory"));
}

#[test]
fn media_that_may_not_be_read_cost_their_record() {
    let mut workshop = Workshop::new();
    for name in ["good.jpg", "closed.jpg", "closed/a.jpg", "frames/1.jpg", "closed.mp4"] {
        workshop.write(&format!("media/{name}"), photo(1, 60, 40));
    }
    for name in ["closed.jpg", "closed", "frames/1.jpg", "closed.mp4"] {
        let mode = std::fs::Permissions::from_mode(0);
        std::fs::set_permissions(workshop.path("media").join(name), mode).unwrap();
    }
    let mut records: Vec<Value> =
        ["good.jpg", "closed.jpg", "closed/a.jpg"].iter().map(|name| llava(name, name)).collect();
    records.extend(["frames", "closed.mp4"].map(|name| video(name, name)));
    workshop.add_source("a", "llava", &json!(records), "max_rejects = 1.0");
    let out = workshop.text("out");
    run_without_privileges(&["build", &workshop.pipeline(), "--output", &out, "--quiet"]);
    std::fs::set_permissions(workshop.path("media/closed"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let built = Built::read(&workshop.path("out"));
    assert_eq!(outcome(&built, "good.jpg"), "delivered");
    for name in ["closed.jpg", "closed/a.jpg", "closed.mp4"] {
        assert_eq!(outcome(&built, name), "media_unreadable", "{name}");
    }
    // The others of its frames might be readable.
    assert_eq!(outcome(&built, "frames"), "no_frames");
    built.verify();
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
