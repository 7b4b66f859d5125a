//! What the measures find in small crates that are written on the spot.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at once"
)]

use std::collections::BTreeSet;

use manyframe_structure::cycles::import_cycles;
use manyframe_structure::imports::imports_of;
use manyframe_structure::measure::{Measures, measure};
use manyframe_structure::tree::Tree;

/// A crate with these files; the first one is its root.
fn tree(files: &[(&str, &str)]) -> Tree {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Tree::read(&directory.path().join(files[0].0)).unwrap()
}

/// The names of the files in each import cycle.
fn cycles_of(tree: &Tree) -> Vec<BTreeSet<String>> {
    let name = |module: &usize| tree.modules[*module].path.file_name().unwrap().to_string_lossy().into_owned();
    import_cycles(tree.modules.len(), &imports_of(tree)).iter().map(|group| group.iter().map(name).collect()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn files_that_import_downwards_form_no_cycle() {
    let tree = tree(&[
        ("lib.rs", "mod a; mod b; pub use a::A;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
    ]);
    assert_eq!(cycles_of(&tree), Vec::<BTreeSet<String>>::new());
}

#[test]
fn a_cycle_of_three_files_is_found_in_use_declarations_and_in_code() {
    let tree = tree(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::{self, B}; pub struct A(B);"),
        ("b.rs", "pub struct B; fn f() { super::c::g(); }"),
        ("c.rs", "pub fn g() -> crate::a::A { todo() }"),
        ("d.rs", "use crate::a::A;"),
    ]);
    assert_eq!(cycles_of(&tree), [set(&["a.rs", "b.rs", "c.rs"])]);
}

#[test]
fn a_facade_hides_no_cycle_and_is_reported_where_it_is_above() {
    let tree = tree(&[
        ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
        ("a.rs", "use crate::B; pub struct A(B);"),
        ("b.rs", "use crate::A as Other; pub struct B; fn f(_: Other) {}"),
    ]);
    assert_eq!(cycles_of(&tree), [set(&["a.rs", "b.rs"])]);
    let imports = imports_of(&tree);
    let names: Vec<&str> = imports.through_facades.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["B", "A"]);
}

#[test]
fn the_facade_of_another_folder_is_a_door_to_the_file_that_defines_the_name() {
    let tree = tree(&[
        ("lib.rs", "mod folder; mod user;"),
        ("folder/mod.rs", "mod inner; pub use inner::Name;"),
        ("folder/inner.rs", "pub struct Name;"),
        ("user.rs", "use crate::folder::Name; fn f(_: Name) {}"),
    ]);
    let imports = imports_of(&tree);
    assert!(imports.through_facades.is_empty());
    let file = |module: usize| tree.modules[module].path.file_name().unwrap().to_string_lossy().into_owned();
    let arrows: Vec<(String, String)> = imports.arrows.keys().map(|&(from, to)| (file(from), file(to))).collect();
    assert!(arrows.contains(&("user.rs".to_owned(), "inner.rs".to_owned())), "{arrows:?}");
}

#[test]
fn a_child_and_its_parent_that_use_each_other_form_a_cycle() {
    let tree = tree(&[
        ("lib.rs", "mod folder;"),
        ("folder/mod.rs", "mod inner; pub struct Shared; fn f() { inner::g(); }"),
        ("folder/inner.rs", "use super::Shared; pub fn g() -> Shared { Shared }"),
    ]);
    assert_eq!(cycles_of(&tree), [set(&["inner.rs", "mod.rs"])]);
}

#[test]
fn functions_are_counted_with_their_lines_and_parameters_and_tests_are_not() {
    let text = "
        pub struct S;
        impl S {
            fn method(&self, a: u8, b: u8) {
                a.checked_add(b).unwrap();
            }
        }
        trait T { fn required(x: u8); }
        fn skip(values: Vec<Option<u8>>) {
            for value in values {
                let Some(value) = value else { continue };
                drop(value.get(1).unwrap_or_default());
            }
            x.expect(\"reason\");
        }
        #[cfg(test)]
        mod tests { fn f() { None.unwrap() } }
    ";
    let Measures { functions, num_unwraps, num_expects, num_gets, num_defaults, num_skips, files } =
        measure(&tree(&[("lib.rs", text)]));
    let counted: Vec<_> = functions.iter().map(|f| (f.name.as_str(), f.num_lines, f.num_parameters)).collect();
    assert_eq!(counted, [("method", 3, 2), ("required", 1, 1), ("skip", 7, 1)]);
    assert_eq!((num_unwraps, num_expects, num_gets, num_defaults, num_skips), (1, 1, 1, 1, 1));
    assert_eq!(files[0].1, text.lines().count());
}
