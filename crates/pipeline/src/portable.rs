//! Paths as every machine writes them: the variable of the pipeline file that a path begins with, and the rest of it.
//!
//! ```text
//! "${data}/a/*.json" ─▶ (data, "a/*.json") ─▶ "/mnt/disk/a/*.json" ─▶ /mnt/disk/a/1.json ─▶ (data, "a/1.json")
//!   as written            for every machine      on this machine        a file that matches     its name in a dataset
//! ```
//!
//! A path that was written without a variable begins with the one whose directory contains it. No text is searched: what is not
//! a path stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use manyframe_base::{FileAccess, is_url, url_of};
use manyframe_storage::Stores;

use crate::document::Node;
use crate::pattern::{PatternError, expand_pattern, split_pattern};
use crate::settings::file::PipelineFile;
use crate::settings::paths::path_settings;
use crate::variables::{Values, leading_variable};

/// The directory of the pipeline file.
pub(crate) const HERE: &str = "here";
/// The directory of datasets that do not set their own.
pub(crate) const ROOT: &str = "root";

/// A checked pipeline file with its variables filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The settings. Their paths are absolute: those of this machine.
    pub file: PipelineFile,
    /// The settings with their paths as every machine writes them, `${data}/a.json`.
    pub portable: PipelineFile,
    /// The variables that paths begin with, the built-in `here` and `root` included: what differs between machines.
    pub variables: BTreeMap<String, String>,
    /// Reaches what its URLs name. By default, without credentials.
    pub stores: Stores,
}

impl Pipeline {
    /// Settings of every machine, on this one. A path that begins with a variable without a value stays as it is.
    pub fn on_this_machine(portable: PipelineFile, variables: BTreeMap<String, String>) -> Self {
        on_this_machine(portable, variables)
    }

    /// Puts the dataset elsewhere: into a directory, or at a URL. A relative path starts in the working directory.
    pub fn set_output_directory(&mut self, directory: &Path) {
        let PipelineFile { name, output, .. } = &mut self.file;
        output.directory = absolute_text(&directory.display().to_string());
        output.fill_in(name);
        output.work = absolute_text(&output.work);
    }

    /// Has the dataset built in this work directory, wherever it goes.
    pub fn set_work_directory(&mut self, work: &Path) {
        let text = work.display().to_string();
        match text.strip_suffix(".work") {
            _ if self.file.output.url().is_some() => self.file.output.work = absolute_text(&text),
            Some(dataset) => self.set_output_directory(Path::new(dataset)),
            None => {}
        }
    }

    /// The names of all variables that its paths begin with, known or not.
    pub fn variable_names(&self) -> BTreeSet<String> {
        needed_variables(&mut self.portable.clone()).chain(self.variables.keys().cloned()).collect()
    }
}

/// A path as every machine writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortablePath {
    /// The variable that it begins with; `None` if it is the same on every machine.
    variable: Option<String>,
    /// The whole path, or what is below the variable's value.
    rest: PathBuf,
}

impl fmt::Display for PortablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.rest.display();
        match &self.variable {
            Some(variable) if self.rest.as_os_str().is_empty() => write!(f, "${{{variable}}}"),
            Some(variable) => write!(f, "${{{variable}}}/{rest}"),
            None => write!(f, "{rest}"),
        }
    }
}

impl PortablePath {
    fn below(variable: &str, rest: &Path) -> Self {
        Self { variable: Some(variable.to_owned()), rest: rest.to_owned() }
    }

    fn of_this_machine(path: &Path) -> Self {
        Self { variable: None, rest: path.to_owned() }
    }

    /// The path that a text denotes, with a variable at its front or without.
    fn parse(text: &str) -> Self {
        match leading_variable(text) {
            Some((variable, rest)) => Self::below(variable, Path::new(rest.trim_start_matches('/'))),
            None => Self::of_this_machine(Path::new(text)),
        }
    }

    /// A path below this one.
    #[must_use]
    pub fn join(&self, below: &Path) -> Self {
        let rest = if below.as_os_str().is_empty() { self.rest.clone() } else { self.rest.join(below) };
        Self { variable: self.variable.clone(), rest }
    }

    /// The path without the directory of the pipeline file or of all datasets, and with the values of other variables: what a
    /// user named, and not where it happens to be.
    pub(crate) fn without_place(&self, on_this_machine: &Path) -> PathBuf {
        match self.variable.as_deref() {
            Some(HERE | ROOT) => self.rest.clone(),
            _ => on_this_machine.to_owned(),
        }
    }
}

