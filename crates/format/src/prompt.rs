//! A prompt while it is written.

/// A prompt, and where in it the loss is computed.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) text: String,
    /// Bytes (first, one past last) of each answer with its end token.
    label_spans: Vec<(usize, usize)>,
}

/// Bytes to reserve for the strings of a template around a turn. The built-in templates need less.
const TURN_BYTES: usize = 64;

impl Prompt {
    /// An empty prompt with room for this many bytes of text and this many turns of a template.
    pub(crate) fn with_capacity(num_bytes: usize, num_turns: usize) -> Self {
        Self {
            text: String::with_capacity(num_bytes + TURN_BYTES * num_turns),
            label_spans: Vec::with_capacity(num_turns / 2),
        }
    }

    /// Computes the loss on everything from this byte on.
    pub(crate) fn label_from(&mut self, start: usize) {
        self.label_spans.push((start, self.text.len()));
    }

    /// Computes no loss on these characters of the only answer, counted from its start. In order and disjoint.
    pub(crate) fn leave_out(&mut self, ranges: impl Iterator<Item = (usize, usize)>) {
        let Some(&(start, end)) = self.label_spans.first() else { return };
        let answer = self.text.get(start..end).unwrap_or_default();
        let mut bytes = answer.char_indices().map(|(byte, _)| byte).chain([answer.len()]).enumerate().peekable();
        let mut byte_of = |character: usize| {
            while bytes.next_if(|(number, _)| *number < character).is_some() {}
            start + bytes.peek().map_or(answer.len(), |(_, byte)| *byte)
        };
        let mut kept_from = start;
        let mut spans = Vec::new();
        for (first, after) in ranges {
            spans.push((kept_from, byte_of(first)));
            kept_from = byte_of(after);
        }
        spans.push((kept_from, end));
        spans.retain(|(start, end)| start < end);
        self.label_spans = spans;
    }

    /// Sets the bytes (first, one past last) on which the loss is computed, in order and disjoint.
    pub(crate) fn set_label_spans(&mut self, spans: impl Iterator<Item = (usize, usize)>) {
        self.label_spans = spans.collect();
    }

    /// Characters (first, one past last) of each answer with its end token.
    #[expect(clippy::string_slice, reason = "spans begin and end between characters, in order")]
    pub(crate) fn label_spans(&self) -> Vec<(usize, usize)> {
        let (mut byte, mut num_chars) = (0, 0);
        let mut chars_before = |end: usize| {
            num_chars += self.text[byte..end].chars().count();
            byte = end;
            num_chars
        };
        self.label_spans.iter().map(|&(start, end)| (chars_before(start), chars_before(end))).collect()
    }
}
