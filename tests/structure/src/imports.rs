//! Which file takes which name from which other file of its crate.
//!
//! A name that a module re-exports is followed to the file that defines it, so that a facade hides no arrow. A name that is
//! taken from the facade of a module *above* the importing one is also reported: the reader cannot see where it is from.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Item, UseTree};

use crate::tree::{ModuleIndex, Tree, attributes_of, is_test};

/// The arrows between the files of a crate.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// For each pair of importing and defining module, the names that are taken.
    pub arrows: BTreeMap<(ModuleIndex, ModuleIndex), BTreeSet<String>>,
    /// Importing modules and the names that they take from a facade above them.
    pub through_facades: BTreeSet<(ModuleIndex, String)>,
}

/// Finds the arrows of a crate.
pub fn imports_of(tree: &Tree) -> Imports {
    let re_exports: Vec<BTreeMap<String, Vec<String>>> =
        tree.modules.iter().map(|module| names_brought_in(&module.items)).collect();
    let mut imports = Imports::default();
    for (module, content) in tree.modules.iter().enumerate() {
        let mut paths = Paths::default();
        for item in &content.items {
            paths.visit_item(item);
        }
        for path in paths.found {
            let resolver = Resolver { tree, re_exports: &re_exports };
            let Some(target) = resolver.resolve(module, &path, MOST_RE_EXPORTS) else { continue };
            if target.module == module {
                continue;
            }
            imports.arrows.entry((module, target.module)).or_default().insert(target.name.clone());
            if target.facades.iter().any(|&facade| tree.is_ancestor(facade, module)) {
                imports.through_facades.insert((module, target.name));
            }
        }
    }
    imports
}

/// A re-export of a re-export is followed so far.
const MOST_RE_EXPORTS: usize = 8;

/// Names that `use` declarations bring into a module, with the paths that they come from.
fn names_brought_in(items: &[Item]) -> BTreeMap<String, Vec<String>> {
    let mut names = BTreeMap::new();
    for item in items {
        if let Item::Use(item) = item {
            for path in paths_of_use(&item.tree) {
                names.insert(path.alias, path.segments);
            }
        }
    }
    names
}

struct UsedPath {
    segments: Vec<String>,
    alias: String,
}

fn paths_of_use(tree: &UseTree) -> Vec<UsedPath> {
    match tree {
        UseTree::Path(path) => {
            let prefixed = |mut inner: UsedPath| {
                // `use a::b::{self}` brings in `b`.
                if inner.segments.first().is_some_and(|segment| segment == "self") {
                    inner.segments.clear();
                    inner.alias = path.ident.to_string();
                }
                inner.segments.insert(0, path.ident.to_string());
                inner
            };
            let inner = paths_of_use(&path.tree).into_iter();
            if let UseTree::Group(_) | UseTree::Name(_) = &*path.tree {
                inner.map(prefixed).collect()
            } else {
                inner
                    .map(|mut inner| {
                        inner.segments.insert(0, path.ident.to_string());
                        inner
                    })
                    .collect()
            }
        }
        UseTree::Name(name) => {
            vec![UsedPath { segments: vec![name.ident.to_string()], alias: name.ident.to_string() }]
        }
        UseTree::Rename(rename) => {
            vec![UsedPath { segments: vec![rename.ident.to_string()], alias: rename.rename.to_string() }]
        }
        UseTree::Glob(_) => vec![UsedPath { segments: vec!["*".to_owned()], alias: "*".to_owned() }],
        UseTree::Group(group) => group.items.iter().flat_map(paths_of_use).collect(),
    }
}

/// Every path in the code of a file, tests left out.
#[derive(Default)]
struct Paths {
    found: BTreeSet<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.found.extend(paths_of_use(&item.tree).into_iter().map(|path| path.segments));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            self.found.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

struct Resolver<'t> {
    tree: &'t Tree,
    re_exports: &'t [BTreeMap<String, Vec<String>>],
}

/// Where a path leads.
struct Resolved {
    /// The module that defines the name.
    module: ModuleIndex,
    name: String,
    /// Modules that only hand the name on.
    facades: Vec<ModuleIndex>,
}

impl Resolver<'_> {
    /// Follows a path from a module; `None` if it leads out of the crate, or to a name that only the importing file can mean.
    fn resolve(&self, from: ModuleIndex, path: &[String], most_re_exports: usize) -> Option<Resolved> {
        let mut module = from;
        let mut rest = path;
        let mut is_first = true;
        while let Some((segment, after)) = rest.split_first() {
            let content = self.tree.modules.get(module)?;
            let next = match segment.as_str() {
                "crate" if is_first => Some(self.tree.root()),
                "self" if is_first => Some(module),
                "super" => Some(content.parent?),
                name => content.children.get(name).copied(),
            };
            let Some(next) = next else { break };
            (module, rest, is_first) = (next, after, false);
        }
        let name = rest.first().cloned().unwrap_or_else(|| "the module".to_owned());
        if is_first && module == from && !self.re_exports.get(from)?.contains_key(&name) {
            return None;
        }
        if let Some(re_exported) = self.re_exports.get(module)?.get(&name)
            && most_re_exports > 0
            && !defines(&self.tree.modules.get(module)?.items, &name)
            // What a `use` of the file itself brings in is an arrow of that declaration.
            && module != from
        {
            let mut resolved = self.resolve(module, re_exported, most_re_exports - 1)?;
            resolved.facades.push(module);
            return Some(resolved);
        }
        Some(Resolved { module, name, facades: Vec::new() })
    }
}

/// Whether one of the items has this name.
fn defines(items: &[Item], name: &str) -> bool {
    items.iter().any(|item| match item {
        Item::Const(item) => item.ident == name,
        Item::Enum(item) => item.ident == name,
        Item::Fn(item) => item.sig.ident == name,
        Item::Mod(item) => item.ident == name,
        Item::Static(item) => item.ident == name,
        Item::Struct(item) => item.ident == name,
        Item::Trait(item) => item.ident == name,
        Item::Type(item) => item.ident == name,
        _ => false,
    })
}
