//! Packages in memory with a circle planted in each, that must be found; and near misses, that are none.

use crate::circles::{circles, upwards};
use crate::uses::{Uses, uses};

/// Finds the uses in a package whose library is `lib.rs`, and whose binary is `main.rs` if there is one.
fn uses_of(files: &[(&str, &str)]) -> Uses {
    let read = |path: &str| files.iter().find(|(file, _)| *file == path).map(|(_, text)| (*text).to_owned());
    let roots = [(Some("library"), "lib.rs"), (None, "main.rs"), (Some("library"), "src/lib.rs")];
    let roots: Vec<_> = roots.into_iter().filter(|(_, file)| read(file).is_some()).collect();
    uses(&roots, &read)
}

fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let found = circles(&uses_of(files));
    found.into_iter().map(|circle| Vec::from_iter(circle).join(" ")).collect()
}

/// Finds the circles of a package of `mod a; mod b;` with these texts.
fn two(a: &str, b: &str) -> Vec<String> {
    circles_of(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", b)])
}

#[test]
fn two_files_that_import_each_other() {
    let found = two("use crate::b::B; pub struct A(B);", "use crate::a::A; pub struct B(Vec<A>);");
    assert_eq!(found, ["a.rs b.rs"]);
}

#[test]
fn three_files_in_a_ring() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use crate::c::C; pub struct B(C);"),
        ("c.rs", "use crate::a::A; pub struct C(Vec<A>);"),
        // Beside the ring, though it uses it.
        ("d.rs", "use crate::a::A; pub struct D(A);"),
    ];
    assert_eq!(circles_of(&files), ["a.rs b.rs c.rs"]);
}

#[test]
fn a_child_that_uses_its_parents_items() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod child; use child::Child; pub struct A(Child); const WIDTH: usize = 3;"),
        ("a/child.rs", "pub struct Child([f32; super::WIDTH]);"),
    ];
    assert_eq!(circles_of(&files), ["a.rs a/child.rs"]);
    let glob = [files[0], files[1], ("a/child.rs", "use super::*; pub struct Child([f32; WIDTH]);")];
    assert_eq!(circles_of(&glob), ["a.rs a/child.rs"]);
}

#[test]
fn a_type_that_calls_its_methods_in_another_file() {
    let child = ("a/child.rs", "impl super::A { pub fn far(&self) {} }");
    let circle = |body: &str| {
        let text = format!("mod child; pub struct A; impl A {{ pub fn near(&self) {{ {body} }} }}");
        circles_of(&[("lib.rs", "mod a;"), ("a.rs", &text), child])
    };
    assert_eq!(circle("self.far()"), ["a.rs a/child.rs"]);
    assert_eq!(circle("Self::far(self)"), ["a.rs a/child.rs"]);
    assert_eq!(circle("assert!(self.far())"), ["a.rs a/child.rs"]);
    assert_eq!(circle("self.near()"), [""; 0]);
}

#[test]
fn paths_without_an_import() {
    let types = two("pub struct A(crate::b::B);", "pub struct B(Vec<super::a::A>);");
    assert_eq!(types, ["a.rs b.rs"]);
    let calls = two("pub fn a() { crate::b::b() }", "pub fn b() { self::super::a::a() }");
    assert_eq!(calls, ["a.rs b.rs"]);
    let imported = two("use crate::b; pub fn a() { b::b() }", "use crate::a; pub fn b() { a::a() }");
    assert_eq!(imported, ["a.rs b.rs"]);
    let associated = two(
        "pub struct A; impl A { pub fn new() -> Self { crate::b::B::VALUE } }",
        "pub struct B; impl B { pub const VALUE: crate::a::A = crate::a::A; }",
    );
    assert_eq!(associated, ["a.rs b.rs"]);
}

#[test]
fn paths_in_macros() {
    let arguments = two("pub fn a() { println!(\"{}\", crate::b::b()) }", "pub fn b() -> u32 { crate::a::a(); 1 }");
    assert_eq!(arguments, ["a.rs b.rs"]);
    let rules = two(
        "macro_rules! a { () => { $crate::b::b() } } pub(crate) use a;",
        "pub fn b() {} pub fn c() { crate::a::a!() }",
    );
    assert_eq!(rules, ["a.rs b.rs"]);
    let made =
        two("crate::b::shape! { struct A; }", "macro_rules! shape { () => {} } use shape; type B = crate::a::A;");
    assert_eq!(made, ["a.rs b.rs"]);
    let attributes = two("#[arg(parser = crate::b::b)] pub struct A;", "pub fn b() -> crate::a::A { todo!() }");
    assert_eq!(attributes, ["a.rs b.rs"]);
}

#[test]
fn re_exports_lead_to_the_file_that_defines() {
    let by_name = [
        ("lib.rs", "mod facade; mod b; pub use facade::Thing as Renamed;"),
        ("facade.rs", "mod a; pub use a::A as Thing;"),
        ("facade/a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use crate::Renamed; pub struct B(Vec<Renamed>);"),
    ];
    assert_eq!(circles_of(&by_name), ["b.rs facade/a.rs"]);
    let by_glob = [
        ("lib.rs", "mod facade; mod b; pub use facade::*;"),
        ("facade.rs", "mod a; pub use a::*;"),
        by_name[2],
        ("b.rs", "pub struct B(Vec<crate::A>);"),
    ];
    assert_eq!(circles_of(&by_glob), ["b.rs facade/a.rs"]);
    // What a macro makes has no name that can be seen in the syntax.
    let made = [by_glob[0], by_glob[1], ("facade/a.rs", "make! { struct A(crate::b::B) }"), by_glob[3]];
    assert_eq!(circles_of(&made), ["b.rs facade/a.rs"]);
    let unnamed = two("make!(crate::b::B);", "pub struct B(Vec<crate::a::Made>);");
    assert_eq!(unnamed, ["a.rs b.rs"]);
    // A function and the module that it's in, of one name.
    let of_one_name = [
        ("lib.rs", "mod a; mod b; pub use a::a;"),
        ("a.rs", "pub fn a() { crate::b::b() }"),
        ("b.rs", "pub fn b() { crate::a() }"),
    ];
    assert_eq!(circles_of(&of_one_name), ["a.rs b.rs"]);
}

