//! Parses the name of a backbone: a short name, a path, or a repository at a revision.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::hub::embedded::EMBEDDED;
use crate::hub::files::{CONFIG, WEIGHTS};

/// A short name and the repository that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultRepo {
    /// torchvision's name of the network.
    pub name: &'static str,
    /// The repository.
    pub repo: &'static str,
    /// Its licence, as its model card states it.
    pub license: &'static str,
}

/// The short names. Each stands for timm's copy of torchvision's first ImageNet-1k weights: one recipe for all of them, a
/// permissive licence, and features that were trained without the label smoothing, mixing and long schedules of later recipes, which
/// raise ImageNet's accuracy but make features less fit for other classes.
///
/// # Reference
/// Kornblith et al., *Why Do Better Loss Functions Lead to Less Transferable Features?*, 2021.
pub const DEFAULTS: [DefaultRepo; 9] = [
    torchvision("resnet18", "timm/resnet18.tv_in1k"),
    torchvision("resnet34", "timm/resnet34.tv_in1k"),
    torchvision("resnet50", "timm/resnet50.tv_in1k"),
    torchvision("resnet101", "timm/resnet101.tv_in1k"),
    torchvision("resnet152", "timm/resnet152.tv_in1k"),
    torchvision("wide_resnet50_2", "timm/wide_resnet50_2.tv_in1k"),
    torchvision("wide_resnet101_2", "timm/wide_resnet101_2.tv_in1k"),
    torchvision("resnext50_32x4d", "timm/resnext50_32x4d.tv_in1k"),
    torchvision("resnext101_32x8d", "timm/resnext101_32x8d.tv_in1k"),
];

/// The backbone of those who name none: the smallest, whose features do well.
pub const DEFAULT: &str = DEFAULTS[0].name;

const fn torchvision(name: &'static str, repo: &'static str) -> DefaultRepo {
    DefaultRepo { name, repo, license: "bsd-3-clause" }
}

/// A repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    /// Its name, `org/name`.
    pub id: String,
    /// A branch, a tag, or a commit in 40 hexadecimal digits.
    pub revision: String,
}

impl Repo {
    /// Words how to get it on another machine, for this one has no connection.
    pub fn by_hand(&self, endpoint: &str) -> String {
        let Self { id, revision } = self;
        format!(
            "get {WEIGHTS} and {CONFIG} from {endpoint}/{id}/tree/{revision} on another machine, put them into a folder, and give that \
            folder in place of the name"
        )
    }
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The backbone that is part of this program.
    Embedded,
    /// A file, there or not.
    File(PathBuf),
    /// A folder that is there.
    Folder(PathBuf),
    /// A repository of the hub, there or not.
    Repo(Repo),
}

impl Source {
    /// Tells a short name, a path and a repository apart. A path that exists is taken before a repository; what looks like a path
    /// (`./x`, `a/b/c`, `x.safetensors`) is never a repository.
    ///
    /// # Errors
    /// It can be none of them.
    pub fn parse(name: &str) -> Result<Self> {
        let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
        let path = PathBuf::from(name);
        if let Some(default) = DEFAULTS.iter().find(|default| default.name == id) {
            return Ok(Self::Repo(Repo { id: default.repo.to_owned(), revision: revision_of(name, revision)? }));
        }
        if id == EMBEDDED {
            let problem = "it is part of this program, and has no revisions";
            return if name == id { Ok(Self::Embedded) } else { Err(error(name, problem, "leave out what follows @")) };
        }
        if path.is_dir() {
            return Ok(Self::Folder(path));
        }
        let ends = [".safetensors", ".bin", ".pth", ".pt", ".tar", ".ckpt", ".onnx", ".h5", ".gguf", ".json", ".npz"];
        let file_like = ends.iter().any(|end| id.to_ascii_lowercase().ends_with(end));
        let path_like = name.starts_with(['.', '/', '~']) || name.contains('\\') || id.matches('/').count() > 1;
        if path.exists() || file_like || path_like {
            return Ok(Self::File(path));
        }
        let fine = |part: &str| {
            let inner = part.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
            inner && (1..=96).contains(&part.len()) && !part.contains("--") && !part.contains("..") && {
                let edge = ['-', '.'];
                !part.starts_with(edge) && !part.ends_with(edge) && !part.ends_with(".git")
            }
        };
        match id.split_once('/') {
            Some((org, repo)) if fine(org) && fine(repo) => {
                Ok(Self::Repo(Repo { id: id.to_owned(), revision: revision_of(name, revision)? }))
            }
            Some(_) => Err(error(name, "no such file, and no repository can be called so", "expected org/name")),
            None => {
                let known: Vec<&str> = DEFAULTS.iter().map(|default| default.name).chain([EMBEDDED]).collect();
                let advice =
                    format!("expected a safetensors file, a model folder, org/name, or one of {}", known.join(", "));
                Err(error(name, "there is no such file or folder, and no such short name", &advice))
            }
        }
    }
}

/// Checks a revision, which becomes part of addresses and of paths in the cache.
fn revision_of(name: &str, revision: &str) -> Result<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-._/+".contains(c);
    let parts = || revision.split('/');
    if revision.len() <= 200
        && revision.chars().all(fine)
        && parts().all(|part| !part.is_empty() && !part.starts_with('.'))
    {
        Ok(revision.to_owned())
    } else {
        let problem = format!("{revision:?} can't be a revision");
        Err(error(name, &problem, "expected org/name@revision: a branch, a tag, or a commit's 40 digits"))
    }
}

fn error(name: &str, problem: &str, advice: &str) -> Error {
    Error::Weights { name: name.to_owned(), problem: problem.to_owned(), advice: advice.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let repo = |id: &str, revision: &str| Source::Repo(Repo { id: id.into(), revision: revision.into() });
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("weights"), "x").unwrap();
        for (name, expected) in [
            ("resnet18", repo("timm/resnet18.tv_in1k", "main")),
            ("resnet18@v1", repo("timm/resnet18.tv_in1k", "v1")),
            ("timm/resnet50.a1_in1k", repo("timm/resnet50.a1_in1k", "main")),
            ("microsoft/resnet-18@refs/pr/1", repo("microsoft/resnet-18", "refs/pr/1")),
            ("x.safetensors", Source::File("x.safetensors".into())),
            ("a/x.pth", Source::File("a/x.pth".into())),
            ("./resnet18", Source::File("./resnet18".into())),
            ("demo", Source::Embedded),
            ("./demo", Source::File("./demo".into())),
            ("a/b/c", Source::File("a/b/c".into())),
            (&at("weights"), Source::File(folder.path().join("weights"))),
            (&at(""), Source::Folder(folder.path().join(""))),
        ] {
            assert_eq!(Source::parse(name).unwrap(), expected, "{name}");
        }
        for name in [
            "resnet19",
            "demo@main",
            "",
            "a/",
            "/",
            "a/b--c",
            "a/..b",
            "-a/b",
            "a/b c",
            "a/b@",
            "a/b@../x",
            "a/b@x/../y",
            "a/b@x//y",
            "a/b@-/\n",
        ] {
            let parsed = Source::parse(name);
            assert!(matches!(parsed, Err(Error::Weights { .. })) || name == "/", "{name}: {parsed:?}");
        }
    }

    #[test]
    fn every_published_network_has_a_default() {
        let defaults: Vec<_> = DEFAULTS.iter().map(|default| default.name).collect();
        for name in &defaults {
            assert!(resnet::Architecture::named(name, None).is_some(), "{name}");
        }
        assert!(
            ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"].iter().all(|name| defaults.contains(name))
        );
    }
}
