//! Finds where a JSON object ends without parsing it: the order of tokens is checked, but not their content.
//!
//! Checking the order is what makes recovery precise: an extra quote or brace is noticed a few tokens later, not at
//! the end of the file. Numbers, literals and escapes are left to the parser; they cannot move a boundary.
//!
//! **Invariant:** every byte is looked at once, however the input is cut into chunks.

use crate::json::plain::plain_length;

/// Maximum nesting that is followed; `serde_json` refuses anything deeper.
const MAX_DEPTH: usize = u128::BITS as usize;

/// Follows one object through chunks of input.
pub(crate) struct Grammar {
    at: usize,
    expected: Expected,
    open: OpenContainers,
}

/// The containers that are open: a bit for each, the innermost lowest, set for objects.
#[derive(Default)]
struct OpenContainers {
    are_objects: u128,
    depth: usize,
}

/// The state after a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanStep {
    /// The object continues after the chunk.
    Unfinished,
    /// The object ends before this position.
    Complete(usize),
    /// A byte is out of place.
    Broken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    List,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    ItemOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// Inside a string; a key if the flag is [`Text::Key`].
    InText(Text),
    Escaped(Text),
    InLiteral,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Key,
    Value,
}

impl Grammar {
    /// Before the opening brace of an object, which is the first byte of the input.
    pub(crate) fn new() -> Self {
        Self { at: 0, expected: Expected::Value, open: OpenContainers::default() }
    }

    /// Continues through `bytes`, which start where the object starts (unless [`Self::forget`] was called).
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> ScanStep {
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let skipped = match self.expected {
                Expected::InText(_) => plain_length(rest),
                Expected::Escaped(_) => 0,
                Expected::InLiteral => rest.iter().take_while(|&&byte| is_literal(byte)).count(),
                _ => rest.iter().take_while(|&&byte| is_space(byte)).count(),
            };
            let Some(&byte) = rest.get(skipped) else {
                self.at = bytes.len();
                return ScanStep::Unfinished;
            };
            self.at += skipped + 1;
            let expected = match (self.expected, byte) {
                (Expected::InText(text), b'"') => Some(after_text(text)),
                (Expected::InText(text), b'\\') => Some(Expected::Escaped(text)),
                (Expected::InText(_) | Expected::Escaped(_), b'\n') => None,
                // Other control characters are left to the parser.
                (Expected::Escaped(text) | Expected::InText(text), _) => Some(Expected::InText(text)),
                (Expected::InLiteral, _) => {
                    // The byte is not part of the literal: it is looked at again.
                    self.at -= 1;
                    Some(Expected::CommaOrEnd)
                }
                _ => self.structure(byte),
            };
            let Some(expected) = expected else { return ScanStep::Broken };
            self.expected = expected;
            if self.open.depth == 0 {
                return ScanStep::Complete(self.at);
            }
        }
    }

    /// The bytes of the input that were followed.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The first `num_bytes` of the input are no longer part of it.
    pub(crate) fn forget(&mut self, num_bytes: usize) {
        self.at = self.at.saturating_sub(num_bytes);
    }

    /// What may follow `byte`, which is outside strings and not white space. `None` if it must not occur here.
    fn structure(&mut self, byte: u8) -> Option<Expected> {
        let container = self.open.innermost();
        match (self.expected, byte) {
            (Expected::Value | Expected::ItemOrEnd, b'{') => self.enter(Container::Object, Expected::KeyOrEnd),
            // The outermost value is an object.
            _ if container.is_none() => None,
            (Expected::Value | Expected::ItemOrEnd, b'[') => self.enter(Container::List, Expected::ItemOrEnd),
            (Expected::Value | Expected::ItemOrEnd, b'"') => Some(Expected::InText(Text::Value)),
            (Expected::Value | Expected::ItemOrEnd, _) if is_literal_start(byte) => Some(Expected::InLiteral),
            (Expected::Key | Expected::KeyOrEnd, b'"') => Some(Expected::InText(Text::Key)),
            (Expected::CommaOrEnd, b',') if container == Some(Container::Object) => Some(Expected::Key),
            (Expected::Colon, b':') | (Expected::CommaOrEnd, b',') => Some(Expected::Value),
            (Expected::KeyOrEnd | Expected::CommaOrEnd, b'}') => self.leave(Container::Object),
            (Expected::ItemOrEnd | Expected::CommaOrEnd, b']') => self.leave(Container::List),
            _ => None,
        }
    }

    fn enter(&mut self, container: Container, expected: Expected) -> Option<Expected> {
        self.open.push(container).then_some(expected)
    }

    fn leave(&mut self, container: Container) -> Option<Expected> {
        (self.open.pop() == Some(container)).then_some(Expected::CommaOrEnd)
    }
}

