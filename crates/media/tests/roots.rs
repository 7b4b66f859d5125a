//! Looking up paths in directories: what is found, what is rejected, and the message when nothing is there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use manyframe_base::InputFile;
use manyframe_core::{RejectCode, Rejection};
use manyframe_media::{Located, MediaError, MediaRoot, MediaStore, read_range};
use tempfile::TempDir;

use crate::support::{code, frame_names, read, reject, root_at, store, write};

/// A directory with these files, each holding its own name.
fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(path, name);
    }
    folder
}

#[track_caller]
fn check_found(store: &MediaStore, path: &str, name: &str) {
    assert_eq!(String::from_utf8(read(store, path).unwrap()).unwrap(), name, "{path:?}");
}

#[test]
fn names_are_found_as_they_are_written_or_decoded() {
    let folder = folder(&["a/b c.jpg", "a/plus+.jpg", "é.jpg", "e\u{301}2.jpg", "a/100%25.jpg", "back\\slash.jpg"]);
    let store = store(folder.path());
    check_found(&store, "./a//b c.jpg", "a/b c.jpg");
    check_found(&store, "a/b%20c.jpg", "a/b c.jpg");
    check_found(&store, "a\\b c.jpg", "a/b c.jpg");
    check_found(&store, "a/plus+.jpg", "a/plus+.jpg");
    check_found(&store, "e\u{301}.jpg", "é.jpg");
    check_found(&store, "é2.jpg", "e\u{301}2.jpg");
    check_found(&store, "%C3%A9.jpg", "é.jpg");
    check_found(&store, "a/100%25.jpg", "a/100%25.jpg");
    check_found(&store, "back\\slash.jpg", "back\\slash.jpg");
}

#[test]
fn an_absolute_path_may_lead_to_the_root_through_links() {
    let (folder, elsewhere) = (folder(&["a/1.jpg"]), folder(&["2.jpg"]));
    let away = tempfile::tempdir().unwrap();
    symlink(folder.path(), away.path().join("link")).unwrap();
    symlink(elsewhere.path(), folder.path().join("out")).unwrap();
    let store = store(folder.path());
    let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    check_found(&store, &text(away.path().join("link/a/1.jpg")), "a/1.jpg");
    check_found(&store, &text(folder.path().join("a/1.jpg")), "a/1.jpg");
    // What is not below the root is refused, also through a link in it.
    assert_eq!(code(store.locate("", &text(elsewhere.path().join("2.jpg")))), RejectCode::UnsafePath);
    assert_eq!(code(store.locate("", &text(away.path().join("link/out/2.jpg")))), RejectCode::UnsafePath);
}

#[test]
fn upper_and_lower_case_are_different_files() {
    let folder = folder(&["A.jpg", "a.jpg"]);
    let store = store(folder.path());
    check_found(&store, "A.jpg", "A.jpg");
    check_found(&store, "a.jpg", "a.jpg");
    assert_eq!(code(store.locate("", "a.JPG")), RejectCode::MediaMissing);
}

#[test]
fn a_missing_file_is_reported_with_the_roots_that_were_tried() {
    let (first, second) = (folder(&["x"]), folder(&["y"]));
    let store = MediaStore::open(&[root_at(first.path()), root_at(second.path())]).unwrap();
    let Rejection { code, detail } = reject(store.locate("", "coco/1.jpg"));
    assert_eq!(code, RejectCode::MediaMissing);
    for part in ["coco/1.jpg", first.path().to_str().unwrap(), second.path().to_str().unwrap()] {
        assert!(detail.contains(part), "{detail}");
    }
    // A file where a directory is asked for, and names no file system has.
    for path in ["x/1.jpg", &"n".repeat(300), &"n/".repeat(3000)] {
        assert_eq!(reject(store.locate("", path)).code, RejectCode::MediaMissing);
    }
}

#[test]
fn links_are_followed_inside_a_root_and_rejected_outside() {
    let (inside, outside) = (folder(&["real/a.jpg"]), folder(&["secret.jpg"]));
    let link = |target: &Path, name: &str| symlink(target, inside.path().join(name)).unwrap();
    link(Path::new("real/a.jpg"), "good.jpg");
    link(Path::new("real"), "good");
    link(&outside.path().join("secret.jpg"), "bad.jpg");
    link(outside.path(), "bad");
    link(Path::new("loop"), "loop");
    link(Path::new("nowhere"), "dangling");
    let store = store(inside.path());
    check_found(&store, "good.jpg", "real/a.jpg");
    check_found(&store, "good/a.jpg", "real/a.jpg");
    assert_eq!(code(store.locate("", "bad.jpg")), RejectCode::UnsafePath);
    assert_eq!(code(store.locate("", "bad/secret.jpg")), RejectCode::UnsafePath);
    assert_eq!(code(store.locate("", "loop")), RejectCode::MediaMissing);
    assert_eq!(code(store.locate("", "dangling")), RejectCode::MediaMissing);
}

#[test]
fn a_frame_that_links_out_of_the_root_rejects_the_directory() {
    let (inside, outside) = (folder(&["video/1.jpg"]), folder(&["secret.jpg"]));
    symlink(outside.path().join("secret.jpg"), inside.path().join("video/2.jpg")).unwrap();
    assert_eq!(code(store(inside.path()).locate("", "video")), RejectCode::UnsafePath);
}

