//! Checks that the code keeps to the plan of the house: see ARCHITECTURE.md.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/planted.rs"]
mod planted;
#[path = "architecture/syntax.rs"]
mod syntax;
#[path = "architecture/uses.rs"]
mod uses;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use circles::{circles, describe, upwards};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::LazyLock,
};
use uses::Uses;

/// Which crates each crate may use: `shaders → kernels → resnet → trainer → python`, the trainer's head also on kernels itself; `resnet → native → trainer`.
const ARROWS: [(&str, &[&str]); 8] = [
    ("shaders", &[]),
    ("kernels", &["shaders"]),
    ("resnet", &["kernels"]),
    ("native", &["resnet"]),
    ("trainer", &["kernels", "native", "resnet"]),
    ("python", &["trainer"]),
    ("testkit", &["kernels"]),
    ("rehead", &[]),
];

/// The rooms of a crate, which are the files and folders of its `src`, from the ground up: a room uses only rooms before it.
const ROOMS: &[(&str, &[&str])] = &[(
    "crates/trainer/src/",
    &[
        "lib",
        "words",
        "error",
        "digest",
        "random",
        "untrained",
        "progress",
        "threads",
        "files",
        "outputs",
        "photos",
        "data",
        "machine",
        "features",
        "head",
        "run",
        "report",
        "export",
        "shards",
        "hub",
        "session",
        "tasks",
        "demo",
        "cli",
        "main",
    ],
)];

/// Files of more than 500 lines without their tests, and why.
const LONG: &[(&str, &str)] = &[("crates/trainer/tests/hub.rs", "a hub in the test, and every way in which one fails")];

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

/// The uses between the files of every package, by their paths from the root.
static USES: LazyLock<Uses> = LazyLock::new(|| packages().values().flat_map(uses_in).collect());

fn uses_in(package: &Package) -> Uses {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let targets: Vec<(Option<String>, String)> = package
        .targets
        .iter()
        .map(|target| {
            let path = target.src_path.strip_prefix(root).expect("a package is in the workspace");
            (target.is_lib().then(|| target.name.replace('-', "_")), path.as_str().replace('\\', "/"))
        })
        .collect();
    let targets: Vec<_> = targets.iter().map(|(name, path)| (name.as_deref(), path.as_str())).collect();
    uses::uses(&targets, &|path| fs::read_to_string(root.join(path)).ok())
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let found: Vec<String> = circles(&USES).iter().map(|circle| describe(&USES, circle)).collect();
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

#[test]
fn rooms_use_only_rooms_below() {
    for (source, rooms) in ROOMS {
        let upwards = upwards(&USES, source, rooms);
        assert!(upwards.is_empty(), "\n{}", upwards.join("\n"));
    }
}

#[test]
fn a_file_says_what_it_holds_and_is_short() {
    let (mut long, mut without_header) = (BTreeMap::new(), Vec::new());
    for file in USES.keys() {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        // From the tests' first line to the brace that closes them, at the margin as everything that rustfmt writes.
        let (before, after) = match text.split_once("\n#[cfg(test)]\nmod tests {\n") {
            Some((before, rest)) => (before, rest.split_once("\n}\n").map_or("", |(_, after)| after)),
            None => (text.as_str(), ""),
        };
        let lines = before.lines().count() + after.lines().count();
        if lines > 500 {
            long.insert(file.as_str(), lines);
        }
        if !text.starts_with("//!") {
            without_header.push(file.as_str());
        }
    }
    assert!(without_header.is_empty(), "files without `//!`: {without_header:?}");
    let known: BTreeSet<&str> = LONG.iter().map(|(file, _)| *file).collect();
    assert_eq!(long.keys().copied().collect::<BTreeSet<_>>(), known, "files of more than 500 lines: {long:?}");
}

#[test]
fn only_the_wheel_and_the_test_crates_stay_unpublished() {
    let unpublished: Vec<String> = packages()
        .into_values()
        .filter(|package| package.publish.as_ref().is_some_and(Vec::is_empty))
        .map(|package| package.name.to_string())
        .collect();
    assert_eq!(unpublished, ["python", "rehead", "testkit"]);
}

/// Lists the stems of the files in a folder with an extension, less some.
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
    assert_eq!(stems("benches/kernels", "rs", &["main", "measure"]), kernels, "benchmarks");
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