/// A path or pattern as a pipeline file has it, on this machine and on every machine.
#[derive(Debug, Clone, Copy)]
pub struct LocatedPattern<'p> {
    /// Absolute, or a URL; may be a pattern.
    pub pattern: &'p str,
    pub(crate) portable: &'p str,
}

impl LocatedPattern<'_> {
    /// The paths that match, in sorted order, each with its name on every machine.
    ///
    /// # Errors
    ///
    /// If the pattern is malformed, a directory cannot be listed, or nothing matches.
    pub fn expand(self, access: &FileAccess) -> Result<Vec<(PathBuf, PortablePath)>, PatternError> {
        let paths = expand_pattern(access, self.pattern)?;
        Ok(paths.into_iter().map(|path| (path.clone(), self.name(&path))).collect())
    }

    /// The name of a path that matches, on every machine.
    pub fn name(self, path: &Path) -> PortablePath {
        let portable = PortablePath::parse(self.portable);
        if path == Path::new(self.pattern) {
            return portable;
        }
        let (directory, pattern) = split_pattern(self.pattern);
        let num_names = pattern.components().count();
        let is_suffix = portable.rest.ends_with(&pattern) || num_names == 0;
        match path.strip_prefix(&directory) {
            // A URL is the same on every machine.
            Ok(_) if portable.variable.is_none() && is_url(path) => PortablePath::of_this_machine(path),
            Ok(below) if is_suffix => {
                let names: Vec<Component<'_>> = portable.rest.components().collect();
                let kept = names.len().saturating_sub(num_names);
                let rest = names.into_iter().take(kept).collect();
                PortablePath { rest, ..portable }.join(below)
            }
            _ => PortablePath::of_this_machine(path),
        }
    }
}

/// What a path or pattern denotes, however it is spelled: absolute, and without links as far as it exists.
pub(crate) fn resolve_links(pattern: &str) -> PathBuf {
    if is_url(Path::new(pattern)) {
        return absolute_path(Path::new(pattern));
    }
    let (directory, rest) = split_pattern(pattern);
    let directory = directory.canonicalize().unwrap_or(directory);
    if rest.as_os_str().is_empty() { directory } else { directory.join(rest) }
}

/// The path as it is from every working directory: absolute, without `.` and `..`. Links stay, unless `..` follows them. A URL
/// stays as it is, without a slash at its end.
pub fn absolute_path(path: &Path) -> PathBuf {
    if let Some(url) = url_of(path) {
        return without_empty_names(url).into();
    }
    // Only an empty path has none; it stays empty.
    let Ok(absolute) = std::path::absolute(path) else { return path.to_owned() };
    let mut cleaned = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                // What is above a link is above what the link leads to.
                if cleaned.is_symlink() {
                    cleaned = cleaned.canonicalize().unwrap_or(cleaned);
                }
                cleaned.pop();
            }
            name => cleaned.push(name),
        }
    }
    cleaned
}

fn without_empty_names(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let names: Vec<&str> = rest.split('/').filter(|name| !name.is_empty()).collect();
    format!("{scheme}://{}", names.join("/"))
}

/// As [`absolute_path`], for settings. A path that is not Unicode cannot be written into one, and stays relative.
pub(crate) fn absolute_text(path: &str) -> String {
    absolute_path(Path::new(path)).into_os_string().into_string().unwrap_or_else(|_not_unicode| path.to_owned())
}

/// Makes the paths of a file absolute, and finds how every machine writes them.
///
/// `written` is the file before its variables were filled in; a path that is not there as it was written, such as a dataset in
/// place of the file that builds it, counts as written without a variable. `leading` are the variables that settings of the file begin
/// with, also those that an override replaced: its path may lie below the same directory.
pub(crate) fn locate_paths(
    mut file: PipelineFile,
    written: &Node,
    leading: &BTreeSet<String>,
    mut values: Values,
) -> Pipeline {
    let mut portable = file.clone();
    let mut places = Places::default();
    places.add(HERE, &values);
    values.known.entry(ROOT.to_owned()).or_insert_with(|| file.output.root.clone());
    places.add(ROOT, &values);
    let is_path = |name: &&String| {
        values.known.get(*name).is_some_and(|value| value.starts_with('/') || is_url(Path::new(value)))
    };
    leading.iter().filter(is_path).for_each(|name| places.add(name, &values));
    let mut literals = Vec::new();
    for (index, (here, everywhere)) in
        path_settings(&mut file).into_iter().zip(path_settings(&mut portable)).enumerate()
    {
        let template =
            written.at(&here.keys).and_then(Node::text).filter(|text| values.fill(text).as_ref() == Ok(here.text));
        let is_relative = !here.text.starts_with('/') && !is_url(Path::new(here.text.as_str()));
        match template.and_then(leading_variable).filter(|(name, _)| values.known.contains_key(*name)) {
            Some((name, rest)) => {
                let rest = values.fill(rest).unwrap_or_default();
                *everywhere.text = PortablePath::below(name, &without_dots(&rest)).to_string();
                places.add(name, &values);
            }
            None => literals.push((index, is_relative)),
        }
        *here.text = absolute_text(here.text);
    }
    let located: Vec<String> = path_settings(&mut file).into_iter().map(|setting| setting.text.clone()).collect();
    let mut settings: Vec<_> = path_settings(&mut portable).into_iter().map(Some).collect();
    for (index, is_relative) in literals {
        if let (Some(text), Some(setting)) = (located.get(index), settings.get_mut(index).and_then(Option::take)) {
            *setting.text = places.portable(text, is_relative).to_string();
        }
    }
    let variables = places.definitions(written, values);
    Pipeline { file, portable, variables, stores: Stores::default() }
}

