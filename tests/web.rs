//! A web server of a directory, as simple as they are: whole files and ranges, tags, no listing. It notes what it is asked for.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A server that runs as long as the test does.
pub(crate) struct WebServer {
    /// Its address, without a slash at its end.
    pub(crate) address: String,
    state: Arc<State>,
}

struct State {
    directory: PathBuf,
    answers: Mutex<Vec<Answer>>,
    refused: Mutex<Option<(String, u16)>>,
}

/// What was answered to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) num_bytes: usize,
}

impl WebServer {
    /// Serves a directory.
    pub(crate) fn of(directory: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State { directory, answers: Mutex::default(), refused: Mutex::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (mut connection, shared) = (connection.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || while shared.answer(&mut connection).is_some() {});
            }
        });
        Self { address, state }
    }

    /// From now on, requests for paths that contain a text are answered with a status.
    pub(crate) fn refuse(&self, text: &str, status: u16) {
        *self.state.refused.lock().unwrap() = Some((text.to_owned(), status));
    }

    /// From now on, everything is answered.
    pub(crate) fn refuse_nothing(&self) {
        *self.state.refused.lock().unwrap() = None;
    }

    /// What was answered since this was called last.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.state.answers.lock().unwrap())
    }
}

impl State {
    /// Answers a request; `None` at the end of the connection.
    fn answer(&self, connection: &mut TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, decoded(words.next()?.trim_start_matches('/')));
        let refused = self.refused.lock().unwrap().clone().filter(|(text, _)| path.contains(text.as_str()));
        let file = self.directory.join(&path);
        let (status, headers, body) = match (refused, fs::read(&file)) {
            (Some((_, status)), _) => (status, String::new(), Vec::new()),
            (None, Err(_)) => (404, String::new(), Vec::new()),
            (None, Ok(bytes)) => found(&head, &file, &bytes),
        };
        let length = body.len();
        let text = format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {length}\r\n\r\n");
        connection.write_all(text.as_bytes()).ok()?;
        let num_bytes = if method == "HEAD" { 0 } else { length };
        self.answers.lock().unwrap().push(Answer { method: method.to_owned(), path, status, num_bytes });
        connection.write_all(body.get(..num_bytes)?).ok()
    }
}

fn found(head: &str, file: &Path, bytes: &[u8]) -> (u16, String, Vec<u8>) {
    let metadata = file.metadata().unwrap();
    let (modified, inode) = ((metadata.mtime(), metadata.mtime_nsec()), metadata.ino());
    let headers = format!(
        "etag: \"{:x}-{:x}-{inode:x}\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
        modified.0, modified.1
    );
    let range =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let Some((start, end)) = range.as_deref().and_then(|range| range.split_once('-')) else {
        return (200, headers, bytes.to_vec());
    };
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
    let end = bytes.len().min(end + 1);
    if start >= end {
        return (416, headers, Vec::new());
    }
    let range = format!("content-range: bytes {start}-{}/{}\r\n", end - 1, bytes.len());
    (206, headers + &range, bytes[start..end].to_vec())
}

/// A path without `%20` and the like.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
