//! Promise: bytes on their way are counted and held back as they pass, and a store that stumbles costs time only.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once, and says where")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use manyframe_base::FileError;
use manyframe_storage::{Flow, Part, Rate, StoreOptions, open};

const MIB: usize = 1 << 20;

/// What a store does with a request.
enum Does {
    Answers(&'static str),
    /// Ends the connection when half of the body is there.
    BreaksOff,
}

/// A store that does this with one request after another; the bodies that arrived whole.
fn serve(plan: Vec<Does>) -> (String, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let bodies = move || plan.into_iter().filter_map(|does| request(&listener.accept().unwrap().0, &does)).collect();
    (address, std::thread::spawn(bodies))
}

fn request(mut stream: &TcpStream, does: &Does) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split_once("content-length: ").unwrap().1.split_once('\r').unwrap().0;
    let mut body = vec![0; length.parse().unwrap()];
    let Does::Answers(answer) = does else {
        body.truncate(body.len() / 2);
        stream.read_exact(&mut body).unwrap();
        return None;
    };
    stream.read_exact(&mut body).unwrap();
    write!(stream, "HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
    Some(body)
}

/// Sends a part; the id that the store gave it, and what was told of its bytes.
fn send(address: String, bytes: &[u8], rate: Option<u64>) -> (Result<String, FileError>, Vec<u64>) {
    let environment = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.to_owned(), "hush".to_owned()));
    let options = StoreOptions::from_environment(BTreeMap::from(environment), Some(address));
    let storage = open(Path::new("s3://bucket/dataset"), &options).unwrap();
    let rate = rate.map(|rate| Arc::new(Rate::new(NonZeroU64::new(rate).unwrap())));
    let told = RefCell::new(Vec::new());
    let flow = Flow { rate: rate.as_ref(), on_passed: &|num_bytes| told.borrow_mut().push(num_bytes) };
    let part = Part { index: 0, bytes: bytes.to_vec().into(), flow };
    let sent = storage.parts().unwrap().send("large", "transfer", part);
    (sent, told.into_inner())
}

#[test]
fn a_part_passes_at_its_rate_and_is_told_of_meanwhile() {
    let bytes: Vec<u8> = (0..3 * MIB).map(|position| (position % 251) as u8).collect();
    let (address, arrived) = serve(vec![Does::Answers("200 OK\r\netag: \"one\"")]);
    let started = Instant::now();
    let (sent, told) = send(address, &bytes, Some(3 * MIB as u64));
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    assert!(sent.unwrap().contains("one"));
    assert!(told.len() >= 3 && told.iter().sum::<u64>() == bytes.len() as u64, "{told:?}");
    assert_eq!(arrived.join().unwrap(), [bytes]);
}

#[test]
fn what_breaks_off_or_is_too_much_for_the_store_is_sent_again_and_told_of_once() {
    let bytes = vec![7; 2 * MIB];
    let busy = Does::Answers("503 Slow Down");
    let (address, arrived) = serve(vec![Does::BreaksOff, busy, Does::Answers("200 OK\r\netag: \"two\"")]);
    let (sent, told) = send(address, &bytes, None);
    assert!(sent.unwrap().contains("two"));
    assert!(told.iter().sum::<u64>() <= bytes.len() as u64, "{told:?}");
    assert_eq!(arrived.join().unwrap(), [bytes.clone(), bytes]);
}
