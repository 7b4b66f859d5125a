//! Paths in commands that a person is told to type.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A path as a shell takes it: between quotes, if it has characters with a meaning there. What a terminal would obey, or reorder, and
/// bytes that are no text have escapes, which bash, zsh, ksh and POSIX.1-2024 know.
pub fn in_shell(path: &Path) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:@%,".contains(character);
    match path.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        Some(text) if !text.contains(is_obeyed) => format!("'{}'", text.replace('\'', "'\\''")),
        _ => escaped(path.as_os_str().as_bytes()),
    }
}

fn is_obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Octal escapes have three digits at most, so that no digit behind one is taken for a part of it.
fn escaped(bytes: &[u8]) -> String {
    let mut word = "$'".to_owned();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\'' | '\\' => word.extend(['\\', character]),
                _ if is_obeyed(character) => {
                    let mut buffer = [0; 4];
                    let bytes = character.encode_utf8(&mut buffer).bytes();
                    word.extend(bytes.map(|byte| format!("\\{byte:03o}")));
                }
                _ => word.push(character),
            }
        }
        word.extend(chunk.invalid().iter().map(|byte| format!("\\{byte:03o}")));
    }
    word + "'"
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_path_can_be_pasted_whatever_is_in_it() {
        assert_eq!(in_shell("out/demo-1.x".as_ref()), "out/demo-1.x");
        assert_eq!(in_shell("my data/it's".as_ref()), r"'my data/it'\''s'");
        assert_eq!(in_shell("".as_ref()), "''");
        for bytes in [&b"a\x1b[31mb'c\\d"[..], "a\u{202e}7b".as_bytes(), b"a\nb", b"a\xff7 b", "é".as_bytes()] {
            let word = in_shell(OsStr::from_bytes(bytes).as_ref());
            assert!(!word.contains(is_obeyed), "{word:?}");
            let printed =
                std::process::Command::new("bash").args(["-c", &format!("printf %s {word}")]).output().unwrap();
            assert_eq!(printed.stdout, bytes, "{word}");
        }
    }
}
