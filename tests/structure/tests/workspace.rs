//! Promise: no files of a crate import each other in a circle, no import hides behind a facade, and nothing unwraps.

use std::path::Path;

use manyframe_structure::circles::circles;
use manyframe_structure::crate_roots;
use manyframe_structure::imports::imports_of;
use manyframe_structure::measure::measure;
use manyframe_structure::tree::Tree;

#[test]
fn files_import_downwards_and_where_a_name_is_defined() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let crates = crate_roots(&root).unwrap();
    assert!(crates.len() > 10, "{crates:?}");
    for file in crates {
        let tree = Tree::read(&file).unwrap();
        let imports = imports_of(&tree);
        assert!(tree.modules.len() < 2 || !imports.arrows.is_empty(), "{}: no import was found", file.display());
        let path = |module: usize| tree.modules[module].path.display().to_string();
        let tied: Vec<Vec<String>> = circles(tree.modules.len(), &imports)
            .into_iter()
            .map(|circle| circle.into_iter().map(path).collect())
            .collect();
        assert_eq!(tied, Vec::<Vec<String>>::new(), "circles; `make structure` says which names tie them");
        let hidden: Vec<(String, String)> =
            imports.through_facades.into_iter().map(|(module, name)| (path(module), name)).collect();
        assert_eq!(hidden, [], "names that a module above re-exports");
        assert_eq!(measure(&tree).num_unwraps, 0, "{}: `unwrap` or `panic!`", file.display());
    }
}
