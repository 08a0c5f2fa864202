//! Which file of a package uses which, and by which names: every path in the code is followed, through imports and
//! re-exports, to the file that defines what it names.
//!
//! What is compiled for tests alone doesn't count, nor does `mod`, nor a re-export of what lies below. Methods called on values
//! aren't followed, for that takes types, but for one kind: where a type's own file calls a method whose name another file's `impl` of
//! that type has, it uses that file. Macros in scope by the order of the text aren't followed: `use` brings them as well.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::{replace, take};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, Meta, Token, UseTree, Visibility};

/// The names by which a file uses others: `uses[from][to]`. Every file is a key.
pub type Uses = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The uses between the files of a package: those that its crates' roots declare as modules. A crate whose name is given can
/// be used by the others under it, as a library is by the binary beside it.
pub fn uses(roots: &[(Option<&str>, &str)], read: &dyn Fn(&str) -> Option<String>) -> Uses {
    let mut package = Package::default();
    for (name, file) in roots {
        let root = package.modules.len();
        package.load(file, None, folder(file).to_owned(), read);
        package.libraries.extend(name.map(|name| (name.to_owned(), root)));
    }
    package.uses()
}

/// The folder of a file.
fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[derive(Default)]
struct Package {
    modules: Vec<Module>,
    libraries: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Module {
    file: String,
    /// Where the files of its own modules are.
    folder: String,
    parent: Option<usize>,
    names: BTreeMap<String, Vec<Binding>>,
    globs: Vec<Binding>,
    /// What stands in calls of macros between the items: any of it may be what the macro defines.
    generated: BTreeSet<String>,
    paths: Vec<Named>,
    /// The methods that are called, on whatever.
    calls: BTreeSet<String>,
    /// Types that stand in an `impl` of their own, by their paths, and its functions.
    impls: Vec<(Vec<String>, Vec<String>)>,
}

/// What a name in a module stands for, and whether that module and those inside it alone may use it.
struct Binding {
    private: bool,
    target: Target,
}

enum Target {
    Module(usize),
    Item,
    Path(Vec<String>),
}

/// A path in a module's code.
struct Named {
    path: Vec<String>,
    reexport: bool,
}

/// What a path leads to.
enum Found<'a> {
    Module(usize),
    /// An item of a module, by its name.
    Item(usize, &'a str),
    /// Another package's, a local variable, a primitive.
    Outside,
}

impl Package {
    /// Reads a module's file, and those of the modules in it.
    fn load(&mut self, file: &str, parent: Option<usize>, folder: String, read: &dyn Fn(&str) -> Option<String>) {
        let text = read(file).unwrap_or_else(|| panic!("{file} can't be read"));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let here = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), folder, parent, ..Module::default() });
        Reader { package: self, here, read }.visit_file(&syntax);
    }

    fn uses(&self) -> Uses {
        let mut uses: Uses = self.modules.iter().map(|module| (module.file.clone(), BTreeMap::new())).collect();
        for (here, module) in self.modules.iter().enumerate() {
            let of_file = uses.get_mut(&module.file).expect("every file is a key");
            for named in &module.paths {
                for found in self.resolve(here, &named.path, &mut Vec::new()) {
                    let Found::Item(there, name) = found else { continue };
                    let file = &self.modules[there].file;
                    if *file != module.file && !(named.reexport && self.is_within(there, here)) {
                        of_file.entry(file.clone()).or_default().insert(name.to_owned());
                    }
                }
            }
        }
        for (here, module) in self.modules.iter().enumerate() {
            for (path, functions) in &module.impls {
                for found in self.resolve(here, path, &mut Vec::new()) {
                    let Found::Item(there, _) = found else { continue };
                    let file = &self.modules[there].file;
                    let of_file = self.modules.iter().filter(|module| module.file == *file);
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
        module == outer || self.modules[module].parent.is_some_and(|parent| self.is_within(parent, outer))
    }

    fn root(&self, module: usize) -> usize {
        self.modules[module].parent.map_or(module, |parent| self.root(parent))
    }

    /// What a path in a module leads to; `busy` are the imports that are being followed on the way here.
    fn resolve<'a>(&'a self, from: usize, path: &'a [String], busy: &mut Vec<Step<'a>>) -> Vec<Found<'a>> {
        let mut here = match path[0].as_str() {
            "crate" => vec![Found::Module(self.root(from))],
            "self" => vec![Found::Module(from)],
            "super" => self.modules[from].parent.map(Found::Module).into_iter().collect(),
            name => self.find(from, from, name, busy),
        };
        if here.is_empty() {
            here.push(self.libraries.get(&path[0]).map_or(Found::Outside, |&root| Found::Module(root)));
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
                    "super" => self.modules[module].parent.map(Found::Module).into_iter().collect(),
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

    /// What a name in a module stands for, seen from another.
    fn find<'a>(&'a self, from: usize, module: usize, name: &'a str, busy: &mut Vec<Step<'a>>) -> Vec<Found<'a>> {
        let this = &self.modules[module];
        let seen = |binding: &&Binding| !binding.private || self.is_within(from, module);
        let mut found = Vec::new();
        for binding in this.names.get(name).into_iter().flatten().filter(seen) {
            match &binding.target {
                Target::Module(inner) => found.push(Found::Module(*inner)),
                Target::Item => found.push(Found::Item(module, name)),
                Target::Path(path) => found.extend(self.follow((module, name, path), busy)),
            }
        }
        if found.is_empty() && this.generated.contains(name) {
            found.push(Found::Item(module, name));
        }
        if found.is_empty() {
            for binding in this.globs.iter().filter(seen) {
                let Target::Path(path) = &binding.target else { unreachable!("a glob is a path") };
                for target in self.follow((module, name, path), busy) {
                    match target {
                        Found::Module(inner) => found.extend(self.find(module, inner, name, busy)),
                        // The names of an enum's variants: the `use` itself counts.
                        Found::Item(..) => {}
                        Found::Outside => found.push(Found::Outside),
                    }
                }
            }
        }
        found
    }

    /// Follows an import, unless it is being followed already.
    fn follow<'a>(&'a self, step: Step<'a>, busy: &mut Vec<Step<'a>>) -> Vec<Found<'a>> {
        if busy.contains(&step) {
            return Vec::new();
        }
        busy.push(step);
        let found = self.resolve(step.0, step.2, busy);
        busy.pop();
        found
    }
}

