//! The modules of a crate: one per file, each with its syntax tree. Modules of tests are left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, ItemMod};

/// The number of a module in its [`Tree`].
pub type ModuleIndex = usize;

/// A module that has a file of its own.
pub struct Module {
    /// Its source file.
    pub path: PathBuf,
    /// The text of the file.
    pub text: String,
    /// Its items, without those of tests.
    pub items: Vec<Item>,
    /// The module that declares it; `None` for the root of the crate.
    pub parent: Option<ModuleIndex>,
    /// The modules that it declares, by name.
    pub children: BTreeMap<String, ModuleIndex>,
}

/// The modules of a crate. The first one is its root.
pub struct Tree {
    /// All modules, parents before their children.
    pub modules: Vec<Module>,
}

/// A crate that could not be read.
#[derive(Debug)]
pub struct ReadError {
    /// The file at fault.
    pub path: PathBuf,
    /// What is wrong with it.
    pub detail: String,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot read {}: {}", self.path.display(), self.detail)
    }
}

impl std::error::Error for ReadError {}

impl Tree {
    /// Reads the crate whose root is this file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not Rust.
    pub fn read(root: &Path) -> Result<Self, ReadError> {
        let mut tree = Self { modules: Vec::new() };
        tree.add(root, None)?;
        Ok(tree)
    }

    fn add(&mut self, path: &Path, parent: Option<ModuleIndex>) -> Result<ModuleIndex, ReadError> {
        let failed = |detail: String| ReadError { path: path.to_owned(), detail };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let file = syn::parse_file(&text).map_err(|error| failed(error.to_string()))?;
        let items: Vec<Item> = file.items.into_iter().filter(|item| !is_test(attributes_of(item))).collect();
        let declared: Vec<ItemMod> = items.iter().filter_map(declared_module).cloned().collect();
        let index = self.modules.len();
        self.modules.push(Module { path: path.to_owned(), text, items, parent, children: BTreeMap::new() });
        for module in declared {
            let name = module.ident.to_string();
            let Some(file) = file_of(path, &module) else {
                return Err(failed(format!("module {name:?} has no file")));
            };
            let child = self.add(&file, Some(index))?;
            if let Some(parent) = self.modules.get_mut(index) {
                // Of two variants behind features, the first one counts.
                parent.children.entry(name).or_insert(child);
            }
        }
        Ok(index)
    }

    /// The root of the crate.
    pub fn root(&self) -> ModuleIndex {
        0
    }

    /// Whether `above` declares `module`, directly or through others.
    pub fn is_ancestor(&self, above: ModuleIndex, module: ModuleIndex) -> bool {
        let parent = |module: &ModuleIndex| self.modules.get(*module).and_then(|module| module.parent);
        std::iter::successors(parent(&module), parent).any(|ancestor| ancestor == above)
    }
}

/// A declaration `mod name;`.
fn declared_module(item: &Item) -> Option<&ItemMod> {
    if let Item::Mod(module) = item { Some(module).filter(|module| module.content.is_none()) } else { None }
}

fn file_of(parent: &Path, module: &ItemMod) -> Option<PathBuf> {
    let directory = parent.parent()?;
    let named = module.attrs.iter().find(|attribute| attribute.path().is_ident("path")).and_then(|attribute| {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && let syn::Expr::Lit(literal) = &pair.value
            && let syn::Lit::Str(path) = &literal.lit
        {
            return Some(directory.join(path.value()));
        }
        None
    });
    let name = module.ident.to_string();
    let stem = parent.file_stem()?.to_string_lossy().into_owned();
    let inside =
        if matches!(stem.as_str(), "lib" | "main" | "mod") { directory.to_owned() } else { directory.join(stem) };
    let candidates = [inside.join(format!("{name}.rs")), inside.join(name).join("mod.rs")];
    named.into_iter().chain(candidates).find(|path| path.exists())
}

/// Whether an item exists in tests only: `#[cfg(test)]`, alone or within `all(…)`.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

pub(crate) fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
