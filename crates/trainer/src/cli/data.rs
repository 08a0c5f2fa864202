//! The options of where photos come from, for what has columns.

use std::path::Path;

use clap::Args;

use crate::data::{Columns, Origin, Role};

/// How tables of photos are read.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The column of a table that holds the path, label, labels, split, weight or group, where it isn't called so: `label=species`;
    /// `split=` where none does. For several, several times
    #[arg(long = "column", value_name = "WHAT=NAME", value_parser = column)]
    columns: Vec<(Role, String)>,
}

impl DataArgs {
    /// Gives the columns that were told.
    pub(crate) fn columns(&self) -> Columns {
        let mut columns = Columns::default();
        self.columns.iter().for_each(|(role, name)| columns.name(*role, name));
        columns
    }

    /// Says that photos come from a path.
    pub(crate) fn origin(&self, path: &Path) -> Origin {
        Origin { columns: self.columns(), ..Origin::from(path) }
    }
}

fn column(text: &str) -> Result<(Role, String), String> {
    let told = text.split_once('=').and_then(|(role, name)| Some((Role::named(role)?, name.to_owned())));
    told.ok_or_else(|| {
        let names = Role::ALL.map(Role::name).join(", ");
        format!("expected WHAT=NAME, as in label=species; WHAT is one of {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_by_what_they_hold() {
        assert_eq!(column("label=a=b"), Ok((Role::Label, "a=b".to_owned())));
        assert_eq!(column("split="), Ok((Role::Split, String::new())));
        for bad in ["label", "species=label", "=a"] {
            assert!(column(bad).unwrap_err().contains("one of path, label, labels, split, weight, group"), "{bad}");
        }
        let args = DataArgs { columns: vec![(Role::Label, "species".to_owned())] };
        assert_eq!(args.origin("a.csv".as_ref()).columns.label.as_deref(), Some("species"));
    }
}
