//! How a photo becomes the tensor that a network takes: reading, limits and recipe, which train and predict must share.

use resnet::{ImageTensor, ImageView, Recipe, preprocess_into};

use crate::photos::limits::Limits;
use crate::photos::picture::Picture;
use crate::photos::reading::Reading;

/// How a photo becomes the tensor that a network takes: how it is read, within which limits, and what the weights expect of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preparation {
    /// Resize, crop and normalisation.
    pub recipe: Recipe,
    /// Orientation and transparency.
    pub reading: Reading,
    /// Bounds on the file and its pixels.
    pub limits: Limits,
}

impl Preparation {
    /// Resizes, crops and normalises a decoded photo. `spare` is a tensor that nobody needs any more, for its memory's sake.
    ///
    /// # Errors
    /// The recipe can't be followed.
    pub fn tensor(&self, picture: &Picture, spare: ImageTensor) -> Result<ImageTensor, resnet::Error> {
        let mut tensor = spare;
        preprocess_into(ImageView::new(picture.width, picture.height, &picture.rgb)?, &self.recipe, &mut tensor)?;
        Ok(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_memory_is_used_again_and_leaves_nothing_behind() {
        let preparation =
            Preparation { recipe: Recipe { input_size: [8, 9], ..Recipe::default() }, ..Default::default() };
        let picture = Picture { width: 5, height: 4, rgb: (0..60).collect() };
        let fresh = preparation.tensor(&picture, ImageTensor::default()).unwrap();
        assert_eq!((fresh.height, fresh.width, fresh.data.len()), (8, 9, 8 * 9 * 3));
        let spare = ImageTensor { height: 1, width: 2, data: vec![f32::NAN; 1000] };
        let place = spare.data.as_ptr();
        let again = preparation.tensor(&picture, spare).unwrap();
        assert_eq!((&again, again.data.as_ptr()), (&fresh, place));
        let wrong = Preparation { recipe: Recipe { std: [0.0; 3], ..Recipe::default() }, ..Default::default() };
        assert!(wrong.tensor(&picture, ImageTensor::default()).is_err());
    }
}