fn without_dots(path: &str) -> PathBuf {
    Path::new(path.trim_start_matches('/')).components().filter(|part| *part != Component::CurDir).collect()
}

/// The variables that paths begin with, and their directories.
#[derive(Default)]
struct Places(BTreeMap<String, PathBuf>);

impl Places {
    fn add(&mut self, name: &str, values: &Values) {
        if let Some(value) = values.known.get(name).filter(|value| !value.is_empty()) {
            self.0.entry(name.to_owned()).or_insert_with(|| absolute_path(Path::new(value)));
        }
    }

    /// How every machine writes a path or pattern that was written without a variable: below the longest directory that contains
    /// it. One that was written relative to where it is used belongs to the pipeline file; any other one to this machine.
    fn portable(&self, pattern: &str, is_relative: bool) -> PortablePath {
        let resolved = resolve_links(pattern);
        let spelled = self.below(Path::new(pattern), Clone::clone);
        let by_links = || self.below(&resolved, |place: &PathBuf| resolve_links(&place.to_string_lossy()));
        let from_here = || {
            let here = self.0.get(HERE).filter(|_| is_relative)?;
            Some(PortablePath::below(HERE, &relative_to(&resolved, &resolve_links(&here.to_string_lossy()))))
        };
        spelled
            .or_else(by_links)
            .or_else(from_here)
            .unwrap_or_else(|| PortablePath::of_this_machine(Path::new(pattern)))
    }

    fn below(&self, path: &Path, spelled: impl Fn(&PathBuf) -> PathBuf) -> Option<PortablePath> {
        let places = self.0.iter().map(|(name, place)| (name, spelled(place)));
        let containing = places.filter(|(_, place)| place.parent().is_some() && path.starts_with(place));
        let rank =
            |(name, place): &(&String, PathBuf)| (place.components().count(), ![HERE, ROOT].contains(&name.as_str()));
        let (name, place) = containing.max_by_key(rank)?;
        Some(PortablePath::below(name, path.strip_prefix(&place).ok()?))
    }

    /// What another machine has to know: the variables that paths begin with, in terms of others where the file says so.
    fn definitions(self, written: &Node, mut values: Values) -> BTreeMap<String, String> {
        let mut definitions = BTreeMap::new();
        let mut wanted: Vec<String> = self.0.into_keys().collect();
        while let Some(name) = wanted.pop() {
            let Some(value) = values.known.get(&name).cloned().filter(|_| !definitions.contains_key(&name)) else {
                continue;
            };
            let template = written.at(&["vars".to_owned(), name.clone()]).and_then(Node::text);
            let definition = match template.and_then(leading_variable) {
                Some((other, rest)) => {
                    wanted.push(other.to_owned());
                    format!("${{{other}}}{}", values.fill(rest).unwrap_or_default())
                }
                None => absolute_text(&value),
            };
            definitions.insert(name, definition);
        }
        definitions
    }
}

/// The way from a directory to a path, both absolute and without links.
fn relative_to(path: &Path, directory: &Path) -> PathBuf {
    let num_shared = path.components().zip(directory.components()).take_while(|(a, b)| a == b).count();
    let up = directory.components().skip(num_shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(num_shared)).collect()
}

/// A pipeline whose settings are those of every machine, on this one. A path that begins with a variable without a value stays as
/// it is.
fn on_this_machine(portable: PipelineFile, variables: BTreeMap<String, String>) -> Pipeline {
    let mut values = Values::of(&variables);
    let mut file = portable.clone();
    for setting in path_settings(&mut file) {
        if let Ok(filled) = values.fill(setting.text) {
            *setting.text = absolute_text(&filled);
        }
    }
    Pipeline { file, portable, variables, stores: Stores::default() }
}

