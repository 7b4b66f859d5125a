//! Media roots that are archives of any bytes, asked for any path: found inside of the archive, or not at all.
//!
//! The path is everything up to the first line break; the rest is the archive.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use manyframe_fuzz::root_of;
use manyframe_media::MediaStore;

const MAX_BYTES: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let (Ok(wanted), archive) = (str::from_utf8(&bytes[..end]), &bytes[end + 1..]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("secret"), "outside").expect("space for it");
    let root = folder.path().join("root");
    fs::create_dir(&root).expect("a folder");
    for (name, content) in [("a.zip", archive.to_vec()), ("a.tar", with_checksums(archive))] {
        let path = root.join(name);
        fs::write(&path, content).expect("space for it");
        let Ok(store) = MediaStore::open(&root_of(path)) else { continue };
        for wanted in [wanted, "a.jpg", "images", "../secret", "/etc/hostname"] {
            let Ok(located) = store.locate("", wanted) else { continue };
            let Ok(found) = located.read(MAX_BYTES) else { continue };
            assert!(found.len() as u64 <= MAX_BYTES, "more than was allowed");
            assert!(found != b"outside", "a file outside the root was opened");
        }
    }
});

/// A tar whose headers have the checksums of their changed fields: nothing else in them would be looked at.
fn with_checksums(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    for block in tar.as_chunks_mut::<512>().0 {
        let mut header = tar::Header::from_byte_slice(block).clone();
        if header.as_ustar().is_some() || header.as_gnu().is_some() {
            header.set_cksum();
            *block = *header.as_bytes();
        }
    }
    tar
}
