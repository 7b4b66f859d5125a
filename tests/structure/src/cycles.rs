//! Import cycles: groups of modules that import each other, directly or through others.

use std::collections::BTreeSet;

use crate::imports::Imports;
use crate::tree::ModuleIndex;

/// The groups of two or more modules in which each module reaches every other one through imports.
pub fn import_cycles(num_modules: usize, imports: &Imports) -> Vec<BTreeSet<ModuleIndex>> {
    let reached: Vec<BTreeSet<ModuleIndex>> = (0..num_modules).map(|from| reached_from(from, imports)).collect();
    let leads_to = |from: ModuleIndex, to: ModuleIndex| reached.get(from).is_some_and(|set| set.contains(&to));
    let mut groups: Vec<BTreeSet<ModuleIndex>> = Vec::new();
    for module in 0..num_modules {
        if groups.iter().any(|group| group.contains(&module)) {
            continue;
        }
        let group: BTreeSet<_> = (module..num_modules)
            .filter(|&other| other == module || (leads_to(module, other) && leads_to(other, module)))
            .collect();
        if group.len() > 1 {
            groups.push(group);
        }
    }
    groups
}

fn reached_from(from: ModuleIndex, imports: &Imports) -> BTreeSet<ModuleIndex> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(module) = waiting.pop() {
        for (_, target) in imports.arrows.keys().filter(|(source, _)| *source == module) {
            if reached.insert(*target) {
                waiting.push(*target);
            }
        }
    }
    reached
}
