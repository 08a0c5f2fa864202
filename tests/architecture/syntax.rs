//! The modules of a package, read from their files: the names that each binds and the paths that its code has.
//!
//! What is compiled for tests alone is passed by.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::{replace, take};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, Meta, Token, UseTree, Visibility};

/// The modules of a package's crates, and which of them are roots that others can name.
#[derive(Default)]
pub struct Package {
    pub modules: Vec<Module>,
    pub libraries: BTreeMap<String, usize>,
}

#[derive(Default)]
pub struct Module {
    pub file: String,
    /// The folder of the files of its own modules.
    pub folder: String,
    pub parent: Option<usize>,
    pub names: BTreeMap<String, Vec<Binding>>,
    pub globs: Vec<Binding>,
    /// What stands in calls of macros between the items: any of it may be what the macro defines.
    pub generated: BTreeSet<String>,
    pub paths: Vec<Named>,
    /// The methods that are called, on whatever.
    pub calls: BTreeSet<String>,
    /// Types that stand in an `impl` of their own, by their paths, and its functions.
    pub impls: Vec<(Vec<String>, Vec<String>)>,
}

/// What a name in a module stands for, and whether that module and those inside it alone may use it.
pub struct Binding {
    pub private: bool,
    pub target: Target,
}

pub enum Target {
    Module(usize),
    Item,
    Path(Vec<String>),
}

/// A path in a module's code.
pub struct Named {
    pub path: Vec<String>,
    pub reexport: bool,
}

impl Package {
    /// Reads the crates of these roots, with their names where they have one, and all files that they declare as modules.
    pub fn read(roots: &[(Option<&str>, &str)], read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut package = Self::default();
        for (name, file) in roots {
            let root = package.modules.len();
            package.load(file, None, folder(file).to_owned(), read);
            package.libraries.extend(name.map(|name| (name.to_owned(), root)));
        }
        package
    }

    /// Reads a module's file, and those of the modules in it.
    fn load(&mut self, file: &str, parent: Option<usize>, folder: String, read: &dyn Fn(&str) -> Option<String>) {
        let text = read(file).unwrap_or_else(|| panic!("{file} can't be read"));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let here = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), folder, parent, ..Module::default() });
        Reader { package: self, here, read }.visit_file(&syntax);
    }
}

/// Gives the folder of a file.
fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

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

/// Joins a path to a folder, with its steps up taken.
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

/// Reads the path that `#[path = "…"]` gives.
fn path_of(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find(|attribute| attribute.path().is_ident("path")).and_then(|attribute| match &attribute.meta {
        Meta::NameValue(syn::MetaNameValue {
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }),
            ..
        }) => Some(path.value()),
        _ => None,
    })
}

/// Tells whether something is compiled for tests alone.
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

/// Gives an item's attributes, and its name with its visibility where it has them.
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

/// Lists every name in tokens.
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
