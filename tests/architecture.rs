//! The plan of the house, held: see ARCHITECTURE.md.

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Which crates each crate may use: `shaders → kernels → resnet → trainer`, the trainer's head also on kernels itself.
const ARROWS: [(&str, &[&str]); 6] = [
    ("shaders", &[]),
    ("kernels", &["shaders"]),
    ("resnet", &["kernels"]),
    ("trainer", &["kernels", "resnet"]),
    ("testkit", &["kernels"]),
    ("rehead", &[]),
];

fn packages() -> BTreeMap<String, Package> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().other_options(["--offline".into()]).exec();
    let metadata = metadata.expect("cargo metadata runs");
    metadata.packages.into_iter().map(|package| (package.name.to_string(), package)).collect()
}

#[test]
fn crates_use_each_other_one_way() {
    let packages = packages();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        packages.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        known,
        "a crate without a place in the plan"
    );
    for (name, allowed) in ARROWS {
        let used: BTreeSet<&str> = packages[name]
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
            .map(|dependency| dependency.name.as_str())
            .filter(|dependency| known.contains(dependency))
            .collect();
        assert_eq!(used, allowed.iter().copied().collect(), "what {name} uses");
    }
}

#[test]
fn only_the_test_crates_stay_unpublished() {
    let unpublished: Vec<String> = packages()
        .into_values()
        .filter(|package| package.publish.as_ref().is_some_and(Vec::is_empty))
        .map(|package| package.name.to_string())
        .collect();
    assert_eq!(unpublished, ["rehead", "testkit"]);
}

/// The stems of the files in a folder with an extension, less some.
fn stems(folder: &str, extension: &str, less: &[&str]) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder is readable").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|stem| !less.contains(&stem.as_str()))
        .collect()
}

#[test]
fn a_kernel_is_five_files_of_one_name() {
    let kernels = stems("crates/kernels/src/ops", "rs", &["mod"]);
    assert!(kernels.len() > 10, "{kernels:?}");
    assert_eq!(stems("crates/kernels/src/reference", "rs", &["mod"]), kernels, "twins");
    assert_eq!(stems("benches/kernels", "rs", &["main"]), kernels, "benchmarks");
    let tests = stems("tests/gpu", "rs", &["main"]);
    assert!(tests.is_superset(&kernels), "tests: {:?} are missing", kernels.difference(&tests));
    let shaders = stems("shaders", "wgsl", &[]);
    assert!(shaders.is_superset(&kernels), "shaders: {:?} are missing", kernels.difference(&shaders));
    for shader in shaders {
        let belongs = kernels.iter().any(|kernel| {
            shader.strip_prefix(kernel.as_str()).is_some_and(|variant| variant.is_empty() || variant.starts_with('_'))
        });
        assert!(belongs, "{shader}.wgsl is no kernel's");
    }
}

#[test]
fn every_file_is_listed() {
    let listed: BTreeSet<String> = shaders::ALL.iter().map(|shader| shader.name.to_owned()).collect();
    assert_eq!(listed, stems("shaders", "wgsl", &[]), "shaders::ALL");
    for folder in ["tests/gpu", "benches/kernels"] {
        let main = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("main.rs")).unwrap();
        for stem in stems(folder, "rs", &["main"]) {
            assert!(main.contains(&format!("mod {stem};\n")), "{folder}/main.rs doesn't declare {stem}");
        }
    }
}

#[test]
fn the_readme_shows_code_that_is_compiled() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (readme, example) = (read("README.md"), read("crates/kernels/examples/embed.rs"));
    let blocks: Vec<&str> = readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 1);
    assert!(example.contains(blocks[0]), "README.md and embed.rs differ");
}
