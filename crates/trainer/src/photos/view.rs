//! Views: a photo as a network is shown it more than once, mirrored or with other parts cut out, each a preparation of its own.

use std::fmt;
use std::str::FromStr;

use resnet::{Crop, Recipe, Resize};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One way to show a photo. The default is the plain one, which the recipe alone describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Which part of the resized photo is cut out.
    pub crop: Crop,
    /// Whether left and right change places, after that.
    pub mirrored: bool,
}

impl View {
    /// Tells whether it is the plain one.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Words it: nothing for the plain one.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let crop = match self.crop {
            Crop::Centre => "",
            Crop::TopLeft => "top left",
            Crop::TopRight => "top right",
            Crop::BottomLeft => "bottom left",
            Crop::BottomRight => "bottom right",
        };
        let apart = if self.mirrored && !crop.is_empty() { ", " } else { "" };
        write!(f, "{crop}{apart}{}", if self.mirrored { "mirrored" } else { "" })
    }
}

/// The views of each photo: the plain one and what is asked for besides. Written and read as `flip`, `crops`, `flip,crops`; `plain` is the default.
///
/// # Reference
/// Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012, section 4.1 (ten views).
///
/// # Examples
/// ```
/// use trainer::photos::Views;
///
/// let counts = ["plain", "flip", "crops", "flip,crops"].map(|views| views.parse::<Views>().unwrap().all().len());
/// assert_eq!(counts, [1, 2, 5, 10]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Views {
    /// The mirror image of each.
    pub flip: bool,
    /// The four corners of the resized photo.
    pub crops: bool,
}

impl Views {
    /// Lists them, the plain one first.
    pub fn all(&self) -> Vec<View> {
        let crops = if self.crops { &Crop::ALL[..] } else { &Crop::ALL[..1] };
        let mirrored = if self.flip { &[false, true][..] } else { &[false] };
        mirrored.iter().flat_map(|&mirrored| crops.iter().map(move |&crop| View { crop, mirrored })).collect()
    }

    /// Tells whether there is the plain one alone.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that a recipe leaves something to crop, where that is asked for.
    ///
    /// # Errors
    /// It resizes photos to what the network takes.
    pub fn check(&self, recipe: &Recipe) -> Result<()> {
        let [height, width] = recipe.input_size;
        match recipe.resize {
            Resize::Exact([h, w]) if self.crops && h <= height && w <= width => {
                let expected =
                    "flip alone: the recipe resizes photos to what the network takes, which leaves nothing to crop";
                Err(Error::InvalidOption { option: "views", value: self.to_string(), expected })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match (self.flip, self.crops) {
            (false, false) => "plain",
            (true, false) => "flip",
            (false, true) => "crops",
            (true, true) => "flip,crops",
        })
    }
}

impl FromStr for Views {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut views = Self::default();
        for name in text.split(',') {
            match name.trim() {
                "plain" => {}
                "flip" => views.flip = true,
                "crops" => views.crops = true,
                other => return Err(format!("{other:?} is none of flip, crops and plain")),
            }
        }
        Ok(views)
    }
}

impl TryFrom<String> for Views {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Views> for String {
    fn from(views: Views) -> Self {
        views.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_read_as_they_are_written() {
        for views in ["plain", "flip", "crops", "flip,crops"] {
            assert_eq!(views.parse::<Views>().unwrap().to_string(), views);
        }
        assert_eq!("crops, flip".parse::<Views>().unwrap(), Views { flip: true, crops: true });
        assert!("flips".parse::<Views>().unwrap_err().contains("\"flips\""));
        let all = Views { flip: true, crops: true }.all();
        assert!(all[0].is_plain() && all[1..].iter().all(|view| !view.is_plain()));
        let mut names: Vec<String> = all.iter().map(View::to_string).collect();
        assert_eq!(
            (&*names[0], &*names[1], &*names[5], &*names[9]),
            ("", "top left", "mirrored", "bottom right, mirrored")
        );
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 10);
    }

    #[test]
    fn crops_need_something_to_crop() {
        let exact = |resize| Recipe { resize: Resize::Exact(resize), ..Recipe::default() };
        let [crops, flip] = ["crops", "flip"].map(|views| views.parse::<Views>().unwrap());
        assert!(crops.check(&exact([224, 224])).unwrap_err().to_string().contains("leaves nothing to crop"));
        crops.check(&exact([256, 224])).unwrap();
        crops.check(&Recipe::default()).unwrap();
        flip.check(&exact([224, 224])).unwrap();
    }
}
