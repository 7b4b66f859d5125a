//! Rules of paths and URLs: nothing for a shell to fill in, what has to be on this machine, no dataset that is built from itself.

use std::path::Path;

use manyframe_base::is_url;
use manyframe_storage::{check_url, is_below_bucket};

use crate::document::Node;
use crate::portable::{absolute_text, resolve_links};
use crate::problem::Problem;
use crate::settings::file::PipelineFile;
use crate::settings::paths::{PathRole, PathSetting, path_settings};

/// Reports paths with what a shell fills in, and a pipeline file does not: `~/data`, `/mnt/$USER/data`.
pub(crate) fn check_unfilled(file: &mut PipelineFile, written: &Node, problems: &mut Vec<Problem>) {
    let is_name = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_home = |name: &str| name.strip_prefix('~').is_some_and(|user| user.is_empty() || is_name(user));
    let is_unfilled = |name: &str| name.strip_prefix('$').is_some_and(is_name);
    let paths = path_settings(file).into_iter().filter_map(|setting| written.at(&setting.keys));
    let variables = written.get("vars").and_then(Node::entries).into_iter().flatten().map(|(_, entry)| &entry.node);
    // A variable may be something else than a path.
    let variables = variables.filter(|node| node.text().is_some_and(|text| text == "~" || text.contains('/')));
    for node in paths.chain(variables) {
        let Some(text) = node.text() else { continue };
        let message = if text.split('/').next().is_some_and(is_home) {
            "\"~\" is not filled in"
        } else if text.split('/').any(is_unfilled) {
            "environment variables are not filled in"
        } else {
            continue;
        };
        let allowed =
            "the path in full, or ${NAME} with NAME in [vars] and --set NAME=\"$HOME/…\", which the shell fills in";
        problems.push(Problem::new(node.location.clone(), message).with_value(text).with_allowed(allowed));
    }
}

/// Reports URLs where files of this machine are needed, and those that no store has. Credentials in them are not shown.
pub(crate) fn check_urls(file: &mut PipelineFile, written: &Node, problems: &mut Vec<Problem>) {
    for setting in path_settings(file).into_iter().filter(|setting| is_url(Path::new(setting.text.as_str()))) {
        let location = written.at(&setting.keys).unwrap_or(written).location.clone();
        let key = setting.keys.last().map_or("", String::as_str);
        if let Err(error) = check_url(setting.text) {
            problems.push(Problem::new(location, &error.to_string()));
        } else if setting.role == PathRole::Output && key != "work" {
            // A directory that is not set is below the root.
            if setting.text.starts_with("http") && written.at(&setting.keys).is_some() {
                let problem = Problem::new(location, &format!("output.{key} is a server that takes no datasets"));
                problems.push(problem.with_value(setting.text).with_allowed("a directory, or s3://…, gs://…, az://…"));
            } else if key == "directory" && !is_below_bucket(Path::new(setting.text.as_str())) {
                let problem = Problem::new(location, "output.directory is a whole bucket");
                problems.push(problem.with_value(setting.text).with_allowed("a place in it, such as s3://bucket/NAME"));
            }
        } else if setting.role.is_local() {
            let message = format!("{key} is a URL, and has to be on this machine");
            let problem = Problem::new(location, &message).with_value(setting.text);
            problems.push(problem.with_allowed("a path; annotations, media and datasets to replay may be URLs"));
        }
    }
}

/// Reports datasets that a build would read while it replaces them: its own.
pub(crate) fn check_own_output(file: &mut PipelineFile, written: &Node, problems: &mut Vec<Problem>) {
    let resolved = |text: &str| resolve_links(&absolute_text(text));
    let output = resolved(&file.output.directory);
    let reads = |setting: &PathSetting<'_>| [PathRole::Dataset, PathRole::Unwanted].contains(&setting.role);
    for setting in path_settings(file).into_iter().filter(reads) {
        if resolved(setting.text) == output {
            let location = written.at(&setting.keys).unwrap_or(written).location.clone();
            let message = "this is output.directory: a dataset cannot be built from itself";
            let problem = Problem::new(location, message).with_value(setting.text);
            problems.push(problem.with_allowed("the directory of another dataset"));
        }
    }
}
