//! The path of a medium as upstream wrote it: checked, and expanded to the spellings under which it may be stored.
//!
//! **Invariant:** no spelling is absolute, contains `..`, or names anything but a file below a root.

use manyframe_core::RejectCode;
use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization;

use crate::error::MediaError;

/// Schemes that upstream paths are known to use without `//`: object stores and inline data.
const SCHEMES: [&str; 10] = ["data", "file", "ftp", "gs", "hdfs", "http", "https", "oss", "p2", "s3"];

/// The spellings under which a path is looked up, beginning with that of upstream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Relative paths with `/` between names, without empty names, `.` and `..`; at least one.
    pub spellings: Vec<String>,
}

impl Request {
    /// Checks a path; one that leaves the roots is rejected.
    pub(crate) fn parse(path: &str) -> Result<Self, MediaError> {
        let written = clean(path).map_err(|problem| {
            MediaError::rejected(problem.code(), format!("the path {path:?} {}", problem.as_str()))
        })?;
        let mut spellings = vec![written];
        if path.is_ascii() && !path.contains(['\\', '%']) {
            return Ok(Self { spellings });
        }
        // Later spellings are guesses; one that is not a safe path is dropped.
        let mut guess = |spelling: String| {
            if let Ok(spelling) = clean(&spelling)
                && !spellings.contains(&spelling)
            {
                spellings.push(spelling);
            }
        };
        if path.contains('\\') {
            guess(path.replace('\\', "/"));
        }
        let decoded = percent_decode_str(path).decode_utf8().map(String::from).unwrap_or_default();
        for base in [path, decoded.as_str()] {
            guess(base.to_owned());
            if !base.is_ascii() {
                guess(base.nfc().collect());
                guess(base.nfd().collect());
            }
        }
        Ok(Self { spellings })
    }
}

/// Why a path is rejected.
#[derive(Debug, Clone, Copy)]
enum PathProblem {
    Empty,
    Nul,
    Scheme,
    Absolute,
    Climbs,
}

impl PathProblem {
    fn code(self) -> RejectCode {
        match self {
            Self::Empty => RejectCode::MediaMissing,
            Self::Nul | Self::Scheme | Self::Absolute | Self::Climbs => RejectCode::UnsafePath,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "names no file",
            Self::Nul => "holds a NUL character",
            Self::Scheme => "names a location outside the media roots, expected a path below them",
            Self::Absolute => "is absolute, expected a path relative to the media roots",
            Self::Climbs => "climbs out of its directory with \"..\"",
        }
    }
}

/// The path without `.` and doubled slashes. Backslashes count as separators in the checks and are kept.
fn clean(path: &str) -> Result<String, PathProblem> {
    if path.contains('\0') {
        return Err(PathProblem::Nul);
    }
    if let Some((before, after)) = path.split_once(':') {
        let is_drive = before.len() == 1 && before.starts_with(|c: char| c.is_ascii_alphabetic());
        if is_drive && after.starts_with(['/', '\\']) {
            return Err(PathProblem::Absolute);
        }
        let is_scheme = SCHEMES.iter().any(|scheme| before.eq_ignore_ascii_case(scheme));
        if is_scheme || (after.starts_with("//") && !before.contains(['/', '\\'])) {
            return Err(PathProblem::Scheme);
        }
    }
    if path.starts_with(['/', '\\']) {
        return Err(PathProblem::Absolute);
    }
    if path.split(['/', '\\']).any(|name| name == "..") {
        return Err(PathProblem::Climbs);
    }
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.is_empty() {
        return Err(PathProblem::Empty);
    }
    Ok(names.join("/"))
}

/// The name of a member of an archive in the same spelling; `None` for directories, unsafe names, and what is no member.
pub(crate) fn member_name(name: &str) -> Option<String> {
    // Archives made on Windows hold backslashes, against the specification (APPNOTE 4.4.17).
    let name = name.replace('\\', "/");
    // What macOS puts beside the members is no part of them.
    if name.ends_with('/') || name.starts_with("__MACOSX/") {
        return None;
    }
    // As `tar` extracts what was archived with `-P`: below the directory that it extracts to.
    clean(name.trim_start_matches('/')).ok()
}