/// The variables that the paths of a file begin with.
fn needed_variables(portable: &mut PipelineFile) -> impl Iterator<Item = String> {
    path_settings(portable).into_iter().filter_map(|setting| Some(leading_variable(setting.text)?.0.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::document::Override;
    use crate::parse::parse;
    use crate::paths::resolved_source;

    /// The portable form of the annotations of a source in `DIRECTORY/pq/p/x.toml`, with these variables.
    fn written(directory: &Path, vars: &str, annotations: &str) -> String {
        let text = format!(
            "name = \"x\"\n[vars]\n{vars}\n[format]\ntokenizer = \"t\"\n[[source]]\nname = \"a\"\nkind = \"llava\"\n\
             annotations = {annotations:?}\n"
        );
        let file = directory.join("pq/p/x.toml");
        let pipeline = parse(&text, &file, &[]).unwrap();
        let portable = pipeline.portable.source[0].annotations.as_slice()[0].clone();
        // Whatever the form, it leads back to the same file.
        let again = Pipeline::on_this_machine(pipeline.portable.clone(), pipeline.variables.clone());
        assert_eq!(resolved_source(&again.file.source[0]), resolved_source(&pipeline.file.source[0]));
        portable
    }

    #[test]
    fn a_url_is_the_same_on_every_machine_and_a_variable_may_be_one() {
        let text = PIPELINE_OF_URLS;
        let located = |data: &str| {
            let pipeline = crate::parse(text, Path::new("p.toml"), &[format!("data={data}").parse().unwrap()]).unwrap();
            let source = pipeline.sources().next().unwrap();
            let LocatedPattern { pattern, portable } = source.dataset();
            assert_eq!((pattern, portable), ("s3://bucket/stage", "s3://bucket/stage"));
            assert_eq!(
                source.dataset().name(Path::new("s3://bucket/stage/webdataset/x.tar")).to_string(),
                "s3://bucket/stage/webdataset/x.tar"
            );
            (pipeline.file.source[1].media.clone(), pipeline.portable.source[1].media.clone())
        };
        let (on_disk, portable) = located("/mnt/data");
        let (in_store, of_url) = located("gs://data/x/");
        assert_eq!(portable, of_url);
        assert_eq!(portable.as_slice(), ["${data}/media", "${data}/*.tar"]);
        assert_eq!(on_disk.as_slice(), ["/mnt/data/media", "/mnt/data/*.tar"]);
        assert_eq!(in_store.as_slice(), ["gs://data/x/media", "gs://data/x/*.tar"]);
    }

    const PIPELINE_OF_URLS: &str = r#"
        name = "a"
        [vars]
        data = "/data"
        [format]
        tokenizer = "t.model"
        [[source]]
        name = "s"
        kind = "dataset"
        from = "s3://bucket/stage/"
        [[source]]
        name = "m"
        kind = "llava"
        annotations = "${data}/a.json"
        media = ["${data}/media", "${data}/*.tar"]
    "#;

    #[test]
    fn a_path_begins_with_the_variable_that_it_was_written_with_or_that_contains_it() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        fs::create_dir_all(directory.join("pq/p")).unwrap();
        fs::create_dir_all(directory.join("pq/pq")).unwrap();
        std::os::unix::fs::symlink(directory.join("pq"), directory.join("link")).unwrap();
        let outside = format!("{}/a.json", directory.display());
        let linked = format!("{}/link/p/a.json", directory.display());
        let data = format!("data = {:?}\nimages = \"${{data}}/images\"", directory.join("pq/pq").display().to_string());
        for (vars, annotations, expected) in [
            ("", "${here}/a.json", "${here}/a.json"),
            ("", "${here}/./b/../a.json", "${here}/b/../a.json"),
            ("", "${here}/../pq/a.json", "${here}/../pq/a.json"),
            ("", "${here}q/a.json", "${here}q/a.json"),
            ("", outside.as_str(), outside.as_str()),
            ("", linked.as_str(), "${here}/a.json"),
            (data.as_str(), "${images}/a-*.json", "${images}/a-*.json"),
            (data.as_str(), "${data}", "${data}"),
        ] {
            let found = written(directory, vars, annotations);
            let expected = expected.replace("${here}q", &directory.join("pq/pq").display().to_string());
            assert_eq!(found, expected, "{annotations}");
        }
    }

    #[test]
    fn a_path_of_the_command_line_begins_with_the_longest_variable_that_the_file_uses() {
        let text = "name = \"x\"\n[vars]\ndata = \"/d\"\nimages = \"${data}/images\"\ndeep = \"${images}/deep\"\n[format]\n\
                    tokenizer = \"/t\"\n[[source]]\nname = \"a\"\nkind = \"llava\"\nannotations = \"${data}/a.json\"\n\
                    media = \"${images}\"\n";
        let source = |sets: &[&str]| {
            let overrides: Vec<Override> = sets.iter().map(|set| set.parse().unwrap()).collect();
            let pipeline = parse(text, Path::new("/p.toml"), &overrides).unwrap();
            let source = &pipeline.portable.source[0];
            (source.annotations.as_slice()[0].clone(), source.media.as_slice()[0].clone())
        };
        let both = |annotations: &str, media: &str| (annotations.to_owned(), media.to_owned());
        assert_eq!(source(&["source.a.annotations=/d/images/deep/b.json"]), both("${images}/deep/b.json", "${images}"));
        assert_eq!(source(&["source.a.annotations=${deep}/b.json"]), both("${deep}/b.json", "${images}"));
        // Also where nothing else uses the variable any more.
        let sets = ["source.a.annotations=/d/b.json", "source.a.media=/d/images/c"];
        assert_eq!(source(&sets), both("${data}/b.json", "${images}/c"));
        assert_eq!(source(&["source.a.annotations=/e/b.json", "data=/f"]), both("/e/b.json", "${images}"));
    }

    #[test]
    fn a_variable_that_equals_another_string_changes_no_other_setting() {
        let text = "name = \"llava\"\ndescription = \"llava of llava\"\n[vars]\ndata = \"llava\"\n[format]\n\
                    tokenizer = \"${data}/t\"\n[[source]]\nname = \"llava\"\nkind = \"llava\"\nannotations = \"${data}/a.json\"\n";
        let pipeline = parse(text, Path::new("p.toml"), &[]).unwrap();
        let PipelineFile { name, description, format, source, .. } = &pipeline.portable;
        assert_eq!((name.as_str(), description.as_str()), ("llava", "llava of llava"));
        assert_eq!((source[0].name.as_str(), source[0].kind.as_str()), ("llava", "llava"));
        assert_eq!(format.tokenizer, "${data}/t");
    }

    #[test]
    fn files_that_match_are_named_after_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        // What a pattern gives a meaning to is literal in a directory that exists.
        let directory = folder.path().join("[a]*");
        fs::create_dir_all(directory.join("b")).unwrap();
        for name in ["b/1.json", "b/2.json", "3.json"] {
            fs::File::create(directory.join(name)).unwrap();
        }
        let pattern = format!("{}/*/?.json", directory.display());
        let located = LocatedPattern { pattern: &pattern, portable: "${data}/x/../*/?.json" };
        let names: Vec<_> =
            located.expand(&FileAccess::default()).unwrap().into_iter().map(|(_, name)| name.to_string()).collect();
        assert_eq!(names, ["${data}/x/../b/1.json", "${data}/x/../b/2.json"]);
        assert_eq!(expand_pattern(&FileAccess::default(), "no/such/*.json"), Err("no file matches".to_owned().into()));
    }

    #[test]
    fn the_parent_of_a_link_is_that_of_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().canonicalize().unwrap();
        fs::create_dir_all(directory.join("a/b")).unwrap();
        std::os::unix::fs::symlink(directory.join("a/b"), directory.join("link")).unwrap();
        assert_eq!(absolute_path(&directory.join("link/../c")), directory.join("a/c"));
        assert_eq!(absolute_path(&directory.join("./a//b/../c/")), directory.join("a/c"));
        assert_eq!(absolute_path(&directory.join("link/c")), directory.join("link/c"));
    }

    #[test]
    fn a_variable_in_terms_of_another_follows_it_to_another_machine() {
        let text = "name = \"x\"\n[vars]\nbase = \"/old\"\ndata = \"${base}/data\"\nkind = \"llava\"\n[format]\n\
                    tokenizer = \"${data}/t\"\n[[source]]\nname = \"a\"\nkind = \"${kind}\"\nannotations = \"${data}/a.json\"\n";
        let pipeline = parse(text, Path::new("/p.toml"), &[]).unwrap();
        assert!(!pipeline.variables.contains_key("kind"), "{:?}", pipeline.variables);
        let mut variables = pipeline.variables.clone();
        variables.insert("base".to_owned(), "/new".to_owned());
        let moved = Pipeline::on_this_machine(pipeline.portable, variables);
        assert_eq!(moved.file.format.tokenizer, "/new/data/t");
    }
}
