//! A network for tests, which runs nowhere.

use resnet::{Engine, Error, ImageTensor, Pending, Recipe, Resize, Tap};

use crate::features::engines::Engines;
use crate::photos::Preparation;

type Answer = dyn Fn(&[ImageTensor]) -> Result<Vec<f32>, Error> + Send + Sync;

/// An engine for images of 4x4 that answers what a function says.
pub(crate) struct Fake {
    batch: usize,
    answer: Box<Answer>,
}

impl Fake {
    pub(crate) fn new(
        batch: usize,
        answer: impl Fn(&[ImageTensor]) -> Result<Vec<f32>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { batch, answer: Box::new(answer) }
    }
}

impl Engine for Fake {
    fn batch(&self) -> usize {
        self.batch
    }

    fn input_size(&self) -> [usize; 2] {
        [4, 4]
    }

    fn len_of(&self, tap: Tap) -> Option<usize> {
        (tap == Tap::Features).then_some(3)
    }

    fn submit(&self, images: &[ImageTensor]) -> Result<Pending, Error> {
        self.check(images)?;
        let values = (self.answer)(images)?;
        Ok(Pending::new(move |_| Ok(values.clone())))
    }
}

/// Engines that answer what a function says.
pub(crate) fn engines(
    answer: impl Fn(&[ImageTensor]) -> Result<Vec<f32>, Error> + Clone + Send + Sync + 'static,
) -> Engines<'static> {
    Engines::new(move |batch| Ok(Box::new(Fake::new(batch, answer.clone()))))
}

/// Gives the colour of each image's first pixel.
pub(crate) fn colours(images: &[ImageTensor]) -> Vec<f32> {
    images.iter().flat_map(|image| image.data[..3].to_vec()).collect()
}

/// Prepares a photo as an image of 4x4, its colours in [0, 1].
pub(crate) fn preparation() -> Preparation {
    let recipe = Recipe {
        input_size: [4, 4],
        resize: Resize::Exact([4, 4]),
        mean: [0.0; 3],
        std: [1.0; 3],
        ..Recipe::default()
    };
    Preparation { recipe, ..Preparation::default() }
}
