//! `cargo run -p manyframe-structure [-- ROOT] [--list]`: a table of measures, a row per crate; `--list` names what it counts.
//! Exits with 1 if there are import cycles between files, or imports through a facade above the importing file.

#![expect(clippy::print_stderr, reason = "a program for the terminal")]

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use manyframe_structure::crate_roots;
use manyframe_structure::cycles::import_cycles;
use manyframe_structure::imports::imports_of;
use manyframe_structure::measure::{Function, Measures, measure};
use manyframe_structure::tree::Tree;

const LONG_FUNCTION_LINES: usize = 45;
const MANY_PARAMETERS: usize = 3;
const SMALL_FILE_LINES: usize = 40;
const LARGE_FILE_LINES: usize = 600;

const COLUMNS: [&str; 14] = [
    "files",
    "median",
    "<40",
    ">600",
    "cycles",
    "facade",
    "functions",
    ">45 lines",
    ">3 params",
    "unwraps",
    "expects",
    ".get",
    "default",
    "skips",
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the table; returns whether the workspace is free of import cycles and of imports through facades.
fn run() -> Result<bool, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_listing = arguments.iter().any(|argument| argument == "--list");
    let given = arguments.iter().find(|argument| !argument.starts_with('-'));
    let root =
        given.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), PathBuf::from).canonicalize()?;
    let mut table = format!("{:<10}", "crate");
    for column in COLUMNS {
        table.push_str(&format!("{column:>10}"));
    }
    table.push('\n');
    let mut total = Row::default();
    let mut details = Vec::new();
    for file in crate_roots(&root)? {
        let tree = Tree::read(&file)?;
        let name = |path: &Path| path.strip_prefix(&root).unwrap_or(path).display().to_string();
        let row = Row::of(&tree, &name, &mut details);
        let directory =
            file.strip_prefix(&root)?.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let directory: Vec<String> = directory.filter(|part| part != "crates").collect();
        table.push_str(&row.line(directory.first().map_or("", String::as_str)));
        total.add(&row);
    }
    table.push_str(&total.line("all"));
    let is_clean = total.num_cycles == 0 && total.num_facade_imports == 0;
    if is_listing || !is_clean {
        details.retain(|detail| is_listing || detail.starts_with("cycle") || detail.starts_with("facade"));
        table.push_str(&format!("\n{}\n", details.join("\n")));
    }
    match std::io::stdout().write_all(table.as_bytes()) {
        // `| head` has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(is_clean)
}

/// The measures of a crate, or of all.
#[derive(Default)]
struct Row {
    file_lines: Vec<usize>,
    num_cycles: usize,
    num_facade_imports: usize,
    functions: Vec<Function>,
    counts: [usize; 5],
}

impl Row {
    fn of(tree: &Tree, name: &dyn Fn(&Path) -> String, details: &mut Vec<String>) -> Self {
        let imports = imports_of(tree);
        let path_of = |module: usize| tree.modules.get(module).map_or_else(String::new, |module| name(&module.path));
        let cycles = import_cycles(tree.modules.len(), &imports);
        for cycle in &cycles {
            details
                .push(format!("cycle: {}", cycle.iter().map(|&module| path_of(module)).collect::<Vec<_>>().join(", ")));
            for ((from, to), names) in &imports.arrows {
                if cycle.contains(from) && cycle.contains(to) {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    details.push(format!("cycle:   {} -> {}: {}", path_of(*from), path_of(*to), names.join(", ")));
                }
            }
        }
        for (module, taken) in &imports.through_facades {
            details
                .push(format!("facade: {} takes {taken} from a module above it that re-exports it", path_of(*module)));
        }
        let Measures { functions, files, num_unwraps, num_expects, num_gets, num_defaults, num_skips } = measure(tree);
        for function in &functions {
            let at = format!("{}:{} {}", name(&function.path), function.line, function.name);
            if function.num_lines > LONG_FUNCTION_LINES {
                details.push(format!("long: {at}: {} lines", function.num_lines));
            }
            if function.num_parameters > MANY_PARAMETERS {
                details.push(format!("parameters: {at}: {}", function.num_parameters));
            }
        }
        for (path, num_lines) in &files {
            if *num_lines < SMALL_FILE_LINES {
                details.push(format!("small: {}: {num_lines} lines", name(path)));
            }
        }
        Self {
            file_lines: files.into_iter().map(|(_, num_lines)| num_lines).collect(),
            num_cycles: cycles.len(),
            num_facade_imports: imports.through_facades.len(),
            functions,
            counts: [num_unwraps, num_expects, num_gets, num_defaults, num_skips],
        }
    }

    fn add(&mut self, other: &Self) {
        self.file_lines.extend(&other.file_lines);
        self.num_cycles += other.num_cycles;
        self.num_facade_imports += other.num_facade_imports;
        self.functions.extend(other.functions.iter().cloned());
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    fn line(&self, name: &str) -> String {
        let mut lines = self.file_lines.clone();
        lines.sort_unstable();
        let files = |is_counted: fn(usize) -> bool| lines.iter().filter(|lines| is_counted(**lines)).count();
        let functions = |is_counted: fn(&Function) -> bool| self.functions.iter().filter(|f| is_counted(f)).count();
        let mut cells = vec![
            lines.len(),
            lines.get(lines.len() / 2).copied().unwrap_or_default(),
            files(|lines| lines < SMALL_FILE_LINES),
            files(|lines| lines > LARGE_FILE_LINES),
            self.num_cycles,
            self.num_facade_imports,
            self.functions.len(),
            functions(|function| function.num_lines > LONG_FUNCTION_LINES),
            functions(|function| function.num_parameters > MANY_PARAMETERS),
        ];
        cells.extend(self.counts);
        let mut line = format!("{name:<10}");
        for cell in cells {
            line.push_str(&format!("{cell:>10}"));
        }
        line.push('\n');
        line
    }
}
