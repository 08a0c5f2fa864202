//! What is true of a photo: a class, a set of classes, or nothing that is known yet.

use serde::{Deserialize, Serialize};

/// A class, by its place among the labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Class(u32);

impl Class {
    /// Makes the class whose label is the `index`-th, counted from 0.
    ///
    /// # Panics
    /// Where `index` is more than 32 bits hold: there are no data sets of four thousand million classes.
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("fewer than 2^32 classes"))
    }

    /// Gives its place among the labels.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is true of a photo.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Nothing is known: it is to be predicted.
    #[default]
    None,
    /// It is of this class.
    Class(Class),
    /// It is of all these classes, which may be none; in ascending order. Of a data set in which one photo hasn't exactly one class all targets are sets.
    Set(Vec<Class>),
}

impl Target {
    /// Lists all its classes, in ascending order.
    pub fn classes(&self) -> &[Class] {
        match self {
            Self::Class(class) => std::slice::from_ref(class),
            Self::Set(classes) => classes,
            Self::None => &[],
        }
    }

    /// Gives the only class, where it has exactly one.
    pub fn class(&self) -> Option<Class> {
        match self.classes() {
            &[class] => Some(class),
            _ => None,
        }
    }
}

impl From<Class> for Target {
    fn from(class: Class) -> Self {
        Self::Class(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_class_is_a_class() {
        let [a, b] = [0, 3].map(Class::new);
        assert_eq!(Target::from(b).class(), Some(b));
        assert_eq!(Target::Set(vec![b]).class(), Some(b));
        assert_eq!((Target::Set(vec![a, b]).classes(), Target::from(b).classes()), (&[a, b][..], &[b][..]));
        for target in [Target::None, Target::Set(Vec::new()), Target::Set(vec![a, b])] {
            assert_eq!(target.class(), None, "{target:?}");
        }
    }
}