#[cfg(test)]
mod tests {
    use manyframe_core::Rejection;

    use super::*;

    fn code(path: &str) -> Option<RejectCode> {
        match Request::parse(path) {
            Err(MediaError::Rejected(Rejection { code, .. })) => Some(code),
            _ => None,
        }
    }

    fn spellings(path: &str) -> Vec<String> {
        Request::parse(path).unwrap().spellings
    }

    #[test]
    fn paths_that_leave_the_roots_are_unsafe() {
        for path in [
            "/mnt/petrelfs/a.jpg",
            "../a.jpg",
            "a/../../b.jpg",
            "a\\..\\b.jpg",
            "\\\\server\\share\\a.jpg",
            "C:\\a.jpg",
            "s3://bucket/a.jpg",
            "p2:s3://bucket/a.jpg",
            "p2:bucket/a.jpg",
            "HTTPS://x/a.jpg",
            "data:image/png;base64,AAAA",
            "a\0.jpg",
        ] {
            assert_eq!(code(path), Some(RejectCode::UnsafePath), "{path:?}");
        }
    }

    #[test]
    fn a_path_without_a_name_is_missing() {
        for path in ["", ".", "./", "././."] {
            assert_eq!(code(path), Some(RejectCode::MediaMissing), "{path:?}");
        }
    }

    #[test]
    fn dots_and_doubled_slashes_are_tolerated() {
        assert_eq!(spellings("./a//b/./c.jpg"), ["a/b/c.jpg"]);
        assert_eq!(spellings("a..b/..c"), ["a..b/..c"]);
        assert_eq!(spellings("12:30.jpg"), ["12:30.jpg"]);
    }

    #[test]
    fn what_upstream_wrote_comes_before_every_guess() {
        assert_eq!(spellings("a%20b.jpg"), ["a%20b.jpg", "a b.jpg"]);
        assert_eq!(spellings("a\\b.jpg"), ["a\\b.jpg", "a/b.jpg"]);
        assert_eq!(spellings("e\u{301}.jpg"), ["e\u{301}.jpg", "\u{e9}.jpg"]);
        assert_eq!(spellings("\u{e9}.jpg"), ["\u{e9}.jpg", "e\u{301}.jpg"]);
    }

    #[test]
    fn an_encoded_climb_is_not_decoded() {
        assert_eq!(spellings("%2e%2e/a.jpg"), ["%2e%2e/a.jpg"]);
        assert_eq!(spellings("%2Fetc%2Fpasswd"), ["%2Fetc%2Fpasswd"]);
        assert_eq!(spellings("a%00.jpg"), ["a%00.jpg"]);
    }

    #[test]
    fn members_outside_of_the_archive_are_never_matched() {
        assert_eq!(member_name("../../etc/passwd"), None);
        assert_eq!(member_name("/../a.jpg"), None);
        assert_eq!(member_name("C:/a.jpg"), None);
        assert_eq!(member_name("/a/b.jpg"), Some("a/b.jpg".to_owned()));
        assert_eq!(member_name("__MACOSX/a/._b.jpg"), None);
        assert_eq!(member_name("a\\b\\"), None);
        assert_eq!(member_name("a\\b\\c.jpg"), Some("a/b/c.jpg".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn no_form_of_any_path_can_leave_a_root(path in "(\\.|/|\\\\|%2e|%2f|%5c|:|a|\u{e9}|%00){0,12}") {
            if let Ok(request) = Request::parse(&path) {
                for spelling in request.spellings {
                    proptest::prop_assert!(!spelling.starts_with('/') && !spelling.contains('\0'));
                    proptest::prop_assert!(spelling.split(['/', '\\']).all(|name| name != ".."));
                    proptest::prop_assert!(spelling.split('/').all(|name| !matches!(name, "" | ".")));
                }
            }
        }
    }
}
