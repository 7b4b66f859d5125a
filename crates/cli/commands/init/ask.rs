//! The questions of `init --interactive`: each has an answer already, which an empty line takes.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use manyframe_plan::Survey;
use manyframe_vision::Family;

use super::choice::Choice;
use super::describe::description;
use crate::commands::location::absolute;

/// Asks which of the sources to take, and for which model.
pub(super) fn ask(found: &mut Survey, choice: &mut Choice) -> Result<()> {
    let mut asker = Asker { lines: io::stdin().lock(), out: io::stderr().lock() };
    let mut sources = Vec::new();
    for mut source in std::mem::take(&mut found.sources) {
        let question = format!("{}\n  {}\n  use it?", source.annotations, description(&source));
        let is_held_out = source.held_out.is_some();
        // What is wanted all the same is trained on; what is not stays in the file as a comment, if it was to be one.
        if asker.yes(&question, !is_held_out)? {
            source.held_out = None;
            sources.push(source);
        } else if is_held_out {
            sources.push(source);
        }
    }
    found.sources = sources;
    if choice.template.is_none() {
        choice.family = Some(asker.family(choice.family.unwrap_or("longllava"))?);
    }
    let tokenizer = choice.tokenizer.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let answer = asker.text("tokenizer: a directory, a tokenizer.json or a .model", &tokenizer, |answer| {
        if answer.is_empty() || PathBuf::from(answer).exists() {
            Ok(())
        } else {
            Err("there is no such file".to_owned())
        }
    })?;
    choice.tokenizer = match answer.as_str() {
        "" => None,
        path => Some(absolute(Path::new(path))?),
    };
    Ok(())
}

struct Asker<Lines, Out> {
    lines: Lines,
    out: Out,
}

impl<Lines: BufRead, Out: Write> Asker<Lines, Out> {
    /// The answer to a question, once it is one; `default` for an empty line, or where there are no more lines.
    fn text(&mut self, question: &str, default: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<String> {
        loop {
            write!(self.out, "{question} [{default}] ").and_then(|()| self.out.flush()).context("cannot ask")?;
            let mut line = String::new();
            let is_end = self.lines.read_line(&mut line).context("cannot read the answer")? == 0;
            let answer = line.trim();
            if answer.is_empty() {
                if is_end {
                    _ = writeln!(self.out);
                }
                return Ok(default.to_owned());
            }
            match check(answer) {
                Ok(()) => return Ok(answer.to_owned()),
                Err(problem) => _ = writeln!(self.out, "{problem}"),
            }
        }
    }

    fn yes(&mut self, question: &str, default: bool) -> Result<bool> {
        let answer = self.text(question, if default { "yes" } else { "no" }, |answer| {
            let is_known = ["y", "yes", "n", "no"].contains(&answer.to_lowercase().as_str());
            if is_known { Ok(()) } else { Err("answer yes or no".to_owned()) }
        })?;
        Ok(answer.to_lowercase().starts_with('y'))
    }

    fn family(&mut self, default: &str) -> Result<&'static str> {
        let named = |name: &str| Family::named(name).map(|family| family.name());
        let answer = self.text("model family", default, |answer| match named(answer) {
            Some(_) => Ok(()),
            None => Err("there is no such family; `manyframe tokens --help` lists them".to_owned()),
        })?;
        Ok(named(&answer).unwrap_or("longllava"))
    }
}