/// A module, a name that is looked for in it, and the import that may bring it.
type Step<'a> = (usize, &'a str, &'a [String]);

/// Reads the syntax of a module.
struct Reader<'a> {
    package: &'a mut Package,
    here: usize,
    read: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn module(&mut self) -> &mut Module {
        &mut self.package.modules[self.here]
    }

    fn define(&mut self, name: &Ident, private: bool, target: Target) {
        self.module().names.entry(name.to_string()).or_default().push(Binding { private, target });
    }

    fn name(&mut self, path: Vec<String>, reexport: bool) {
        self.module().calls.extend(path.iter().skip(1).last().cloned());
        self.module().paths.push(Named { path, reexport });
    }

    fn import(&mut self, tree: &UseTree, mut prefix: Vec<String>, private: bool) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.import(&path.tree, prefix, private);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, prefix.clone(), private)),
            UseTree::Glob(_) => {
                self.module().globs.push(Binding { private, target: Target::Path(prefix.clone()) });
                self.name(prefix, !private);
            }
            UseTree::Name(name) => {
                if name.ident != "self" {
                    prefix.push(name.ident.to_string());
                }
                let known_as = prefix.last().expect("`use self` isn't Rust").clone();
                self.bind(known_as, prefix, private);
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    prefix.push(rename.ident.to_string());
                }
                self.bind(rename.rename.to_string(), prefix, private);
            }
        }
    }

    fn bind(&mut self, known_as: String, path: Vec<String>, private: bool) {
        let binding = Binding { private, target: Target::Path(path.clone()) };
        self.module().names.entry(known_as).or_default().push(binding);
        self.name(path, !private);
    }

    /// Takes what looks like a path out of tokens, as a macro gets them.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        // The punctuation since the last name.
        let mut between = String::new();
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if between != "::" && !path.is_empty() {
                        self.name(take(&mut path), false);
                    }
                    if between == "." {
                        self.module().calls.insert(name.to_string());
                    }
                    // Fields, methods and what follows `<T>::` are no paths of their own.
                    if between != "." && (between != "::" || !path.is_empty()) {
                        path.push(name.to_string());
                    }
                    between.clear();
                }
                TokenTree::Punct(punct) => between.push(punct.as_char()),
                TokenTree::Group(group) => {
                    between.clear();
                    if !path.is_empty() {
                        self.name(take(&mut path), false);
                    }
                    self.scan(group.stream());
                }
                TokenTree::Literal(_) => between.clear(),
            }
        }
        if !path.is_empty() {
            self.name(path, false);
        }
    }

    fn declare(&mut self, item: &syn::ItemMod) {
        let private = matches!(item.vis, Visibility::Inherited);
        let inner = self.package.modules.len();
        self.define(&item.ident, private, Target::Module(inner));
        let Module { file, folder: beside, .. } = self.module();
        let (file, below) = (file.clone(), join(beside, &item.ident.to_string()));
        match &item.content {
            Some((_, items)) => {
                let module = Module { file, folder: below, parent: Some(self.here), ..Module::default() };
                self.package.modules.push(module);
                let outer = replace(&mut self.here, inner);
                items.iter().for_each(|item| self.visit_item(item));
                self.here = outer;
            }
            None => {
                let candidates = match path_of(&item.attrs) {
                    Some(path) => vec![join(folder(&file), &path)],
                    None => vec![format!("{below}.rs"), format!("{below}/mod.rs")],
                };
                let found = candidates.iter().find(|file| (self.read)(file).is_some());
                let found = found.unwrap_or_else(|| panic!("{file}: none of {candidates:?} is there"));
                self.package.load(found, Some(self.here), below, self.read);
            }
        }
    }
}