#[test]
fn links_are_followed_to_the_places_that_a_root_names() {
    // As the Hugging Face cache is laid out.
    let cache = folder(&["blobs/0a1b", "blobs-2/secret", "snapshots/main/readme.txt"]);
    let snapshot = cache.path().join("snapshots/main");
    fs::create_dir(snapshot.join("frames")).unwrap();
    symlink("../../blobs/0a1b", snapshot.join("a.jpg")).unwrap();
    symlink("../../../blobs/0a1b", snapshot.join("frames/1.jpg")).unwrap();
    symlink("../../blobs-2/secret", snapshot.join("secret.jpg")).unwrap();
    symlink("../../blobs", snapshot.join("disk")).unwrap();
    let Rejection { code, detail } = reject(store(&snapshot).locate("", "a.jpg"));
    assert!(code == RejectCode::UnsafePath && detail.contains("`links`"), "{detail}");
    let root = MediaRoot { links: vec![cache.path().join("blobs")], ..root_at(&snapshot) };
    let store = MediaStore::open(&[root]).unwrap();
    check_found(&store, "a.jpg", "blobs/0a1b");
    check_found(&store, "disk/0a1b", "blobs/0a1b");
    assert_eq!(frame_names(&store.locate("", "frames").unwrap()), ["0a1b"]);
    assert_eq!(self::code(store.locate("", "secret.jpg")), RejectCode::UnsafePath);
}

#[test]
fn a_root_may_be_a_link_itself() {
    let real = folder(&["a.jpg"]);
    let links = folder(&[]);
    symlink(real.path(), links.path().join("root")).unwrap();
    check_found(&store(&links.path().join("root")), "a.jpg", "a.jpg");
}

#[test]
fn a_sibling_that_starts_like_the_root_is_outside() {
    let folder = folder(&["root/a.jpg", "root-2/secret.jpg"]);
    symlink("../root-2/secret.jpg", folder.path().join("root/link.jpg")).unwrap();
    assert_eq!(code(store(&folder.path().join("root")).locate("", "link.jpg")), RejectCode::UnsafePath);
}

#[test]
fn a_pipe_is_not_opened() {
    let folder = folder(&[]);
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.jpg")).status().unwrap();
    assert!(made.success());
    assert_eq!(code(store(folder.path()).locate("", "pipe.jpg")), RejectCode::MediaType);
}

#[test]
fn roots_are_tried_in_order() {
    let (first, second) = (folder(&["only-1.jpg"]), folder(&["only-2.jpg"]));
    write(first.path().join("both.jpg"), "first");
    write(second.path().join("both.jpg"), "second");
    let store = MediaStore::open(&[root_at(first.path()), root_at(second.path())]).unwrap();
    check_found(&store, "both.jpg", "first");
    check_found(&store, "only-2.jpg", "only-2.jpg");
}

#[test]
fn a_root_of_a_subset_serves_that_subset_and_what_is_below_it() {
    let folder = folder(&["a.jpg"]);
    let root = MediaRoot { subset: Some("video/clevrer".to_owned()), ..root_at(folder.path()) };
    let store = MediaStore::open(&[root]).unwrap();
    assert!(store.locate("video/clevrer", "a.jpg").is_ok());
    assert!(store.locate("video/clevrer/qa", "a.jpg").is_ok());
    for subset in ["video", "video/clevrer2", ""] {
        let Rejection { code, detail } = reject(store.locate(subset, "a.jpg"));
        assert_eq!(code, RejectCode::MediaMissing);
        assert!(detail.contains("no media root is for records"), "{detail}");
    }
}

#[test]
fn a_directory_is_its_frames_in_natural_order() {
    let folder = folder(&["v/frame10.jpg", "v/frame2.JPG", "v/frame1.png", "v/.DS_Store", "v/notes.txt", "w/1", "w/2"]);
    fs::create_dir(folder.path().join("v/sub")).unwrap();
    let store = store(folder.path());
    let frames = store.locate("", "v/").unwrap();
    assert_eq!(frame_names(&frames), ["frame1.png", "frame2.JPG", "frame10.jpg"]);
    assert_eq!(frames.num_bytes().unwrap(), "v/frame10.jpgv/frame2.JPGv/frame1.png".len() as u64);
    assert_eq!(frame_names(&store.locate("", "w").unwrap()), ["1", "2"]);
    assert_eq!(code(frames.read(1000)), RejectCode::MediaType);
}

#[test]
fn a_file_larger_than_allowed_is_not_read() {
    let folder = folder(&["a.jpg"]);
    let store = store(folder.path());
    let located = store.locate("", "a.jpg").unwrap();
    assert_eq!(located.read(5).unwrap(), b"a.jpg");
    assert_eq!(code(located.read(4)), RejectCode::MediaTooLarge);
    assert_eq!(located.read_head(2).unwrap(), b"a.");
}

#[test]
fn a_file_that_vanished_is_a_storage_failure() {
    let folder = folder(&["a.jpg"]);
    let store = store(folder.path());
    let located = store.locate("", "a.jpg").unwrap();
    assert!(matches!(&located, Located::File(_)));
    fs::remove_file(folder.path().join("a.jpg")).unwrap();
    assert!(matches!(located.read(100), Err(MediaError::Storage { .. })));
}

#[test]
fn a_range_of_a_file_is_read_and_one_beyond_its_end_is_rejected() {
    let folder = folder(&["0123456789"]);
    let file = folder.path().join("0123456789");
    let opened = InputFile::open(&file).unwrap();
    assert_eq!(read_range(&opened, 3, 4).unwrap(), b"3456");
    assert_eq!(code(read_range(&opened, 8, 3)), RejectCode::MediaCorrupt);
    assert_eq!(code(read_range(&opened, u64::MAX, 2)), RejectCode::MediaCorrupt);
    assert_eq!(code(read_range(&opened, 0, u64::MAX)), RejectCode::MediaCorrupt);
}
