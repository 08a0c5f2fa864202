//! The trait of engines, which run a frozen network on whatever device: tensors of images in, features (and other taps) out.

use std::fmt;

use crate::error::Error;
use crate::tensor::ImageTensor;

/// An output that a forward pass can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tap {
    /// The stem's last convolution with its ReLU, `[batch, height / 2, width / 2, stem_width]`.
    Stem,
    /// The max-pooling behind it, `[batch, height / 4, width / 4, stem_width]`.
    Pool,
    /// The output of stage 1 to 4, `[batch, height / 2^(s + 1), …, width of the stage]`.
    Stage(usize),
    /// The global average pool of stage 4, `[batch, features]`.
    Features,
    /// The file's own head on the features, `[batch, classes]`.
    Logits,
}

/// A frozen network that is ready to run somewhere: images in, what is tapped out.
///
/// [`Backbone`](crate::Backbone) runs it by WGSL kernels. Who works with a `dyn Engine` needs no GPU to be tested.
///
/// # Shapes
/// An image is an [`ImageTensor`] of [`input_size`](Self::input_size), normalised as the weights' [`Recipe`](crate::Recipe) says. A tap
/// gives [`len_of`](Self::len_of) values for each, channels last.
///
/// # Example
/// ```
/// use resnet::{Engine, Error, ImageTensor, Tap};
///
/// /// Features of any number of images, of which two batches are on their way at a time.
/// fn features(engine: &dyn Engine, images: &[ImageTensor]) -> Result<Vec<f32>, Error> {
///     let (mut features, mut flying) = (Vec::new(), None::<resnet::Pending>);
///     for batch in images.chunks(engine.batch()) {
///         let next = engine.submit(batch)?;
///         if let Some(mut done) = flying.replace(next) {
///             features.extend(done.wait(Tap::Features)?);
///         }
///     }
///     if let Some(mut last) = flying {
///         features.extend(last.wait(Tap::Features)?);
///     }
///     Ok(features)
/// }
/// ```
pub trait Engine: Send + Sync {
    /// Gives the most images that a pass takes.
    fn batch(&self) -> usize;

    /// Gives the rows and columns of an image.
    fn input_size(&self) -> [usize; 2];

    /// Counts the values that a tap gives for each image, if it was asked for.
    fn len_of(&self, tap: Tap) -> Option<usize>;

    /// Starts a pass over up to a batch of images. The next may be started before this one is collected.
    ///
    /// # Errors
    /// What [`check`](Self::check) finds; what the engine itself can't do.
    fn submit(&self, images: &[ImageTensor]) -> Result<Pending, Error>;

    /// Checks that a pass can take these images.
    ///
    /// # Errors
    /// [`Error::Options`] when there are none, more than the batch, or one of another size.
    fn check(&self, images: &[ImageTensor]) -> Result<(), Error> {
        let (batch, [height, width]) = (self.batch(), self.input_size());
        if images.is_empty() || images.len() > batch {
            return Err(Error::Options(format!("{} images for a batch of {batch}", images.len())));
        }
        for (place, image) in images.iter().enumerate() {
            if [image.height, image.width] != [height, width] || image.data.len() != height * width * 3 {
                let got = [image.height, image.width];
                let expected = [height, width];
                return Err(Error::Options(format!("image {place} is {got:?}, the backbone takes {expected:?}")));
            }
        }
        Ok(())
    }
}

/// A batch on its way through a network.
pub struct Pending(Box<dyn FnMut(Tap) -> Result<Vec<f32>, Error> + Send>);

impl Pending {
    /// Makes a pending batch of a function that waits for it: `read` gives the values of a tap, image after image, as often as it is asked.
    pub fn new(read: impl FnMut(Tap) -> Result<Vec<f32>, Error> + Send + 'static) -> Self {
        Self(Box::new(read))
    }

    /// Waits for the pass and gives what a tap has of it, image after image. Blocks the calling thread.
    ///
    /// # Errors
    /// [`Error::Options`] for a tap that wasn't asked for; [`Error::Device`] when the device was lost.
    pub fn wait(&mut self, tap: Tap) -> Result<Vec<f32>, Error> {
        (self.0)(tap)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
