//! Where photos come from and how that is read: all that is needed to open a data set again.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::columns::Columns;
use crate::words;

/// The path that stands for the standard input.
pub const INPUT: &str = "-";

/// Where photos come from, and how it is read where that isn't the usual way. In JSON it is its path alone where all else is usual.
///
/// ```
/// use trainer::data::{ClassOrder, Columns, Origin};
///
/// let columns = Columns { label: Some("species".to_owned()), ..Columns::default() };
/// let origin = Origin { columns, ..Origin::from("birds.csv") };
/// assert_eq!(origin.class_order, ClassOrder::Bytes);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Origin {
    /// A folder, a table (`.csv`, `.tsv`, `.jsonl`, `.parquet`), an archive (`.tar`, `.zip`), a folder of `.tar` or of `.parquet` files, or `-`
    /// for the standard input.
    pub path: PathBuf,
    /// Which columns of a table hold what, where they haven't their usual names.
    pub columns: Columns,
    /// The order of the classes.
    pub class_order: ClassOrder,
}

/// The order of the classes, which is that of a head's outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassOrder {
    /// By their bytes, as torchvision sorts folders: `cat10` stands before `cat2`.
    #[default]
    Bytes,
    /// By the numbers in them and without regard to case, as timm sorts folders: `cat2` stands before `cat10`.
    Natural,
}

impl FromStr for ClassOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bytes" => Ok(Self::Bytes),
            "natural" => Ok(Self::Natural),
            _ => Err("expected bytes or natural".to_owned()),
        }
    }
}

impl Origin {
    /// Tells whether photos are listed on the standard input, which can be read once only.
    pub fn is_input(&self) -> bool {
        self.path == Path::new(INPUT)
    }

    /// Makes the same origin mean the same from any folder.
    pub fn absolute(&self) -> Self {
        let path = match self.is_input() {
            true => self.path.clone(),
            false => std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone()),
        };
        Self { path, ..self.clone() }
    }
}

impl<P: Into<PathBuf>> From<P> for Origin {
    fn from(path: P) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

impl From<&Origin> for Origin {
    fn from(origin: &Origin) -> Self {
        origin.clone()
    }
}

/// An origin as JSON holds it. Runs of before there were tables hold a path.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Path(#[serde(serialize_with = "words::path")] PathBuf),
    Whole {
        #[serde(serialize_with = "words::path")]
        path: PathBuf,
        #[serde(default)]
        columns: Columns,
        #[serde(default)]
        class_order: ClassOrder,
    },
}

impl From<Written> for Origin {
    fn from(written: Written) -> Self {
        match written {
            Written::Path(path) => path.into(),
            Written::Whole { path, columns, class_order } => Self { path, columns, class_order },
        }
    }
}

impl From<Origin> for Written {
    fn from(origin: Origin) -> Self {
        let Origin { path, columns, class_order } = origin;
        match columns == Columns::default() && class_order == ClassOrder::default() {
            true => Self::Path(path),
            false => Self::Whole { path, columns, class_order },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_origin_is_written_as_its_path_and_any_is_read_back() {
        let json = |origin: &Origin| serde_json::to_string(origin).unwrap();
        let plain = Origin::from("/photos");
        assert_eq!(json(&plain), r#""/photos""#);
        let columns = Columns { label: Some("species".into()), ..Columns::default() };
        let told = Origin { columns, class_order: ClassOrder::Natural, ..Origin::from("/a.csv") };
        assert_eq!(json(&told), r#"{"path":"/a.csv","columns":{"label":"species"},"class_order":"natural"}"#);
        for origin in [plain, told] {
            assert_eq!(serde_json::from_str::<Origin>(&json(&origin)).unwrap(), origin);
        }
        assert!(serde_json::from_str::<Origin>("7").is_err());
    }

    #[test]
    fn the_standard_input_is_no_file() {
        assert_eq!(Origin::from("-").absolute().path, Path::new("-"));
        assert!(Origin::from("./-").absolute().path.is_absolute() && !Origin::from("./-").is_input());
    }
}
