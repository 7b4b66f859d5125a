//! A web server of a directory, as simple as they are: whole files and ranges, tags. It notes what it is asked for. With the
//! requests of S3 that write, copy, remove and list, its directories are buckets.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::contents_below;

/// The header of the digest that is beside an object.
const DIGEST: &str = "x-amz-meta-blake3";

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
    writing: Mutex<()>,
    /// Whether answers say nothing of versions: neither tag nor time.
    is_unversioned: AtomicBool,
    /// The digests that are beside objects.
    digests: Mutex<BTreeMap<PathBuf, String>>,
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
        let state = Arc::new(State {
            directory,
            answers: Mutex::default(),
            refused: Mutex::default(),
            writing: Mutex::default(),
            is_unversioned: AtomicBool::default(),
            digests: Mutex::default(),
        });
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

    /// From now on, answers have neither tag nor time.
    pub(crate) fn leave_out_versions(&self) {
        self.state.is_unversioned.store(true, Ordering::Relaxed);
    }

    /// What was answered since this was called last.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.state.answers.lock().unwrap())
    }
}

impl State {
    /// Writes a file, if the condition of the request holds.
    fn put(&self, head: &str, file: &Path, content: &[u8]) -> u16 {
        let _one_at_a_time = self.writing.lock().unwrap();
        let tag = tag_of(file);
        let is_refused = value_of(head, "if-none-match").is_some_and(|_any| tag.is_some())
            || value_of(head, "if-match").is_some_and(|expected| tag != Some(expected));
        if is_refused {
            return 412;
        }
        let (content, digest) = match value_of(head, "x-amz-copy-source") {
            None => (content.to_vec(), value_of(head, DIGEST)),
            Some(source) => {
                let original = self.directory.join(decoded(source.trim_start_matches('/')));
                let Ok(content) = fs::read(&original) else { return 404 };
                (content, self.digests.lock().unwrap().get(&original).cloned())
            }
        };
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let temporary = file.with_extension("written");
        fs::write(&temporary, content).unwrap();
        fs::rename(&temporary, file).unwrap();
        let mut digests = self.digests.lock().unwrap();
        match digest {
            Some(digest) => digests.insert(file.to_owned(), digest),
            None => digests.remove(file),
        };
        200
    }

    /// The answer to a request for an object.
    fn found(&self, head: &str, file: &Path, bytes: &[u8]) -> (u16, String, Vec<u8>) {
        let (status, mut headers, body) = found(head, file, bytes);
        if self.is_unversioned.load(Ordering::Relaxed) {
            let is_version = |line: &&str| line.starts_with("etag") || line.starts_with("last-modified");
            headers = headers.split_inclusive("\r\n").filter(|line| !is_version(line)).collect();
        }
        if let Some(digest) = self.digests.lock().unwrap().get(file) {
            headers.push_str(&format!("{DIGEST}: {digest}\r\n"));
        }
        (status, headers, body)
    }

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
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = decoded(path.trim_start_matches('/'));
        let mut content = vec![0; value_of(&head, "content-length").map_or(0, |length| length.parse().unwrap())];
        connection.read_exact(&mut content).ok()?;
        let refused = self.refused.lock().unwrap().clone().filter(|(text, _)| path.contains(text.as_str()));
        let file = self.directory.join(&path);
        let (status, headers, body) = match (refused, fs::read(&file)) {
            (Some((_, status)), _) => (status, String::new(), Vec::new()),
            _ if method == "PUT" => {
                let status = self.put(&head, &file, &content);
                (status, tag_of(&file).map(|tag| format!("etag: {tag}\r\n")).unwrap_or_default(), Vec::new())
            }
            _ if method == "POST" && query == "delete" => (200, String::new(), removed(&file, &content).into_bytes()),
            _ if query.contains("list-type=2") => (200, String::new(), listed(&file, query).into_bytes()),
            (None, Err(_)) => (404, String::new(), Vec::new()),
            (None, Ok(bytes)) => self.found(&head, &file, &bytes),
        };
        let length = body.len();
        let text = format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {length}\r\n\r\n");
        connection.write_all(text.as_bytes()).ok()?;
        let num_bytes = if method == "HEAD" { 0 } else { length };
        self.answers.lock().unwrap().push(Answer { method: method.to_owned(), path, status, num_bytes });
        connection.write_all(body.get(..num_bytes)?).ok()
    }
}

/// The value of a header.
fn value_of(head: &str, name: &str) -> Option<String> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

fn tag_of(file: &Path) -> Option<String> {
    let metadata = file.metadata().ok()?;
    Some(format!("\"{:x}-{:x}-{:x}\"", metadata.mtime(), metadata.mtime_nsec(), metadata.ino()))
}

/// The objects of a bucket whose names begin as the query says.
fn listed(bucket: &Path, query: &str) -> String {
    let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix=")).map(decoded).unwrap_or_default();
    let objects = contents_below(bucket).into_iter().filter(|(name, _)| name.starts_with(&prefix));
    let object = |(name, bytes): (String, Vec<u8>)| {
        let (length, date) = (bytes.len(), "<LastModified>2026-01-01T00:00:00.000Z</LastModified>");
        format!("<Contents><Key>{name}</Key>{date}<ETag>\"x\"</ETag><Size>{length}</Size></Contents>")
    };
    format!("<ListBucketResult>{}</ListBucketResult>", objects.map(object).collect::<String>())
}

/// Removes the objects of a bucket that a request names.
fn removed(bucket: &Path, request: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let keys = request.split("<Key>").skip(1).filter_map(|part| part.split("</Key>").next());
    let answer = |key: &str| {
        _ = fs::remove_file(bucket.join(key));
        format!("<Deleted><Key>{key}</Key></Deleted>")
    };
    format!("<DeleteResult>{}</DeleteResult>", keys.map(answer).collect::<String>())
}

fn found(head: &str, file: &Path, bytes: &[u8]) -> (u16, String, Vec<u8>) {
    let tag = tag_of(file).unwrap();
    let headers = format!("etag: {tag}\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
    let range = value_of(head, "range");
    let Some((start, end)) = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
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