#[test]
fn a_library_and_the_binary_beside_it() {
    let files = [
        ("lib.rs", "pub mod a;"),
        ("a.rs", "pub struct A;"),
        ("main.rs", "mod cli; mod terminal; fn main() { cli::run() }"),
        ("cli.rs", "use crate::terminal::Terminal; pub type Line = library::a::A; pub fn run() {}"),
        ("terminal.rs", "pub struct Terminal(crate::cli::Line);"),
    ];
    assert_eq!(circles_of(&files), ["cli.rs terminal.rs"]);
    let used = uses_of(&files);
    assert_eq!(Vec::from_iter(used["cli.rs"].keys()), ["a.rs", "terminal.rs"]);
    assert!(used["cli.rs"]["a.rs"].contains("A"));
}

#[test]
fn a_facade_is_no_circle() {
    let files = [
        ("lib.rs", "mod facade; mod error; pub use error::Error; pub use facade::*;"),
        ("error.rs", "pub struct Error;"),
        ("facade/mod.rs", "mod a; mod b; pub use a::A; pub use b::*; pub(crate) fn shared() {}"),
        // Both use what the facade defines, and each other by way of the crate's root, one way.
        ("facade/a.rs", "use crate::Error; pub struct A(Error, crate::B); pub fn a() { super::shared() }"),
        ("facade/b.rs", "use super::shared; pub struct B; fn b() { shared() }"),
    ];
    assert_eq!(circles_of(&files), [""; 0]);
}

#[test]
fn one_way_is_no_circle() {
    let siblings = two("pub struct A; mod b { pub struct B; } use b::B;", "use crate::a::A; pub struct B(A);");
    assert_eq!(siblings, [""; 0]);
    let parent = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod child; pub const WIDTH: usize = 3;"),
        ("a/child.rs", "pub struct Child([f32; super::WIDTH]);"),
    ];
    assert_eq!(circles_of(&parent), [""; 0]);
    // A field, a method and another package bear the names of modules.
    let names = two("use std::b; pub fn a(x: X) { x.b; x.b(); ::b::b() }", "use crate::a::a; pub fn b() { a(X) }");
    assert_eq!(names, [""; 0]);
}

#[test]
fn globs_bring_what_may_be_seen() {
    let each_other = two("use crate::b::*; pub fn a() { b() }", "use crate::a::*; pub fn b() { a(); neither() }");
    assert_eq!(each_other, ["a.rs b.rs"]);
    let passed_on =
        two("pub use crate::b::*; pub fn a() { b() }", "pub use crate::a::*; pub fn b() { a(); neither() }");
    assert_eq!(passed_on, ["a.rs b.rs"]);
    let private = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "fn shared() {} pub struct A(crate::c::C);"),
        ("b.rs", "pub fn shared() {}"),
        ("c.rs", "use crate::a::*; use crate::b::*; pub struct C; fn c() { shared() }"),
    ];
    assert_eq!(circles_of(&private), [""; 0]);
}

#[test]
fn what_tests_use_is_no_circle() {
    let a = "pub struct A { #[cfg(test)] seen: crate::b::B }
        pub fn a() { #[cfg(test)] crate::b::b(); #[cfg(all(test, unix))] let _ = crate::b::b();
            #[cfg(test)] self::near().far(crate::b::b()); }
        #[cfg(test)] use crate::b::B; #[cfg(test)] fn c() { crate::b::b() }
        #[cfg(test)] mod tests { use super::*; use crate::b::B; }
        #[cfg(test)] mod elsewhere;";
    let b = "use crate::a::A; pub struct B(A); pub fn b() {}";
    assert_eq!(two(a, b), [""; 0]);
    // The same for all but tests is one.
    assert_eq!(two(&a.replace("cfg(test)] fn", "cfg(unix)] fn"), b), ["a.rs b.rs"]);
}

#[test]
fn rooms_are_used_downwards() {
    let files = [
        ("src/lib.rs", "mod ground; mod middle; mod top; pub use top::Top;"),
        ("src/ground.rs", "pub struct Ground; pub type Far = crate::Top;"),
        ("src/middle/mod.rs", "mod inner; pub struct Middle(crate::ground::Ground, inner::Inner);"),
        ("src/middle/inner.rs", "pub struct Inner;"),
        ("src/top.rs", "pub struct Top(crate::middle::Middle);"),
    ];
    let uses = uses_of(&files);
    assert_eq!(upwards(&uses, "src/", &["top", "middle", "ground", "lib"]).len(), 2);
    let found = upwards(&uses, "src/", &["lib", "ground", "middle", "top"]);
    assert_eq!(found, ["src/ground.rs -> src/top.rs: Top"]);
    let found = upwards(&uses, "src/", &["lib", "ground", "middle"]);
    assert_eq!(found, ["src/top.rs has no room in the plan"]);
    let found = upwards(&uses, "src/", &["lib", "cellar", "ground", "middle", "top"]);
    assert_eq!(found, ["src/cellar is in the plan and has no file", "src/ground.rs -> src/top.rs: Top"]);
    assert_eq!(upwards(&uses, "elsewhere/", &[]), [""; 0]);
}
