//! Promise: no import cycles between the files of a crate, no imports through a facade above, and no `unwrap` or `panic!`
//! outside tests.

use std::path::Path;

use manyframe_structure::crate_roots;
use manyframe_structure::cycles::import_cycles;
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
        let cycles: Vec<Vec<String>> = import_cycles(tree.modules.len(), &imports)
            .into_iter()
            .map(|cycle| cycle.into_iter().map(path).collect())
            .collect();
        assert_eq!(
            cycles,
            Vec::<Vec<String>>::new(),
            "import cycles; `make structure` lists the names that are imported"
        );
        let hidden: Vec<(String, String)> =
            imports.through_facades.into_iter().map(|(module, name)| (path(module), name)).collect();
        assert_eq!(hidden, [], "names that a module above re-exports");
        assert_eq!(measure(&tree).num_unwraps, 0, "{}: `unwrap` or `panic!`", file.display());
    }
}
