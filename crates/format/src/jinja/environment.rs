//! The engine of templates, with what `transformers` gives its templates.
//!
//! Source, in `transformers` 5.23: `utils/chat_template_utils.py`, `_compile_jinja_template`: blocks take the newline after
//! them and the white space before them, loops have `break` and `continue`, `tojson` is Python's, `raise_exception` ends the
//! template, and `{% generation %}` marks what the assistant wrote. A template is foreign: its steps, its depth and its output
//! are limited, and a panic of the engine is an error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use super::{python_filters, python_str};
use manyframe_core::contained;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Error, ErrorKind, State, Value};

/// Comes before what `{% generation %}` contains, and before an answer that is to be found. No text may contain it.
pub(super) const SPAN_START: char = '\u{FDD0}';
/// Comes after it.
pub(super) const SPAN_END: char = '\u{FDD1}';

/// The most steps of one conversation. Templates in use take some hundred a turn.
const MAX_STEPS: u64 = 10_000_000;
/// The greatest depth of blocks and macros in each other.
const MAX_DEPTH: usize = 100;
/// The longest prompt.
const MAX_PROMPT_BYTES: usize = 64 << 20;
/// The name of the template in the engine.
const NAME: &str = "chat_template";
/// The function that takes the place of `{% generation %}`.
const GENERATION: &str = "_generation";

/// A template that is ready to be rendered. Threads may share it.
#[derive(Debug)]
pub(super) struct CompiledTemplate {
    engine: minijinja::Environment<'static>,
    /// Whether it marks what the assistant wrote.
    pub(super) has_generation: bool,
}

impl CompiledTemplate {
    /// # Errors
    /// What is wrong with the text, and in which line.
    pub(super) fn new(text: &str, variables: &BTreeMap<String, serde_json::Value>) -> Result<Self, String> {
        let (text, has_generation) = with_calls(text);
        let text = text.into_owned();
        let syntax =
            SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| message(&error))?;
        contained(|| {
            let mut engine = minijinja::Environment::new();
            engine.set_syntax(syntax);
            engine.set_auto_escape_callback(|_| AutoEscape::None);
            engine.set_unknown_method_callback(python_str::call_method);
            engine.set_fuel(Some(MAX_STEPS));
            engine.set_recursion_limit(MAX_DEPTH);
            python_filters::add_to(&mut engine);
            engine.add_function("raise_exception", raise_exception);
            engine.add_function("strftime_now", strftime_now);
            engine.add_function(GENERATION, generation);
            engine.add_global("tools", ());
            engine.add_global("documents", ());
            engine.add_global("add_generation_prompt", false);
            for (name, value) in variables {
                engine.add_global(name.clone(), Value::from(Serde(value)));
            }
            engine.add_template_owned(NAME, text).map_err(|error| message(&error))?;
            Ok(Self { engine, has_generation })
        })
        .unwrap_or_else(|panic| Err(format!("the engine failed: {panic}")))
    }

    /// The text of a conversation.
    ///
    /// # Errors
    /// What the template refuses or fails on, and in which line.
    pub(super) fn render(&self, messages: Value) -> Result<String, Problem> {
        contained(|| {
            let template = self.engine.get_template(NAME).map_err(|error| Problem::of(&error))?;
            let mut text = BoundedText::default();
            let context = Value::from_pairs([("messages", messages)]);
            template.render_captured_to(context, &mut text).map_err(|error| Problem::of(&error))?;
            String::from_utf8(text.bytes).map_err(|error| error.to_string().into())
        })
        .unwrap_or_else(|panic| Err(format!("the engine failed: {panic}").into()))
    }
}

/// Why a conversation is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) text: String,
    /// How near it came to be written: an unknown name would stop it in any form; otherwise, the line that it came to.
    pub(super) progress: (bool, usize),
}

impl Problem {
    fn of(error: &Error) -> Self {
        let is_unknown =
            matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction);
        Self { text: message(error), progress: (is_unknown, error.line().unwrap_or_default()) }
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, progress: (false, usize::MAX) }
    }
}

/// The template with each `{% generation %}` as a call with a block, which is what it is in Jinja, too; and whether there is
/// one. Lines keep their numbers.
#[expect(clippy::string_slice, reason = "positions are those of ASCII that was found")]
fn with_calls(text: &str) -> (Cow<'_, str>, bool) {
    let mut written = String::new();
    let mut has_generation = false;
    let mut rest = text;
    while let Some(start) = rest.find("{%").into_iter().chain(rest.find("{#")).min() {
        let (before, tag) = rest.split_at(start);
        written.push_str(before);
        let close = if tag.starts_with("{#") { "#}" } else { "%}" };
        let Some(end) = tag.find(close).map(|end| end + close.len()) else {
            rest = tag;
            break;
        };
        let call = call_of(&tag[..end]);
        has_generation |= call.is_some();
        written.push_str(call.as_deref().unwrap_or(&tag[..end]));
        rest = &tag[end..];
    }
    written.push_str(rest);
    if has_generation { (Cow::Owned(written), true) } else { (Cow::Borrowed(text), false) }
}

