//! Tries a template with a conversation, before any record: what it takes, what it writes, and how answers are found.

use manyframe_core::Role;
use manyframe_vision::MediaMarks;

use super::chat::{Chat, ContentForms};
use super::environment::{CompiledTemplate, Problem};
use super::labels::{LabelRule, Wrap, between_markers, shared_start, with_ends};
use super::rendered::{MarkFinder, Rendered};
use super::setting::AnswerMarkers;

/// The conversation. A text with a line break is only found in a prompt if the template writes the text itself, and not a
/// list that contains it.
const TURNS: [(Role, &str); 5] = [
    (Role::System, "Look at it.\nThen answer."),
    (Role::User, QUESTION),
    (Role::Assistant, "A lantern.\nIt is red."),
    (Role::User, SECOND_QUESTION),
    (Role::Assistant, "On a bridge,\nI think."),
];
const QUESTION: &str = "What is it?\nWhich colour?";
const SECOND_QUESTION: &str = "Where is it,\nthen?";
/// The same with white space around its answers.
const SPACED_TURNS: [(Role, &str); 4] = [
    (Role::User, QUESTION),
    (Role::Assistant, " \n A lantern.\nIt is red. \n "),
    (Role::User, SECOND_QUESTION),
    (Role::Assistant, " \n On a bridge,\nI think. \n "),
];

/// A template that is tried.
#[derive(Clone, Copy)]
pub(super) struct Trial<'t> {
    pub(super) template: &'t CompiledTemplate,
    pub(super) marks: &'t MediaMarks,
    pub(super) finder: &'t MarkFinder,
}

/// What was found out.
pub(super) struct Accepted {
    pub(super) forms: ContentForms,
    /// Whether it writes the texts of system turns.
    pub(super) writes_system: bool,
    /// The conversation as it wrote it.
    pub(super) written: String,
}

impl Trial<'_> {
    /// Which form of contents it takes.
    ///
    /// # Errors
    /// Why it takes none.
    pub(super) fn forms(self) -> Result<Accepted, String> {
        // Of several problems, that of the attempt that came furthest: others are about a form that the template does not take.
        let mut problem: Option<Problem> = None;
        let without_system = TURNS.get(1..).unwrap_or_default();
        for (turns, writes_system) in [(&TURNS[..], true), (without_system, false)] {
            for forms in ContentForms::ALL {
                match self.render(&Chat::of_texts(turns), forms) {
                    Ok(rendered) if has_all(&rendered.text, turns) => {
                        return Ok(Accepted { forms, writes_system, written: rendered.text });
                    }
                    Ok(_) => {}
                    Err(found) if problem.as_ref().is_some_and(|known| known.progress > found.progress) => {}
                    Err(found) => problem = Some(found),
                }
            }
        }
        let left_out = || "it leaves out texts of a conversation with two questions and answers".to_owned();
        Err(problem.map_or_else(left_out, |problem| problem.text))
    }

    /// How answers are found.
    ///
    /// # Errors
    /// If they are not.
    pub(super) fn labels(self, forms: ContentForms, markers: Option<&AnswerMarkers>) -> Result<LabelRule, String> {
        const INSTEAD: &str = "put {% generation %} around them, or say in `answers` what they are after and until";
        let plain = self.render(&Chat::of_texts(&SPACED_TURNS), forms).map_err(|problem| problem.text)?;
        let answers = || SPACED_TURNS.iter().filter(|(role, _)| *role == Role::Assistant).map(|(_, text)| text.trim());
        let finds = |spans: &[(usize, usize)]| {
            answers().all(|answer| {
                spans.iter().any(|&(start, end)| plain.text.get(start..end).is_some_and(|span| span.contains(answer)))
            })
        };
        if let Some(markers) = markers {
            let is_found = finds(&between_markers(&plain.text, markers));
            let rule = LabelRule::Markers(markers.clone());
            return if is_found { Ok(rule) } else { Err("no answer is between the texts of `answers`".to_owned()) };
        }
        if self.template.has_generation {
            let problem = format!("its {{% generation %}} does not contain the answers; {INSTEAD}");
            return if finds(&plain.spans) { Ok(LabelRule::Generation) } else { Err(problem) };
        }
        let marked = Wrap::ALL.into_iter().find_map(|wrap| self.marked(forms, wrap, &plain));
        marked.ok_or_else(|| format!("where it writes answers cannot be found; {INSTEAD}"))
    }

    /// The rule with marks of this kind, if the template writes the same with and without them.
    fn marked(self, forms: ContentForms, wrap: Wrap, plain: &Rendered) -> Option<LabelRule> {
        let marked = self.render(&wrap.marked(&Chat::of_texts(&SPACED_TURNS)), forms).ok()?;
        let &[(_, end_of_first), (_, end_of_last)] = marked.spans.as_slice() else { return None };
        if marked.text != plain.text {
            return None;
        }
        let after_first = marked.text.get(end_of_first..)?;
        let middle = after_first.get(..after_first.find(SECOND_QUESTION)?)?;
        let end = shared_start(middle, marked.text.get(end_of_last..)?);
        with_ends(&marked, &end).map(|_| LabelRule::Marked { wrap, end })
    }

    fn render(self, chat: &Chat<'_>, forms: ContentForms) -> Result<Rendered, Problem> {
        Ok(self.finder.read(&self.template.render(chat.value(forms, self.marks))?, &[])?)
    }
}

/// Whether a prompt has all texts of a conversation, in order.
fn has_all(prompt: &str, turns: &[(Role, &str)]) -> bool {
    let mut rest = prompt;
    turns.iter().all(|(_, text)| {
        let found = rest.find(text).and_then(|start| rest.get(start + text.len()..));
        found.inspect(|after| rest = after).is_some()
    })
}
