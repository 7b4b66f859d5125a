//! Lists of files with their SHA-256 digests, as `sha256sum` of GNU coreutils writes and checks them.
//!
//! ```text
//! DIGEST  PATH          64 hexadecimal digits, two spaces (or a space and an asterisk), a path from the directory of the list
//! \DIGEST  PA\\TH       of a path with a backslash, line feed or carriage return: these are \\, \n and \r
//! ```

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use manyframe_core::Digest;

/// Writes the line of a file.
pub(crate) fn write_line(list: &mut impl Write, path: &str, sha256: [u8; 32]) -> io::Result<()> {
    // A digest of another kind is written in the same digits.
    let digits = Digest(sha256);
    if !path.contains(['\\', '\n', '\r']) {
        return writeln!(list, "{digits}  {path}");
    }
    let escaped = path.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    writeln!(list, "\\{digits}  {escaped}")
}

/// The path and digest of a line, without its end; `None` if it is no such line.
pub(crate) fn parse_line(line: &[u8]) -> Option<(PathBuf, [u8; 32])> {
    let (line, is_escaped) = line.strip_prefix(b"\\").map_or((line, false), |line| (line, true));
    let (digits, rest) = line.split_at_checked(64)?;
    let Digest(sha256) = std::str::from_utf8(digits).ok()?.to_ascii_lowercase().parse().ok()?;
    let path = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *")).filter(|path| !path.is_empty())?;
    let path = if is_escaped { unescaped(path)? } else { path.to_vec() };
    Some((PathBuf::from(OsString::from_vec(path)), sha256))
}

fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        path.push(match (byte, byte == b'\\') {
            (_, true) => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            (byte, false) => byte,
        });
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use super::*;

    #[test]
    fn lines_are_those_of_sha256sum_whatever_a_file_is_called() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["plain", " two  words *", "größer", "a\\b", "a\nb\\n", "a\rb", "\\", "*a"] {
            File::create(directory.path().join(name)).unwrap();
            let output = Command::new("sha256sum").arg("--").arg(name).current_dir(&directory).output().unwrap();
            let empty =
                Digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse::<Digest>().unwrap().0);
            let mut line = Vec::new();
            write_line(&mut line, name, empty.0).unwrap();
            assert_eq!(String::from_utf8(line.clone()).unwrap(), String::from_utf8(output.stdout).unwrap());
            let read = parse_line(line.strip_suffix(b"\n").unwrap());
            assert_eq!(read, Some((PathBuf::from(name), empty.0)));
        }
    }

    #[test]
    fn what_is_no_line_is_none() {
        let digits = "A".repeat(64);
        assert!(parse_line(format!("{digits} *a").as_bytes()).is_some());
        for line in [
            "",
            "# list",
            &digits,
            &format!("{digits}  "),
            &format!("{digits}a  a"),
            &format!("\\{digits}  a\\t"),
            &format!("\\{digits}  a\\"),
        ] {
            assert_eq!(parse_line(line.as_bytes()), None, "{line}");
        }
    }
}