/// What takes the place of a tag, if it is `{% generation %}` or `{% endgeneration %}`, whatever white space it removes.
fn call_of(tag: &str) -> Option<String> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let (name, call) = [("endgeneration", "endcall".to_owned()), ("generation", format!("call {GENERATION}()"))]
        .into_iter()
        .find(|(name, _)| inner.trim_matches(['-', '+']).trim() == *name)?;
    Some(tag.replacen(name, &call, 1))
}

#[expect(clippy::needless_pass_by_value, reason = "the engine's way to get arguments")]
fn generation(state: &mut State<'_, '_>, arguments: Kwargs) -> Result<Value, Error> {
    let caller: Value = arguments.get("caller")?;
    let written = caller.call(state, &[])?;
    Ok(Value::from(format!("{SPAN_START}{written}{SPAN_END}")))
}

fn strftime_now(_format: String) -> Result<Value, Error> {
    let detail = "strftime_now writes the time of the build into prompts, which would differ from build to build; \
                  give the template a variable instead";
    Err(Error::new(ErrorKind::InvalidOperation, detail))
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// An error of the engine with its line: `line 3: …`.
fn message(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => format!("it takes more than {MAX_STEPS} steps"),
        (ErrorKind::WriteFailure, _) => format!("it writes more than {} MiB", MAX_PROMPT_BYTES >> 20),
        (_, Some(detail)) => format!("{detail}{cause}"),
        (kind, None) => format!("{kind}{cause}"),
    };
    error.line().map_or_else(|| what.clone(), |line| format!("line {line}: {what}"))
}

/// A text that does not grow without bounds.
#[derive(Default)]
struct BoundedText {
    bytes: Vec<u8>,
}

impl io::Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_PROMPT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Result<String, String> {
        let message = |role: &str, content: &str| Value::from_pairs([("role", role), ("content", content)]);
        let messages = vec![message("user", "q"), message("assistant", "é")];
        CompiledTemplate::new(text, &BTreeMap::from([("x".to_owned(), serde_json::json!({"a": null, "b": [1, "é"]}))]))?
            .render(messages.into())
            .map_err(|problem| problem.text)
    }

    #[test]
    fn generation_is_marked_and_its_white_space_is_removed() {
        let text = "{% for m in messages %}\n  {%- if m.role == 'assistant' %}\n  A {%- generation -%} {{ m.content }} {%- endgeneration -%} .\n{% endif %}{% endfor %}";
        assert_eq!(rendered(text).unwrap(), format!("  A{SPAN_START}é{SPAN_END}.\n"));
        assert!(with_calls(text).1);
    }

    #[test]
    fn a_comment_and_a_name_are_no_generation() {
        let text = "{# {% generation %} #}{% if add_generation_prompt %}!{% endif %}{{ '{%' }}";
        assert_eq!((with_calls(text).1, rendered(text).unwrap().as_str()), (false, "{%"));
    }

    #[test]
    fn what_a_block_sets_stays_in_it() {
        let text = "{% set y = 1 %}{% generation %}{% set y = 2 %}{{ y }}{% endgeneration %}{{ y }}";
        assert_eq!(rendered(text).unwrap(), format!("{SPAN_START}2{SPAN_END}1"));
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        assert_eq!(rendered("{{ x | tojson }}").unwrap(), r#"{"a": null, "b": [1, "é"]}"#);
        assert_eq!(
            rendered("{{ x | tojson(indent=1) }}").unwrap(),
            "{\n \"a\": null,\n \"b\": [\n  1,\n  \"é\"\n ]\n}"
        );
    }

    #[test]
    fn an_error_names_its_line() {
        assert_eq!(
            rendered("\n{{ raise_exception('roles must alternate') }}").unwrap_err(),
            "line 2: roles must alternate"
        );
        assert!(rendered("a\n{% for %}").unwrap_err().starts_with("line 2: "), "{:?}", rendered("a\n{% for %}"));
        assert!(rendered("{{ strftime_now('%d') }}").unwrap_err().contains("differ from build to build"));
        assert!(rendered("{{ messages[0].content.nothing() }}").unwrap_err().starts_with("line 1: "));
    }

    #[test]
    fn a_template_without_end_is_stopped() {
        let endless = "{% for a in range(9000) %}{% for b in range(9000) %}{{ b }}{% endfor %}{% endfor %}";
        assert_eq!(rendered(endless).unwrap_err(), "line 1: it takes more than 10000000 steps");
        let deep = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
        assert!(rendered(deep).unwrap_err().contains("recursion limit"));
        let long = format!("{{% for a in range(9000) %}}{}{{% endfor %}}", "x".repeat(10_000));
        assert_eq!(rendered(&long).unwrap_err(), "it writes more than 64 MiB");
    }
}
