//! How a test says that it cannot run here: where nothing is promised to be at hand, and elsewhere by failing.
//!
//! The test runner shows nothing of what a test prints that passes. What is written to stderr itself it does not see, and
//! `make test` repeats it at its end: lines of the file that `MANYFRAME_SKIPPED` names.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};

/// Says that the calling test does not run, because something is not at hand.
///
/// # Panics
///
/// Where everything is to be at hand: `MANYFRAME_SHARED` names the files that are too large for the repository.
pub fn skip(why: &str) {
    let is_at_hand = is_all_at_hand(|name| std::env::var_os(name));
    assert!(!is_at_hand, "a test would be skipped where all that tests need is to be at hand: {why}");
    note_unasked(why);
}

/// Says that the calling test does not run, because only another command asks for it, such as `make clients`.
pub fn note_unasked(why: &str) {
    let thread = std::thread::current();
    // The runner names the thread of a test after it, unless all are run by one.
    let line = format!("SKIPPED {}: {why}\n", thread.name().unwrap_or("a test"));
    // Whether anybody reads it is no matter of the test.
    _ = io::stderr().write_all(line.as_bytes());
    let Some(file) = std::env::var_os("MANYFRAME_SKIPPED") else { return };
    _ = OpenOptions::new().create(true).append(true).open(file).and_then(|mut file| file.write_all(line.as_bytes()));
}

fn is_all_at_hand(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable("MANYFRAME_SHARED").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_be_skipped_with_the_shared_files() {
        let set =
            |name: &'static str, value: &'static str| is_all_at_hand(move |it| (it == name).then(|| value.into()));
        assert!(set("MANYFRAME_SHARED", "/data/shared"));
        assert!(!set("MANYFRAME_SHARED", "") && !set("HOME", "/root"));
    }

    /// Runs this program again: its runner captures what tests print.
    #[test]
    fn what_is_skipped_is_seen_although_the_test_passes() {
        if std::env::var_os("MANYFRAME_SKIPS").is_some() {
            return skip("nothing at hand");
        }
        let folder = std::env::temp_dir().join(format!("manyframe-skip-{}", std::process::id()));
        let run = |shared: Option<&str>| {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "tests::what_is_skipped_is_seen_although_the_test_passes"]);
            command.env_remove("MANYFRAME_SHARED").env("MANYFRAME_SKIPS", "1");
            command.env("MANYFRAME_SKIPPED", &folder).envs(shared.map(|shared| ("MANYFRAME_SHARED", shared)));
            command.output().unwrap()
        };
        let output = run(None);
        assert!(output.status.success(), "{output:?}");
        let expected = "what_is_skipped_is_seen_although_the_test_passes: nothing at hand\n";
        assert!(String::from_utf8(output.stderr).unwrap().ends_with(expected));
        assert!(std::fs::read_to_string(&folder).unwrap().ends_with(expected));
        std::fs::remove_file(&folder).unwrap();
        let output = run(Some("/nonexistent"));
        assert!(!output.status.success() && String::from_utf8(output.stdout).unwrap().contains("would be skipped"));
        assert!(!folder.exists());
    }
}