impl OpenContainers {
    fn innermost(&self) -> Option<Container> {
        let innermost = if self.are_objects & 1 == 1 { Container::Object } else { Container::List };
        (self.depth > 0).then_some(innermost)
    }

    /// False if there are too many.
    fn push(&mut self, container: Container) -> bool {
        self.are_objects = self.are_objects << 1 | u128::from(container == Container::Object);
        self.depth += 1;
        self.depth <= MAX_DEPTH
    }

    fn pop(&mut self) -> Option<Container> {
        let innermost = self.innermost()?;
        self.are_objects >>= 1;
        self.depth -= 1;
        Some(innermost)
    }
}

fn after_text(text: Text) -> Expected {
    match text {
        Text::Key => Expected::Colon,
        Text::Value => Expected::CommaOrEnd,
    }
}

/// White space of JSON.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_literal_start(byte: u8) -> bool {
    // `N` and `I`: Python writes NaN and Infinity. The parser refuses them; here they must not move a boundary.
    matches!(byte, b'0'..=b'9' | b'-' | b't' | b'f' | b'n' | b'N' | b'I')
}

fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Length of the first object of a line, if another follows it.
pub(crate) fn first_of_several(line: &[u8]) -> Option<usize> {
    let ScanStep::Complete(num_bytes) = Grammar::new().advance(line) else { return None };
    line.get(num_bytes..)?.trim_ascii_start().starts_with(b"{").then_some(num_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end_of(text: &str) -> ScanStep {
        Grammar::new().advance(text.as_bytes())
    }

    #[test]
    fn an_object_ends_at_its_own_brace() {
        assert_eq!(end_of(r#"{"a": {"b": [1, "}", {}]}, "c": "\"}"} , {"#), ScanStep::Complete(38));
        assert_eq!(end_of("{}"), ScanStep::Complete(2));
        assert_eq!(end_of(r#"{"a": NaN}x"#), ScanStep::Complete(10));
    }

    #[test]
    fn tokens_out_of_order_are_noticed_at_once() {
        for text in [
            r#"{"a" "b"}"#,
            r#"{"a": 1, {"#,
            r#"{"a": "b" c"#,
            r#"{"a": [1}"#,
            r#"{"a": 1]"#,
            r"{,",
            r#"{"a":: 1"#,
            "{\"a\": \"line\nfeed\"",
            r#"{"a": and"#,
            "x",
            "[1]",
        ] {
            assert_eq!(end_of(text), ScanStep::Broken, "{text}");
        }
    }

    #[test]
    fn endless_nesting_is_refused() {
        assert_eq!(end_of(&r#"{"a":"#.repeat(100)), ScanStep::Unfinished);
        assert_eq!(end_of(&r#"{"a":"#.repeat(1_000_000)), ScanStep::Broken);
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(text in r#"[{}\[\]",:a1 \\\n]{0,40}"#, cut in 0_usize..40) {
            let whole = end_of(&text);
            let mut grammar = Grammar::new();
            let first = grammar.advance(text.as_bytes().get(..cut).unwrap_or(text.as_bytes()));
            let in_two = if first == ScanStep::Unfinished { grammar.advance(text.as_bytes()) } else { first };
            prop_assert_eq!(in_two, whole);
        }

        #[test]
        fn valid_objects_are_complete_to_the_byte(value in json_value()) {
            let object = serde_json::json!({ "a": value });
            for text in [object.to_string(), serde_json::to_string_pretty(&object).unwrap()] {
                prop_assert_eq!(end_of(&format!("{text}, {text}")), ScanStep::Complete(text.len()));
            }
        }
    }

    fn json_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
