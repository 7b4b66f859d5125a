//! Where a list begins that the object around it names, however far into the file: COCO's annotations follow megabytes of images.

use std::io::{self, Read};

use crate::json::grammar::is_space;
use crate::json::plain::plain_length;
use crate::json::window::ByteWindow;

/// Longest name of a list.
const MAX_NAME_BYTES: usize = 1024;

/// What was found of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FoundList {
    /// The position after its bracket.
    At(u64),
    /// The names of the lists of objects that there are in its place.
    Others(Vec<String>),
}

/// Looks through a file whose first value is an object.
pub(crate) fn find_list(reader: impl Read, name: &str) -> io::Result<FoundList> {
    let mut window = ByteWindow::new(reader);
    let mut search = Search { wanted: name, depth: 0, state: State::Between, last: Vec::new(), others: Vec::new() };
    let mut position = 0_u64;
    while window.grow()? {
        let bytes = window.bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let State::Text { .. } = search.state {
                at += search.text(bytes.split_at(at).1);
                continue;
            }
            if search.is_at_list(byte) {
                return Ok(FoundList::At(position + at as u64));
            }
            search.outside(byte);
            at += 1;
        }
        let num_bytes = bytes.len();
        position += num_bytes as u64;
        window.consume(num_bytes);
    }
    Ok(FoundList::Others(search.others))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    /// In a string; whether the next character is escaped.
    Text {
        is_escaped: bool,
    },
    /// After the bracket that follows a name.
    InList,
}

struct Search<'n> {
    wanted: &'n str,
    /// Number of objects and lists around.
    depth: usize,
    state: State,
    /// The last string directly in the outer object, as it is written.
    last: Vec<u8>,
    others: Vec<String>,
}

impl Search<'_> {
    /// Passes a part of a string; how many bytes.
    fn text(&mut self, bytes: &[u8]) -> usize {
        let State::Text { is_escaped } = self.state else { return 0 };
        let length = if is_escaped { 1 } else { plain_length(bytes).max(1) };
        let (passed, _) = bytes.split_at(length.min(bytes.len()));
        if self.depth == 1 && self.last.len() < MAX_NAME_BYTES {
            self.last.extend_from_slice(passed);
        }
        // What is not plain stands alone.
        self.state = match passed {
            _ if is_escaped => State::Text { is_escaped: false },
            [b'"'] => State::Between,
            [b'\\'] => State::Text { is_escaped: true },
            _ => State::Text { is_escaped: false },
        };
        passed.len()
    }

    /// Whether the wanted list is found with its first object.
    fn is_at_list(&mut self, byte: u8) -> bool {
        if self.state != State::InList || is_space(byte) {
            return false;
        }
        self.state = State::Between;
        let name: Option<String> = serde_json::from_slice(&self.last).ok();
        let is_wanted = name.as_deref() == Some(self.wanted);
        if byte == b'{' {
            self.others.extend(name.filter(|_| !is_wanted));
        }
        is_wanted && matches!(byte, b'{' | b']')
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                if self.depth == 1 {
                    self.last = vec![b'"'];
                }
                self.state = State::Text { is_escaped: false };
            }
            b'{' | b'[' => {
                if byte == b'[' && self.depth == 1 {
                    self.state = State::InList;
                }
                self.depth += 1;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_found_by_its_name_and_others_are_named() {
        let text = r#"{"info": {"annotations": [{}]}, "im\u0061ges": [ {"a": "]} \" [{"}, 2], "tags": ["x"], "annotations": [{"id": 1}]}"#;
        let start = |text: &str, part: &str| (text.find(part).unwrap() + part.len()) as u64;
        assert_eq!(
            find_list(text.as_bytes(), "annotations").unwrap(),
            FoundList::At(start(text, r#""annotations": [{"id"#) - 4)
        );
        assert_eq!(find_list(text.as_bytes(), "images").unwrap(), FoundList::At(start(text, r#"ges": [ "#)));
        let others = FoundList::Others(vec!["images".to_owned(), "annotations".to_owned()]);
        assert_eq!(find_list(text.as_bytes(), "tags").unwrap(), others);
        let long = format!(r#"{{"images": [{}{{"a": 1}}], "b": [{{"c": 2}}]}}"#, r#"{"a": "xyz"}, "#.repeat(200_000));
        assert_eq!(find_list(long.as_bytes(), "b").unwrap(), FoundList::At(start(&long, r#""b": ["#)));
    }
}
