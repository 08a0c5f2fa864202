//! The trait of engines, which run a frozen network on whatever device: tensors of images in, features (and other taps) out.

use std::fmt;

use crate::error::Error;
use crate::tensor::{ImageBytes, ImageTensor};

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
/// An image is an [`ImageBytes`] or [`ImageTensor`] of [`input_size`](Self::input_size), prepared as the weights' [`Recipe`](crate::Recipe)
/// says. A tap gives [`len_of`](Self::len_of) values for each, channels last.
///
/// # Example
/// ```
/// use resnet::{Engine, Error, ImageBytes, Tap};
///
/// /// Features of any number of photos, of which two batches are on their way at a time.
/// fn features(engine: &dyn Engine, photos: &[ImageBytes]) -> Result<Vec<f32>, Error> {
///     let (mut features, mut flying) = (Vec::new(), None::<resnet::Pending>);
///     for batch in photos.chunks(engine.batch()) {
///         let next = engine.submit_bytes(batch)?;
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

    /// Says how many batches keep it at work, started and not collected: the one that it works on, and the one after.
    fn flights(&self) -> usize {
        2
    }

    /// Starts a pass over up to a batch of images. The next may be started before this one is collected.
    ///
    /// # Errors
    /// What [`check`](Self::check) finds; what the engine itself can't do.
    fn submit(&self, images: &[ImageTensor]) -> Result<Pending, Error>;

    /// Starts a pass over photos that aren't normalised yet, with the same results: an engine may do it where the photos go. As it
    /// stands, this is left to the CPU, and [`submit`](Self::submit) follows.
    ///
    /// # Errors
    /// What [`check_bytes`](Self::check_bytes) finds; what the engine itself can't do.
    fn submit_bytes(&self, images: &[ImageBytes]) -> Result<Pending, Error> {
        self.check_bytes(images)?;
        self.submit(&images.iter().map(ImageBytes::tensor).collect::<Vec<_>>())
    }

    /// Checks that a pass can take these images.
    ///
    /// # Errors
    /// [`Error::Options`] when there are none, more than the batch, or one of another size.
    fn check(&self, images: &[ImageTensor]) -> Result<(), Error> {
        let sizes = images.iter().map(|image| ([image.height, image.width], image.data.len()));
        check_sizes(sizes, self.batch(), self.input_size())
    }

    /// Checks that a pass can take these photos.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Options`] too where one is normalised in another way than the first.
    fn check_bytes(&self, images: &[ImageBytes]) -> Result<(), Error> {
        let sizes = images.iter().map(|image| ([image.height, image.width], image.data.len()));
        check_sizes(sizes, self.batch(), self.input_size())?;
        let normalised = |image: &ImageBytes| (image.mean, image.std);
        match images.iter().position(|image| normalised(image) != normalised(&images[0])) {
            Some(place) => Err(Error::Options(format!("image {place} has another mean or deviation than the first"))),
            None => Ok(()),
        }
    }
}

/// Checks sizes and numbers of values of images, for a batch of such a size.
fn check_sizes(
    images: impl ExactSizeIterator<Item = ([usize; 2], usize)>,
    batch: usize,
    expected: [usize; 2],
) -> Result<(), Error> {
    if images.len() == 0 || images.len() > batch {
        return Err(Error::Options(format!("{} images for a batch of {batch}", images.len())));
    }
    for (place, (got, values)) in images.enumerate() {
        if got != expected || values != expected[0] * expected[1] * 3 {
            return Err(Error::Options(format!("image {place} is {got:?}, the backbone takes {expected:?}")));
        }
    }
    Ok(())
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
