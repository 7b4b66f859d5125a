//! Looking paths up in zips and tars, sound and otherwise.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use manyframe_base::InputFile;
use manyframe_core::{RejectCode, Rejection};
use manyframe_media::{Located, MediaLimits, MediaStore, list_tar};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::support::{code, jpeg, read, reject, root_at, store, write};

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
}

fn deflated() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
}

fn zip_bytes(members: &[(&str, &[u8], SimpleFileOptions)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, options) in members {
        writer.start_file(*name, *options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn tar_bytes(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

struct Root {
    _folder: TempDir,
    path: PathBuf,
}

fn root(name: &str, bytes: &[u8]) -> Root {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path, bytes);
    Root { _folder: folder, path }
}

fn zip_store(members: &[(&str, &[u8], SimpleFileOptions)]) -> (Root, MediaStore) {
    let root = root("a.zip", &zip_bytes(members));
    let store = store(&root.path);
    (root, store)
}

#[track_caller]
fn open_error(root: &Root) -> String {
    MediaStore::open(&[root_at(&root.path)]).map(|_| ()).unwrap_err().to_string()
}

/// Replaces the last occurrence: in a zip that is the central directory, which is what counts.
fn patch(bytes: &mut [u8], find: &[u8], replace: &[u8]) {
    let position = bytes.windows(find.len()).rposition(|window| window == find).unwrap();
    bytes[position..position + replace.len()].copy_from_slice(replace);
}

#[test]
fn stored_and_deflated_members_are_read_and_probed_in_place() {
    let image = jpeg(300, 200);
    let (_root, store) = zip_store(&[("d/s.jpg", &image, stored()), ("d/z.jpg", &image, deflated())]);
    assert!(
        matches!(store.locate("", "d/s.jpg").unwrap(), Located::Range { num_bytes, .. } if num_bytes == image.len() as u64)
    );
    assert!(matches!(store.locate("", "d/z.jpg").unwrap(), Located::Deflated { .. }));
    for path in ["d/s.jpg", "d/z.jpg"] {
        assert_eq!(read(&store, path).unwrap(), image);
        let located = store.locate("", path).unwrap();
        assert_eq!(located.num_bytes().unwrap(), image.len() as u64);
        let header = located.probe_image(&MediaLimits::default()).unwrap();
        assert_eq!((header.width_px, header.height_px), (300, 200));
        assert_eq!(code(located.read(10)), RejectCode::MediaTooLarge);
    }
}

#[test]
fn a_range_points_at_the_member_in_the_archive() {
    let (root, store) = zip_store(&[("pad.bin", &[7; 99], deflated()), ("s.bin", b"hello", stored())]);
    let Located::Range { archive, offset, num_bytes, .. } = store.locate("", "s.bin").unwrap() else { panic!() };
    let whole = fs::read(&root.path).unwrap();
    assert_eq!(&whole[offset as usize..][..num_bytes as usize], b"hello");
    assert_eq!(archive.path().file_name(), root.path.file_name());
}

#[test]
fn zip64_and_prepended_bytes_are_no_obstacle() {
    let whole =
        zip_bytes(&[("a.bin", b"one", stored().large_file(true)), ("b.bin", b"two", deflated().large_file(true))]);
    let root = root("a.zip", &[b"#!/bin/sh\n", &whole[..]].concat());
    let store = store(&root.path);
    assert_eq!(read(&store, "a.bin").unwrap(), b"one");
    assert_eq!(read(&store, "b.bin").unwrap(), b"two");
}

#[test]
fn a_member_is_found_below_the_only_directory_of_its_archive() {
    let (_root, store) = zip_store(&[("images/x/1.jpg", b"1", stored()), ("images/x/2.jpg", b"2", stored())]);
    assert_eq!(read(&store, "x/1.jpg").unwrap(), b"1");
}

#[test]
fn a_unique_base_name_is_the_last_resort_and_an_ambiguous_one_is_none() {
    let (_root, store) =
        zip_store(&[("p/1.jpg", b"1", stored()), ("p/2.jpg", b"2", stored()), ("q/2.jpg", b"3", stored())]);
    assert_eq!(read(&store, "allava_laion/images/1.jpg").unwrap(), b"1");
    let Rejection { code, detail } = reject(store.locate("", "allava_laion/images/2.jpg"));
    assert_eq!(code, RejectCode::MediaMissing);
    assert!(detail.contains("p/2.jpg") && detail.contains("q/2.jpg"), "{detail}");
}

#[test]
fn a_base_name_in_two_archives_is_ambiguous_and_an_exact_name_is_not() {
    let first = root("1.zip", &zip_bytes(&[("p/1.jpg", b"1", stored())]));
    let second = root("2.tar", &tar_bytes(&[("q/1.jpg", b"2")]));
    let store = MediaStore::open(&[root_at(&first.path), root_at(&second.path)]).unwrap();
    assert_eq!(code(store.locate("", "z/1.jpg")), RejectCode::MediaMissing);
    assert_eq!(read(&store, "q/1.jpg").unwrap(), b"2");
}

#[test]
fn a_directory_of_frames_in_an_archive_is_in_natural_order() {
    let root =
        root("v.tar", &tar_bytes(&[("v/f10.jpg", b"10"), ("v/f9.jpg", b"9"), ("v/.hidden", b""), ("w.jpg", b"")]));
    let store = store(&root.path);
    let Located::Directory { frames, .. } = store.locate("", "v").unwrap() else { panic!() };
    let contents: Vec<Vec<u8>> = frames.iter().map(|frame| frame.read(10).unwrap()).collect();
    assert_eq!(contents, [b"9".to_vec(), b"10".to_vec()]);
}

#[test]
fn members_outside_of_the_archive_are_never_found() {
    let (_root, store) = zip_store(&[("../secret.jpg", b"1", stored()), ("/etc/../other.jpg", b"2", stored())]);
    for path in ["secret.jpg", "x/secret.jpg", "other.jpg", "etc/other.jpg"] {
        assert_eq!(code(store.locate("", path)), RejectCode::MediaMissing, "{path}");
    }
    assert_eq!(code(store.locate("", "../secret.jpg")), RejectCode::UnsafePath);
}

#[test]
fn a_wrong_checksum_is_corrupt() {
    for options in [stored(), deflated()] {
        let mut bytes = zip_bytes(&[("a.bin", &[5; 4000], options)]);
        let crc = crc32_of(&[5; 4000]);
        patch(&mut bytes, &crc.to_le_bytes(), &[0, 1, 2, 3]);
        let root = root("a.zip", &bytes);
        assert_eq!(code(read(&store(&root.path), "a.bin")), RejectCode::MediaCorrupt);
    }
}

#[test]
fn a_member_that_inflates_to_more_or_less_than_it_claims_is_corrupt() {
    let size = 40_000_u32;
    let original = zip_bytes(&[("a.bin", &vec![0; size as usize], deflated())]);
    for claimed in [size - 1, size + 1, 10] {
        let mut bytes = original.clone();
        patch(&mut bytes, &size.to_le_bytes(), &claimed.to_le_bytes());
        let root = root("a.zip", &bytes);
        let store = store(&root.path);
        let located = store.locate("", "a.bin").unwrap();
        assert_eq!(code(located.read(u64::MAX)), RejectCode::MediaCorrupt, "{claimed}");
        let mut num_bytes = 0;
        let read = located.read_chunks(u64::MAX, &mut |bytes| num_bytes += bytes.len());
        assert_eq!(code(read), RejectCode::MediaCorrupt, "{claimed}");
        assert!(num_bytes <= claimed as usize + 1, "nothing is inflated beyond what is claimed");
        assert!(located.read_head(5).is_ok(), "{claimed}");
    }
    let mut bytes = original;
    patch(&mut bytes, &size.to_le_bytes(), &(u32::MAX - 1).to_le_bytes());
    let Rejection { code, detail } = reject(store(&root("a.zip", &bytes).path).locate("", "a.bin"));
    assert_eq!(code, RejectCode::MediaCorrupt);
    assert!(detail.contains("more bytes than it can inflate to"), "{detail}");
}

#[test]
fn a_large_member_is_inflated_in_pieces_and_up_to_the_limit() {
    let content: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (_root, store) = zip_store(&[("a.bin", &content, deflated())]);
    let located = store.locate("", "a.bin").unwrap();
    let (mut found, mut largest) = (Vec::new(), 0);
    located
        .read_chunks(u64::MAX, &mut |bytes| {
            largest = largest.max(bytes.len());
            found.extend_from_slice(bytes);
        })
        .unwrap();
    assert!(found == content && largest <= 1 << 20);
    let mut is_read = false;
    assert_eq!(code(located.read_chunks(4_999_999, &mut |_| is_read = true)), RejectCode::MediaTooLarge);
    assert!(!is_read);
}

#[test]
fn frames_in_an_archive_are_those_of_the_same_directory_on_disk() {
    let names = ["clip/frame1.jpg", "clip/frame2.JPG", "clip/Thumbs.db", "clip/._frame1.jpg", "clip/notes.txt"];
    let members: Vec<_> = names.iter().map(|name| (*name, name.as_bytes(), stored())).collect();
    let (_root, zip) = zip_store(&members);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("clip")).unwrap();
    for name in &names {
        write(folder.path().join(name), name);
    }
    let frames = |store: &MediaStore| {
        let Located::Directory { frames, .. } = store.locate("", "clip").unwrap() else { panic!() };
        frames.iter().map(|frame| frame.read(99).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(frames(&zip), [b"clip/frame1.jpg", b"clip/frame2.JPG"]);
    assert_eq!(frames(&zip), frames(&store(folder.path())));
    let (_root, without_images) = zip_store(&[("clip/1", b"1", stored()), ("clip/2", b"2", stored())]);
    assert_eq!(frames(&without_images), [b"1", b"2"]);
}

#[test]
fn what_macos_adds_to_a_zip_changes_nothing() {
    let (_root, store) = zip_store(&[
        ("images/a/1.jpg", b"a1", stored()),
        ("images/b/1.jpg", b"b1", stored()),
        (".DS_Store", b"x", stored()),
        ("__MACOSX/images/a/._1.jpg", b"x", stored()),
        ("__MACOSX/images/b/1.jpg", b"x", stored()),
    ]);
    assert_eq!(read(&store, "a/1.jpg").unwrap(), b"a1");
    assert_eq!(read(&store, "b/1.jpg").unwrap(), b"b1");
}

#[test]
fn damaged_deflate_data_is_corrupt() {
    let noise: Vec<u8> = (0..5_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut bytes = zip_bytes(&[("a.bin", &noise, deflated())]);
    bytes[200..260].fill(0xff);
    let root = root("a.zip", &bytes);
    assert_eq!(code(read(&store(&root.path), "a.bin")), RejectCode::MediaCorrupt);
}

#[test]
fn a_damaged_local_header_is_corrupt() {
    let mut bytes = zip_bytes(&[("a.bin", b"x", stored())]);
    bytes[0] = b'Q';
    let root = root("a.zip", &bytes);
    assert_eq!(code(read(&store(&root.path), "a.bin")), RejectCode::MediaCorrupt);
}

#[test]
fn encrypted_members_links_and_unknown_packings_say_why() {
    // Flags and method of the central directory entry are at 8 and 10 bytes from its signature.
    let with = |offset: usize, value: u8| {
        let mut bytes = zip_bytes(&[("a.bin", b"x", stored())]);
        let entry = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
        bytes[entry + offset] = value;
        root("a.zip", &bytes)
    };
    let Rejection { code, detail } = reject(read(&store(&with(8, 1).path), "a.bin"));
    assert_eq!(code, RejectCode::UnsupportedMedia);
    assert!(detail.contains("is encrypted"), "{detail}");
    let Rejection { code, detail } = reject(read(&store(&with(10, 14).path), "a.bin"));
    assert_eq!(code, RejectCode::UnsupportedMedia);
    assert!(detail.contains("neither stored nor deflated"), "{detail}");

    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("link.jpg", "/etc/passwd", stored()).unwrap();
    let linked = root("a.zip", &writer.finish().unwrap().into_inner());
    assert_eq!(self::code(store(&linked.path).locate("", "link.jpg")), RejectCode::UnsafePath);
}

#[test]
fn a_truncated_zip_is_rejected_when_it_is_opened() {
    let whole = zip_bytes(&[("a.bin", &[1; 9000], stored())]);
    let message = open_error(&root("a.zip", &whole[..5000]));
    assert!(message.contains("damaged zip archive") && message.contains("download it again"), "{message}");
}

#[test]
fn an_empty_zip_opens() {
    let root = root("a.zip", &zip_bytes(&[]));
    assert_eq!(code(store(&root.path).locate("", "a.jpg")), RejectCode::MediaMissing);
}

#[test]
fn a_split_zip_says_how_to_join_it() {
    let whole = zip_bytes(&[("a.bin", b"x", stored())]);
    let split = root("dreamsim_split.zip", &whole);
    write(split.path.with_extension("z01"), b"PK\x07\x08");
    let message = open_error(&split);
    assert!(message.contains("zip -s 0") && message.contains("dreamsim_split-whole.zip"), "{message}");

    // The last part alone: its end record counts disks.
    let mut last = whole;
    let end = last.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
    last[end + 4..end + 8].copy_from_slice(&[1, 0, 1, 0]);
    let message = open_error(&root("part.zip", &last));
    assert!(message.contains("zip -s 0"), "{message}");
}

#[test]
fn other_archives_and_pages_say_what_to_do() {
    for (name, bytes, expected) in [
        ("a.tar.gz", &b"\x1f\x8b\x08\0"[..], "tar xzf"),
        ("a.tgz", b"\x1f\x8b\x08\0", "tar xzf"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "7z x"),
        ("a.rar", b"Rar!\x1a\x07", "unrar x"),
        ("a.zip", b"<!DOCTYPE html><html>", "an HTML page"),
        ("a.zip", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.tar", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.zip", b"", "an empty file"),
        ("a.zip.001", b"PK\x03\x04", "cat "),
    ] {
        let message = open_error(&root(name, bytes));
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn tar_members_with_long_names_are_found() {
    let long = format!("{}/{}.jpg", "directory".repeat(15), "name".repeat(20));
    let root = root("a.tar", &tar_bytes(&[("short.jpg", b"1"), (&long, b"22"), ("after.jpg", b"333")]));
    let store = store(&root.path);
    for (path, content) in [("short.jpg", &b"1"[..]), (&long, b"22"), ("after.jpg", b"333")] {
        assert_eq!(read(&store, path).unwrap(), content);
    }
}

#[test]
fn pax_names_and_sizes_count() {
    let mut builder = tar::Builder::new(Vec::new());
    let name = "d/é.jpg";
    builder.append_pax_extensions([("path", name.as_bytes()), ("size", b"5".as_slice())]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("other.jpg").unwrap();
    header.set_size(5);
    header.set_cksum();
    builder.append(&header, &b"hello"[..]).unwrap();
    let root = root("a.tar", &builder.into_inner().unwrap());
    assert_eq!(read(&store(&root.path), name).unwrap(), b"hello");
}

#[test]
fn a_member_that_claims_almost_all_64_bit_positions_ends_the_listing() {
    // One of the sizes ends at the last position at which a header could start.
    for num_blocks in 1..9_u64 {
        let size = (num_blocks * 512).wrapping_neg().to_string();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("size", size.as_bytes())]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("a.jpg").unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
        let root = root("a.tar", &builder.into_inner().unwrap());
        assert_eq!(code(store(&root.path).locate("", "a.jpg")), RejectCode::MediaCorrupt);
    }
}

#[test]
fn the_label_of_a_volume_hides_no_member() {
    let mut label = tar::Header::new_gnu();
    label.set_path("label").unwrap();
    label.set_entry_type(tar::EntryType::new(b'V'));
    label.as_old_mut().size = [0; 12];
    label.set_cksum();
    let bytes = [label.as_bytes(), &tar_bytes(&[("a.jpg", b"hello")])[..]].concat();
    let root = root("a.tar", &bytes);
    assert_eq!(read(&store(&root.path), "a.jpg").unwrap(), b"hello");
}

#[test]
fn a_sparse_file_in_a_tar_is_rejected_under_its_own_name() {
    let mut builder = tar::Builder::new(Vec::new());
    builder
        .append_pax_extensions([("GNU.sparse.name", b"s.bin".as_slice()), ("path", b"GNUSparseFile.7/s.bin")])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &b""[..]).unwrap();
    let root = root("a.tar", &builder.into_inner().unwrap());
    assert_eq!(code(store(&root.path).locate("", "s.bin")), RejectCode::UnsupportedMedia);
}

#[test]
fn sparse_files_of_gnu_tar_are_rejected_and_hide_no_member_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = fs::File::create(folder.path().join("s.bin")).unwrap();
    // More pieces than a header has room for, and than one block behind it has.
    (0..30).for_each(|piece| sparse.write_all_at(&[7; 600], piece * 100_000).unwrap());
    sparse.set_len(3_000_000).unwrap();
    write(folder.path().join("z.jpg"), b"hello");
    let posix =
        ["0.0", "0.1", "1.0"].map(|version| vec!["--format=posix".to_owned(), format!("--sparse-version={version}")]);
    let formats = ["--format=gnu", "--format=oldgnu"].map(|format| vec![format.to_owned()]);
    for format in formats.into_iter().chain(posix) {
        let archive = folder.path().join("a.tar");
        let mut tar = Command::new("tar");
        tar.args(&format).args(["--sparse", "-cf"]).arg(&archive);
        assert!(tar.arg("-C").arg(folder.path()).args(["s.bin", "z.jpg"]).status().unwrap().success());
        assert!(fs::metadata(&archive).unwrap().len() < 200_000, "{format:?}");
        let store = store(&archive);
        assert_eq!(code(store.locate("", "s.bin")), RejectCode::UnsupportedMedia, "{format:?}");
        assert_eq!(read(&store, "z.jpg").unwrap(), b"hello", "{format:?}");
    }
}

const SOFT: tar::EntryType = tar::EntryType::Symlink;
const HARD: tar::EntryType = tar::EntryType::Link;

/// A tar of one file, `imgs/b.jpg`, then these links.
fn tar_with_links(links: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    builder.append_data(&mut header, "imgs/b.jpg", &b"hello"[..]).unwrap();
    for (name, entry_type, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*entry_type);
        header.set_size(0);
        builder.append_link(&mut header, name, target).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn links_out_of_a_tar_or_to_nothing_are_rejected() {
    let links = [
        ("soft.jpg", SOFT, "/etc/passwd"),
        ("hard.jpg", HARD, "/etc/passwd"),
        ("d/up.jpg", SOFT, "../../imgs/b.jpg"),
        ("none.jpg", SOFT, "imgs/none.jpg"),
        ("loop.jpg", SOFT, "pool.jpg"),
        ("pool.jpg", SOFT, "loop.jpg"),
    ];
    let root = root("a.tar", &tar_with_links(&links));
    let store = store(&root.path);
    for (name, ..) in links {
        assert_eq!(code(store.locate("", name)), RejectCode::UnsafePath, "{name}");
    }
}

#[test]
fn links_within_an_archive_are_the_member_they_lead_to() {
    let long = "l".repeat(120);
    let links = [
        ("imgs/a.jpg", HARD, "imgs/b.jpg"),
        ("imgs/c.jpg", SOFT, "a.jpg"),
        ("other/d.jpg", SOFT, "../imgs/./c.jpg"),
        (long.as_str(), HARD, "./imgs/b.jpg"),
        ("imgs/long.jpg", SOFT, &format!("../{long}")),
        ("copy", SOFT, "imgs"),
        ("imgs/absolute.jpg", SOFT, "/imgs/b.jpg"),
        ("copies/again", SOFT, "../copy"),
        ("copies/of/again", SOFT, "../again"),
        ("through.jpg", SOFT, "copies/again/c.jpg"),
    ];
    let root = root("a.tar", &tar_with_links(&links));
    let listings = root.path.with_file_name("listings");
    for _ in 0..2 {
        let store = MediaStore::open_keeping(&[root_at(&root.path)], &listings).unwrap();
        let below_links = ["copy/b.jpg", "copies/again/c.jpg", "copies/of/again/a.jpg"];
        let names =
            ["imgs/a.jpg", "imgs/c.jpg", "other/d.jpg", &long, "imgs/long.jpg", "imgs/absolute.jpg", "through.jpg"];
        for name in names.into_iter().chain(below_links) {
            assert_eq!(read(&store, name).unwrap(), b"hello", "{name}");
        }
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("imgs/a.jpg", "../files/b.jpg", deflated()).unwrap();
    writer.start_file("files/b.jpg", deflated()).unwrap();
    writer.write_all(b"hello").unwrap();
    let zip = self::root("a.zip", &writer.finish().unwrap().into_inner());
    assert_eq!(read(&self::store(&zip.path), "imgs/a.jpg").unwrap(), b"hello");
}

#[test]
fn a_hard_link_is_the_file_that_had_its_name_then() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, contents: Result<&[u8], &str>| {
        let mut header = tar::Header::new_gnu();
        match contents {
            Ok(bytes) => {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, name, bytes).unwrap();
            }
            Err(target) => {
                header.set_entry_type(HARD);
                header.set_size(0);
                builder.append_link(&mut header, name, target).unwrap();
            }
        }
    };
    add("b.jpg", Ok(b"first"));
    add("h.jpg", Err("b.jpg"));
    add("again.jpg", Err("h.jpg"));
    add("b.jpg", Ok(b"second"));
    add("late.jpg", Err("b.jpg"));
    let root = root("a.tar", &builder.into_inner().unwrap());
    let store = store(&root.path);
    for (name, contents) in [("h.jpg", "first"), ("again.jpg", "first"), ("b.jpg", "second"), ("late.jpg", "second")] {
        assert_eq!(read(&store, name).unwrap(), contents.as_bytes(), "{name}");
    }
}

#[test]
fn a_member_archived_with_its_absolute_path_is_where_it_would_be_extracted() {
    let mut bytes = tar_bytes(&[("xdata/a.jpg", b"1")]);
    bytes[0] = b'/';
    let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    let root = root("a.tar", &bytes);
    let store = store(&root.path);
    assert_eq!(read(&store, "data/a.jpg").unwrap(), b"1");
    // Records may call it as the archive does; no other absolute path is one of a member.
    assert_eq!(read(&store, "/data/a.jpg").unwrap(), b"1");
    assert_eq!(code(store.locate("", "/data/b.jpg")), RejectCode::UnsafePath);
}

#[test]
fn members_after_blocks_of_zeros_are_found_as_in_archives_that_were_joined() {
    let (first, second) = (tar_bytes(&[("a.bin", b"1")]), tar_bytes(&[("b.bin", b"2")]));
    // A header and a block of content; then the end of the archive, or one block of zeros only.
    for first in [&first[..], &first[..1024 + 512]] {
        let root = root("a.tar", &[first, &second].concat());
        let store = store(&root.path);
        assert_eq!(read(&store, "a.bin").unwrap(), b"1");
        assert_eq!(read(&store, "b.bin").unwrap(), b"2");
        let listing = list_tar(&InputFile::open(&root.path).unwrap()).unwrap();
        assert_eq!((listing.members.len(), listing.damage), (2, None));
    }
    // What a download left out is zeros, and content goes on anywhere.
    let root = root("a.tar", &[&first[..], &[7; 512]].concat());
    let listing = list_tar(&InputFile::open(&root.path).unwrap()).unwrap();
    assert_eq!(listing.members.len(), 1);
    assert!(listing.damage.unwrap().contains("zeros"), "{listing:?}");
}

/// A tar in which records of this many blocks are written.
fn tar_of_records(members: &[(&str, &[u8])], num_blocks: usize) -> Vec<u8> {
    let mut bytes = tar_bytes(members);
    bytes.resize(bytes.len().next_multiple_of(num_blocks * 512), 0);
    bytes
}

fn damage_of(bytes: &[u8]) -> (usize, Option<&'static str>) {
    let root = root("a.tar", bytes);
    let listing = list_tar(&InputFile::open(&root.path).unwrap()).unwrap();
    (listing.members.len(), listing.damage)
}

#[test]
fn zeros_up_to_the_end_of_a_record_are_the_end_of_a_tar() {
    let members = [("a.jpg", &[1; 700][..]), ("b.npy", &[0; 9000])];
    for num_blocks in [1, 2, 20, 64, 128, 256, 512, 1024, 2048] {
        let whole = tar_of_records(&members, num_blocks);
        assert_eq!(damage_of(&whole), (2, None), "{num_blocks}");
        assert_eq!(damage_of(&[&whole[..], &whole, &whole].concat()), (6, None), "{num_blocks}");
    }
    // What other programs write.
    for (program, blocks) in [("tar", "20"), ("tar", "64"), ("tar", "2048"), ("bsdtar", "20"), ("bsdtar", "512")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new(program);
        command.current_dir(folder.path()).args(["-b", blocks, "-c", "-f", "a.tar", "a.jpg", "b.npy"]);
        for (name, content) in members {
            write(folder.path().join(name), content);
        }
        match command.status() {
            Err(error) if program == "bsdtar" && error.kind() == std::io::ErrorKind::NotFound => continue,
            status => assert!(status.unwrap().success(), "{program}"),
        }
        let bytes = fs::read(folder.path().join("a.tar")).unwrap();
        assert_eq!(damage_of(&bytes), (2, None), "{program} -b {blocks}");
    }
}

#[test]
fn zeros_in_place_of_members_are_a_loss() {
    let frames: Vec<String> = (0..40).map(|n| format!("{}/{n:03}.jpg", if n < 20 { "v" } else { "w" })).collect();
    let members: Vec<(&str, &[u8])> = frames.iter().map(|name| (&**name, &[7; 700][..])).collect();
    // Each member has a header and two blocks: from the twentieth on, or within it; whole members; or within one up to another.
    let whole = tar_of_records(&members, 20);
    let member = |index: usize| index * 1536;
    let lost = Some("zeros are in place of members");
    let end = whole.len();
    for (hole, num_left) in [
        (member(20)..end, 20),
        (member(19) + 600..end, 20),
        (member(39) + 600..end, 40),
        (member(12)..member(24), 28),
        (member(3)..member(5), 38),
        (member(11) + 600..member(13), 39),
    ] {
        let mut bytes = whole.clone();
        bytes[hole.clone()].fill(0);
        assert_eq!(damage_of(&bytes), (num_left, lost), "{hole:?}");
    }
    // A directory on either side may have lost frames, also by the listing that is kept.
    let mut bytes = whole.clone();
    bytes[member(12)..member(24)].fill(0);
    let root = root("a.tar", &bytes);
    for _ in 0..2 {
        let store = MediaStore::open_keeping(&[root_at(&root.path)], &root.path.with_file_name("listings")).unwrap();
        for directory in ["v", "w"] {
            let Rejection { code, detail } = reject(store.locate("", directory));
            assert_eq!(code, RejectCode::MediaCorrupt);
            assert!(detail.contains("zeros are in place of members"), "{detail}");
        }
        assert_eq!(read(&store, "w/030.jpg").unwrap(), [7; 700]);
    }
}

#[test]
fn complete_members_of_a_truncated_tar_are_found_and_whoever_misses_others_learns_why() {
    let whole = tar_bytes(&[("a.bin", &[1; 1000]), ("d/b.bin", &[2; 5000]), ("c.bin", b"3")]);
    // Inside of a member, after it, and inside of the header after it.
    for (num_bytes, damage) in [(4000, "inside of a member"), (7168, "no end"), (7400, "inside of a member")] {
        let root = root("a.tar", &whole[..num_bytes]);
        let listings = root.path.with_file_name("listings");
        // The second time from the cached listing.
        for _ in 0..2 {
            let store = MediaStore::open_keeping(&[root_at(&root.path)], &listings).unwrap();
            assert_eq!(read(&store, "a.bin").unwrap(), [1; 1000]);
            let Rejection { code, detail } = reject(store.locate("", "c.bin"));
            assert_eq!(code, RejectCode::MediaMissing);
            assert!(detail.contains(damage) && detail.contains(r#"what follows "d/b.bin""#), "{num_bytes}: {detail}");
            // The name of a file elsewhere is no proof: another one of that name may have been lost.
            assert_eq!(store.locate("", "x/a.bin").is_ok(), damage == "no end");
        }
    }
    let root = root("a.tar", &whole[..4000]);
    let Rejection { code, detail } = reject(read(&store(&root.path), "d/b.bin"));
    assert_eq!(code, RejectCode::MediaCorrupt);
    assert!(detail.contains("cut short"), "{detail}");
}

#[test]
fn a_directory_of_frames_in_which_a_tar_is_damaged_is_no_video() {
    let frames = ["v/1.jpg", "v/2.jpg", "w/1.jpg", "w/2.jpg", "w/3.jpg"].map(|name| (name, &b"jpeg"[..]));
    let mut bytes = tar_bytes(&frames);
    // The header of w/2.jpg, which is the fourth; each has a block of content.
    bytes[3 * 1024] ^= 1;
    let root = root("a.tar", &bytes);
    let store = store(&root.path);
    let Located::Directory { frames, .. } = store.locate("", "v").unwrap() else { panic!("no directory") };
    assert_eq!(frames.len(), 2);
    let Rejection { code, detail } = reject(store.locate("", "w"));
    assert_eq!(code, RejectCode::MediaCorrupt);
    assert!(detail.contains("a header is damaged"), "{detail}");
}

#[test]
fn a_tar_is_identified_by_its_header_whatever_its_name() {
    let root = root("images", &tar_bytes(&[("a.bin", b"1")]));
    assert_eq!(read(&store(&root.path), "a.bin").unwrap(), b"1");
}

#[test]
fn one_store_serves_many_threads() {
    let members: Vec<(String, Vec<u8>)> =
        (0..40).map(|i| (format!("{i}.bin"), vec![i; 3000 + usize::from(i)])).collect();
    let listed: Vec<_> = members.iter().map(|(name, bytes)| (name.as_str(), &bytes[..], deflated())).collect();
    let (_root, store) = zip_store(&listed);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (name, bytes) in &members {
                    assert_eq!(read(&store, name).unwrap(), *bytes);
                }
            });
        }
    });
}

fn crc32_of(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn the_listing_of_a_tar_is_cached_until_the_tar_changes() {
    let root =
        root("a.tar", &tar_bytes(&[("one.txt", b"1"), ("sub dir/two\nlines.txt", b"22"), ("three.txt", b"333")]));
    let listings = root.path.with_file_name("listings");
    let open = || MediaStore::open_keeping(&[root_at(&root.path)], &listings).unwrap();
    let sees_all = |store: &MediaStore| {
        [("one.txt", 1), ("sub dir/two\nlines.txt", 2), ("three.txt", 3)]
            .iter()
            .all(|&(name, length)| read(store, name).is_ok_and(|bytes| bytes.len() == length))
    };
    assert!(sees_all(&open()));
    let kept = fs::read_dir(&listings).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(kept.len(), 1);

    // That it is read shows when the listing of another tar is in its place.
    let other = self::root("b.tar", &tar_bytes(&[("other.txt", b"1")]));
    let other_listings = other.path.with_file_name("listings");
    MediaStore::open_keeping(&[root_at(&other.path)], &other_listings).unwrap();
    let other_listing = fs::read_dir(&other_listings).unwrap().next().unwrap().unwrap().path();
    write(&kept[0], fs::read(other_listing).unwrap());
    assert!(!sees_all(&open()) && read(&open(), "other.txt").is_ok());
    // A listing that is cut short is none, and neither is that of the tar as it was before.
    write(&kept[0], &fs::read(&kept[0]).unwrap()[..40]);
    assert!(sees_all(&open()));
    write(&root.path, tar_bytes(&[("other.txt", b"1"), ("sub dir/two\nlines.txt", b"22"), ("three.txt", b"333")]));
    assert!(read(&open(), "other.txt").is_ok() && code(read(&open(), "one.txt")) == RejectCode::MediaMissing);
}

#[test]
fn links_in_a_cached_listing_are_still_links() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "link.jpg", "/etc/passwd").unwrap();
    let root = root("a.tar", &builder.into_inner().unwrap());
    let listings = root.path.with_file_name("listings");
    for _ in 0..2 {
        let store = MediaStore::open_keeping(&[root_at(&root.path)], &listings).unwrap();
        assert_eq!(code(read(&store, "link.jpg")), RejectCode::UnsafePath);
    }
}

#[test]
fn a_damaged_listing_is_made_again() {
    let members: &[(&str, &[u8])] = &[("one.txt", b"1"), ("two.txt", b"22"), ("three.txt", b"333")];
    let root = root("a.tar", &tar_bytes(members));
    let listings = root.path.with_file_name("listings");
    let open = || MediaStore::open_keeping(&[root_at(&root.path)], &listings).unwrap();
    open();
    let kept = fs::read_dir(&listings).unwrap().next().unwrap().unwrap().path();
    let listing = fs::read(&kept).unwrap();
    for position in 0..listing.len() {
        let mut damaged = listing.clone();
        // Turns a digit into another one.
        damaged[position] ^= 1;
        write(&kept, &damaged);
        let store = open();
        for (name, bytes) in members {
            assert_eq!(read(&store, name).unwrap(), *bytes, "byte {position}");
        }
    }
}
