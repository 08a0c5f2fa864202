//! Which file of a package uses which, and by which names: every path in the code is followed, through imports and
//! re-exports, to the file that defines what it names.
//!
//! What is compiled for tests alone doesn't count, nor does `mod`, nor a re-export of what lies below. Methods called on values
//! aren't followed, for that takes types, but for one kind: where a type's own file calls a method whose name another file's `impl` of
//! that type has, it uses that file. Macros in scope by the order of the text aren't followed: `use` brings them as well.

use crate::syntax::{Binding, Package, Target};
use std::collections::{BTreeMap, BTreeSet};

/// The names by which a file uses others: `uses[from][to]`. Every file is a key.
pub type Uses = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Finds the uses between the files of a package: those that its crates' roots declare as modules. A crate whose name is given can
/// be used by the others under it, as a library is by the binary beside it.
pub fn uses(roots: &[(Option<&str>, &str)], read: &dyn Fn(&str) -> Option<String>) -> Uses {
    Paths(&Package::read(roots, read)).uses()
}

/// The target of a path.
enum Found<'a> {
    Module(usize),
    /// An item of a module, by its name.
    Item(usize, &'a str),
    /// Another package's, a local variable, a primitive.
    Outside,
}

/// A module, a name that is looked for in it, and the import that may bring it.
type Step<'a> = (usize, &'a str, &'a [String]);

/// Follows the paths of a package.
struct Paths<'p>(&'p Package);

impl Paths<'_> {
    fn uses(&self) -> Uses {
        let mut uses: Uses = self.0.modules.iter().map(|module| (module.file.clone(), BTreeMap::new())).collect();
        for (here, module) in self.0.modules.iter().enumerate() {
            let of_file = uses.get_mut(&module.file).expect("every file is a key");
            for named in &module.paths {
                for found in self.resolve(here, &named.path, &mut Vec::new()) {
                    let Found::Item(there, name) = found else { continue };
                    let file = &self.0.modules[there].file;
                    if *file != module.file && !(named.reexport && self.is_within(there, here)) {
                        of_file.entry(file.clone()).or_default().insert(name.to_owned());
                    }
                }
            }
        }
        for (here, module) in self.0.modules.iter().enumerate() {
            for (path, functions) in &module.impls {
                for found in self.resolve(here, path, &mut Vec::new()) {
                    let Found::Item(there, _) = found else { continue };
                    let file = &self.0.modules[there].file;
                    let of_file = self.0.modules.iter().filter(|module| module.file == *file);
                    let calls: BTreeSet<&String> = of_file.flat_map(|module| &module.calls).collect();
                    for name in functions.iter().filter(|name| *file != module.file && calls.contains(name)) {
                        let used = uses.get_mut(file).expect("every file is a key");
                        used.entry(module.file.clone()).or_default().insert(name.clone());
                    }
                }
            }
        }
        uses
    }

    fn is_within(&self, module: usize, outer: usize) -> bool {
        module == outer || self.0.modules[module].parent.is_some_and(|parent| self.is_within(parent, outer))
    }

    fn root(&self, module: usize) -> usize {
        self.0.modules[module].parent.map_or(module, |parent| self.root(parent))
    }

    /// Finds what a path in a module leads to; `busy` are the imports that are being followed on the way here.
    fn resolve<'a>(&'a self, from: usize, path: &'a [String], busy: &mut Vec<Step<'a>>) -> Vec<Found<'a>> {
        let mut here = match path[0].as_str() {
            "crate" => vec![Found::Module(self.root(from))],
            "self" => vec![Found::Module(from)],
            "super" => self.0.modules[from].parent.map(Found::Module).into_iter().collect(),
            name => self.find(from, from, name, busy),
        };
        if here.is_empty() {
            here.push(self.0.libraries.get(&path[0]).map_or(Found::Outside, |&root| Found::Module(root)));
        }
        for name in &path[1..] {
            let modules: Vec<usize> = here
                .iter()
                .filter_map(|found| if let Found::Module(module) = found { Some(*module) } else { None })
                .collect();
            if modules.is_empty() {
                // The rest is a variant, or something associated: it belongs to the type.
                return here;
            }
            here = modules
                .iter()
                .flat_map(|&module| match name.as_str() {
                    "super" => self.0.modules[module].parent.map(Found::Module).into_iter().collect(),
                    _ => self.find(from, module, name, busy),
                })
                .collect();
            if here.is_empty() {
                // A macro made it.
                here = modules.iter().map(|&module| Found::Item(module, name)).collect();
            }
        }
        here
    }

    /// Finds what a name in a module stands for, seen from another.
    fn find<'a>(&'a self, from: usize, module: usize, name: &'a str, busy: &mut Vec<Step<'a>>) -> Vec<Found<'a>> {
        let this = &self.0.modules[module];
        let seen = |binding: &&Binding| !binding.private || self.is_within(from, module);
        let mut found = Vec::new();
        for binding in this.names.get(name).into_iter().flatten().filter(seen) {
            match &binding.target {
                Target::Module(inner) => found.push(Found::Module(*inner)),
                Target::Item => found.push(Found::Item(module, name)),
                Target::Path(path) => {
                    let step: Step = (module, name, path);
                    if !busy.contains(&step) {
                        busy.push(step);
                        found.extend(self.resolve(module, path, busy));
                        busy.pop();
                    }
                }
            }
        }
        if found.is_empty() && this.generated.contains(name) {
            found.push(Found::Item(module, name));
        }
        if found.is_empty() {
            for binding in this.globs.iter().filter(seen) {
                let Target::Path(path) = &binding.target else { unreachable!("a glob is a path") };
                let step: Step = (module, name, path);
                if busy.contains(&step) {
                    continue;
                }
                busy.push(step);
                for target in self.resolve(module, path, busy) {
                    match target {
                        Found::Module(inner) => found.extend(self.find(module, inner, name, busy)),
                        // The names of an enum's variants: the `use` itself counts.
                        Found::Item(..) => {}
                        Found::Outside => found.push(Found::Outside),
                    }
                }
                busy.pop();
            }
        }
        found
    }
}
