//! How a photo becomes what a network takes: reading, limits and recipe, which train and predict must share.

use resnet::{ImageBytes, ImageView, Recipe};

use crate::photos::limits::Limits;
use crate::photos::picture::Picture;
use crate::photos::reading::Reading;
use crate::photos::view::View;

/// How a photo becomes what a network takes: how it is read, within which limits, and what the weights expect of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preparation {
    /// Resize, crop and normalisation.
    pub recipe: Recipe,
    /// Orientation and transparency.
    pub reading: Reading,
    /// Bounds on the file and its pixels.
    pub limits: Limits,
    /// Which view of it is shown.
    pub view: View,
}

impl Preparation {
    /// Resizes and crops a decoded photo; the engine normalises it. `spare` is one that nobody needs any more, for its memory's sake.
    ///
    /// # Errors
    /// The recipe can't be followed.
    pub fn image(&self, picture: &Picture, spare: ImageBytes) -> Result<ImageBytes, resnet::Error> {
        let mut image = spare;
        let view = ImageView::new(picture.width, picture.height, &picture.rgb)?;
        image.prepare_at(view, &self.recipe, self.view.crop)?;
        if self.view.mirrored {
            image.mirror();
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirrored_view_is_the_mirror_image_of_the_plain_one() {
        let picture = Picture { width: 40, height: 30, rgb: (0..3600).map(|i| (i * i % 251) as u8).collect() };
        let recipe = Recipe { input_size: [16, 20], resize: resnet::Resize::ShorterSide(24), ..Recipe::default() };
        for crop in resnet::Crop::ALL {
            let image = |mirrored| {
                let view = View { crop, mirrored };
                Preparation { recipe: recipe.clone(), view, ..Default::default() }
                    .image(&picture, ImageBytes::default())
            };
            let (mut plain, mirrored) = (image(false).unwrap(), image(true).unwrap());
            assert_ne!(plain, mirrored);
            plain.mirror();
            assert_eq!(plain, mirrored);
        }
    }

    #[test]
    fn spare_memory_is_used_again_and_leaves_nothing_behind() {
        let preparation =
            Preparation { recipe: Recipe { input_size: [8, 9], ..Recipe::default() }, ..Default::default() };
        let picture = Picture { width: 5, height: 4, rgb: (0..60).collect() };
        let fresh = preparation.image(&picture, ImageBytes::default()).unwrap();
        assert_eq!((fresh.height, fresh.width, fresh.data.len()), (8, 9, 8 * 9 * 3));
        let spare = ImageBytes { height: 1, width: 2, data: vec![77; 1000], mean: [9.0; 3], std: [9.0; 3] };
        let place = spare.data.as_ptr();
        let again = preparation.image(&picture, spare).unwrap();
        assert_eq!((&again, again.data.as_ptr()), (&fresh, place));
        let wrong = Preparation { recipe: Recipe { std: [0.0; 3], ..Recipe::default() }, ..Default::default() };
        assert!(wrong.image(&picture, ImageBytes::default()).is_err());
    }
}