/// A path in a folder, with its steps up taken.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// What `#[path = "…"]` says.
fn path_of(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find(|attribute| attribute.path().is_ident("path")).and_then(|attribute| match &attribute.meta {
        Meta::NameValue(syn::MetaNameValue {
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }),
            ..
        }) => Some(path.value()),
        _ => None,
    })
}

/// Whether something is compiled for tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    fn asks_for_test(meta: &Meta) -> bool {
        match meta {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("cfg") || list.path.is_ident("all") => list
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .is_ok_and(|all| all.iter().any(asks_for_test)),
            _ => false,
        }
    }
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") && asks_for_test(&attribute.meta))
}

/// An item's attributes, and its name with its visibility where it has them.
fn parts(item: &Item) -> (&[Attribute], Option<(&Ident, &Visibility)>) {
    match item {
        Item::Const(item) => (&item.attrs, Some((&item.ident, &item.vis))),
        Item::Enum(item) => (&item.attrs, Some((&item.ident, &item.vis))),
        Item::Fn(item) => (&item.attrs, Some((&item.sig.ident, &item.vis))),
        Item::Static(item) => (&item.attrs, Some((&item.ident, &item.vis))),
        Item::Struct(item) => (&item.attrs, Some((&item.ident, &item.vis))),
        Item::Trait(item) => (&item.attrs, Some((&item.ident, &item.vis))),
        Item::Type(item) => (&item.attrs, Some((&item.ident, &item.vis))),
        Item::Union(item) => (&item.attrs, Some((&item.ident, &item.vis))),
        Item::Impl(item) => (&item.attrs, None),
        Item::Macro(item) => (&item.attrs, None),
        Item::Mod(item) => (&item.attrs, None),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

/// Passes by what is compiled for tests alone.
macro_rules! unless_test {
    ($($visit:ident: $node:ident),* $(,)?) => {
        $(fn $visit(&mut self, node: &'ast syn::$node) {
            if !is_test(&node.attrs) {
                visit::$visit(self, node);
            }
        })*
    };
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, named) = parts(item);
        if is_test(attributes) {
            return;
        }
        if let Some((name, visibility)) = named {
            self.define(name, matches!(visibility, Visibility::Inherited), Target::Item);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.declare(item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // With colons in front it is another package's.
        if item.leading_colon.is_none() {
            self.import(&item.tree, Vec::new(), matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        match &item.ident {
            Some(name) => self.define(name, false, Target::Item),
            None => {
                let generated = identifiers(item.mac.tokens.clone());
                self.module().generated.extend(generated);
            }
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let (None, syn::Type::Path(of)) = (&item.trait_, &*item.self_ty) {
            let functions = item.items.iter().filter_map(|item| match item {
                syn::ImplItem::Fn(function) if !is_test(&function.attrs) => Some(function.sig.ident.to_string()),
                _ => None,
            });
            let block = (segments(&of.path), functions.collect());
            self.module().impls.push(block);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if !is_test(&call.attrs) {
            self.module().calls.insert(call.method.to_string());
            visit::visit_expr_method_call(self, call);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.name(segments(path), false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.scan(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.scan(list.tokens.clone());
    }

    unless_test! {
        visit_arm: Arm,
        visit_expr_block: ExprBlock,
        visit_expr_call: ExprCall,
        visit_expr_if: ExprIf,
        visit_expr_macro: ExprMacro,
        visit_field: Field,
        visit_field_value: FieldValue,
        visit_impl_item_const: ImplItemConst,
        visit_impl_item_fn: ImplItemFn,
        visit_local: Local,
        visit_stmt_macro: StmtMacro,
        visit_trait_item_fn: TraitItemFn,
        visit_variant: Variant,
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// Every name in tokens.
fn identifiers(tokens: TokenStream) -> Vec<String> {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Ident(name) => vec![name.to_string()],
            TokenTree::Group(group) => identifiers(group.stream()),
            _ => Vec::new(),
        })
        .collect()
}
