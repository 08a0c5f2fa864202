//! Turns photos into what a network takes: resize, centre crop, normalise.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::recipe::{CropRounding, Recipe, Resize};
use crate::resize::{ImageView, resample};

/// A network's input for one photo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageTensor {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Normalised values, channels last: index `(row · width + column) · 3 + channel`. Batches of these are NHWC.
    pub data: Vec<f32>,
}

/// A photo that is resized and cropped, as bytes, with what normalises it: a quarter of an [`ImageTensor`], which it stands for.
///
/// An [`Engine`](crate::Engine) takes either, and gives the same for both.
///
/// ```
/// # fn main() -> Result<(), resnet::Error> {
/// use resnet::{ImageBytes, ImageView, Recipe, preprocess};
/// let (grey, recipe) = (vec![128; 500 * 375 * 3], Recipe::default());
/// let photo = ImageBytes::of(ImageView::new(500, 375, &grey)?, &recipe)?;
/// assert_eq!(photo.data, vec![128; 224 * 224 * 3]);
/// assert_eq!(photo.tensor(), preprocess(ImageView::new(500, 375, &grey)?, &recipe)?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageBytes {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Red, green and blue of each pixel, row by row.
    pub data: Vec<u8>,
    /// What is subtracted from a colour on a scale of 0 to 1, by channel.
    pub mean: [f32; 3],
    /// What it is then divided by.
    pub std: [f32; 3],
}

impl ImageBytes {
    /// Resizes and crops a photo, as `recipe` says.
    ///
    /// # Errors
    /// [`Error::Recipe`] if the recipe can't be followed.
    pub fn of(image: ImageView, recipe: &Recipe) -> Result<Self, Error> {
        let mut bytes = Self::default();
        bytes.prepare(image, recipe)?;
        Ok(bytes)
    }

    /// Becomes what [`ImageBytes::of`] gives. Its memory is used again: what it held doesn't matter.
    ///
    /// A resized photo smaller than the crop is padded with zero bytes (black) on all sides.
    ///
    /// # Numerics
    /// Resizing gives the bytes that Pillow gives; see [`resize`](crate::resize()). The long side is torchvision's; so is the crop's
    /// position, unless the recipe's [`CropRounding`] is another.
    ///
    /// # Errors
    /// [`Error::Recipe`] if the recipe can't be followed.
    pub fn prepare(&mut self, image: ImageView, recipe: &Recipe) -> Result<(), Error> {
        self.prepare_at(image, recipe, Crop::Centre)
    }

    /// Becomes what [`ImageBytes::prepare`] makes of it, with another part of the resized photo cut out.
    ///
    /// # Errors
    /// [`Error::Recipe`] if the recipe can't be followed.
    pub fn prepare_at(&mut self, image: ImageView, recipe: &Recipe, crop: Crop) -> Result<(), Error> {
        recipe.check()?;
        let resized = match recipe.resize {
            Resize::Exact(size) => size,
            Resize::ShorterSide(side) if image.width <= image.height => [side * image.height / image.width, side],
            Resize::ShorterSide(side) => [side, side * image.width / image.height],
        };
        let [height, width] = recipe.input_size;
        let (down, along) = crop.ends();
        let (rows, top) = window(resized[0], height, (down, recipe.crop_rounding));
        let (columns, left) = window(resized[1], width, (along, recipe.crop_rounding));
        let cropped = resample(image, resized, rows.clone(), columns.clone(), recipe.interpolation);

        (self.height, self.width, self.mean, self.std) = (height, width, recipe.mean, recipe.std);
        self.data.resize(height * width * 3, 0);
        if rows.len() < height || columns.len() < width {
            self.data.fill(0);
        }
        let rows = self.data.chunks_exact_mut(width * 3).skip(top);
        for (to, from) in rows.zip(cropped.chunks_exact(columns.len() * 3)) {
            to[left * 3..][..from.len()].copy_from_slice(from);
        }
        Ok(())
    }

    /// Becomes its own mirror image, byte for byte: left and right change places.
    pub fn mirror(&mut self) {
        let row = (self.width * 3).max(1);
        self.data.chunks_exact_mut(row).for_each(|row| row.as_chunks_mut::<3>().0.reverse());
    }

    /// Normalises it: every byte x becomes `(x / 255 − mean) / std`, computed in f32 as torchvision does.
    pub fn tensor(&self) -> ImageTensor {
        let mut data = vec![0.0; self.data.len()];
        self.normalise(&mut data);
        ImageTensor { height: self.height, width: self.width, data }
    }

    /// Writes what [`tensor`](Self::tensor) holds into memory that is there already.
    ///
    /// ```
    /// let photo = resnet::ImageBytes { data: vec![0, 51, 255], mean: [0.0; 3], std: [0.5; 3], ..Default::default() };
    /// let mut values = [0.0; 3];
    /// photo.normalise(&mut values);
    /// assert_eq!(values, [0.0, 0.4, 2.0]);
    /// ```
    pub fn normalise(&self, values: &mut [f32]) {
        look_up(&self.table(), &self.data, values);
    }

    /// Computes what each byte of red, green and blue becomes.
    pub(crate) fn table(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|c| std::array::from_fn(|x| (x as f32 / 255.0 - self.mean[c]) / self.std[c]))
    }
}

/// Normalises bytes by their table.
pub(crate) fn look_up(table: &[[f32; 256]; 3], bytes: &[u8], values: &mut [f32]) {
    for (to, from) in values.as_chunks_mut::<3>().0.iter_mut().zip(bytes.as_chunks::<3>().0) {
        *to = std::array::from_fn(|c| table[c][usize::from(from[c])]);
    }
}

/// Resizes, crops the centre and normalises, as `recipe` says: [`ImageBytes::of`], then [`ImageBytes::tensor`].
///
/// # Errors
/// [`Error::Recipe`] if the recipe can't be followed.
pub fn preprocess(image: ImageView, recipe: &Recipe) -> Result<ImageTensor, Error> {
    ImageBytes::of(image, recipe).map(|photo| photo.tensor())
}

/// Which part of a resized photo is cut out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crop {
    /// The middle, as recipes say.
    #[default]
    Centre,
    /// The corner of this name, and the next ones likewise.
    TopLeft,
    /// See [`Crop::TopLeft`].
    TopRight,
    /// See [`Crop::TopLeft`].
    BottomLeft,
    /// See [`Crop::TopLeft`].
    BottomRight,
}

/// Where a window lies on an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Start,
    Middle,
    End,
}

impl Crop {
    /// All of them, the middle first.
    pub const ALL: [Self; 5] = [Self::Centre, Self::TopLeft, Self::TopRight, Self::BottomLeft, Self::BottomRight];

    /// Tells where it lies from top to bottom, and from left to right.
    fn ends(self) -> (Side, Side) {
        match self {
            Self::Centre => (Side::Middle, Side::Middle),
            Self::TopLeft => (Side::Start, Side::Start),
            Self::TopRight => (Side::Start, Side::End),
            Self::BottomLeft => (Side::End, Side::Start),
            Self::BottomRight => (Side::End, Side::End),
        }
    }
}

/// Finds the part of an axis of `size` that a window of `crop` shows which lies so, and how much of the window lies before it.
fn window(size: usize, crop: usize, (end, rounding): (Side, CropRounding)) -> (Range<usize>, usize) {
    match size.checked_sub(crop) {
        Some(rest) => {
            let start = match (end, rounding) {
                (Side::Start, _) => 0,
                (Side::End, _) => rest,
                // Python's round() of rest / 2: of two equally near integers the even one.
                (Side::Middle, CropRounding::Even) => rest / 2 + usize::from(rest % 4 == 3),
                (Side::Middle, CropRounding::Down) => rest / 2,
            };
            (start..start + crop, 0)
        }
        None => (0..size, (crop - size) / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centre(size: usize, crop: usize, rounding: CropRounding) -> (Range<usize>, usize) {
        window(size, crop, (Side::Middle, rounding))
    }

    #[test]
    fn corners_are_corners_of_the_resized_picture() {
        // A picture that is resized to its own size: red numbers the rows, green the columns.
        let pixels: Vec<u8> = (0..9 * 7).flat_map(|i| [(i / 9) as u8, (i % 9) as u8, 0]).collect();
        let image = ImageView::new(9, 7, &pixels).unwrap();
        let recipe = Recipe { input_size: [4, 5], resize: Resize::ShorterSide(7), ..Recipe::default() };
        let first = Crop::ALL.map(|crop| {
            let mut bytes = ImageBytes::default();
            bytes.prepare_at(image, &recipe, crop).unwrap();
            assert_eq!(bytes.data.len(), 4 * 5 * 3);
            [bytes.data[0], bytes.data[1]]
        });
        assert_eq!(first, [[2, 2], [0, 0], [0, 4], [3, 0], [3, 4]]);
        // Where nothing is left to move, all show the same.
        let recipe = Recipe { input_size: [9, 11], ..recipe };
        let padded = Crop::ALL.map(|crop| {
            let mut bytes = ImageBytes::default();
            bytes.prepare_at(image, &recipe, crop).unwrap();
            bytes.data
        });
        assert!(padded.iter().all(|other| *other == padded[0]));
    }

    #[test]
    fn a_mirror_image_is_one_byte_for_byte() {
        let pixels: Vec<u8> = (0..5 * 4 * 3).collect();
        let recipe = Recipe { input_size: [4, 5], resize: Resize::Exact([4, 5]), ..Recipe::default() };
        let plain = ImageBytes::of(ImageView::new(5, 4, &pixels).unwrap(), &recipe).unwrap();
        let mut mirrored = plain.clone();
        mirrored.mirror();
        for (row, column) in (0..4).flat_map(|row| (0..5).map(move |column| (row, column))) {
            let [one, other] = [column, 4 - column].map(|column| (row * 5 + column) * 3);
            assert_eq!(mirrored.data[one..one + 3], plain.data[other..other + 3]);
        }
        assert_ne!(mirrored, plain);
        mirrored.mirror();
        assert_eq!(mirrored, plain);
        ImageBytes::default().mirror();
    }

    #[test]
    fn crops_are_centred_as_python_rounds() {
        assert_eq!(centre(224, 224, CropRounding::Even), (0..224, 0));
        assert_eq!(centre(225, 224, CropRounding::Even), (0..224, 0));
        assert_eq!(centre(226, 224, CropRounding::Even), (1..225, 0));
        assert_eq!(centre(227, 224, CropRounding::Even), (2..226, 0));
        assert_eq!(centre(229, 224, CropRounding::Even), (2..226, 0));
        assert_eq!(centre(231, 224, CropRounding::Even), (4..228, 0));
        assert_eq!(centre(221, 224, CropRounding::Even), (0..221, 1));
    }

    #[test]
    fn each_library_cuts_where_it_cuts() {
        // Python's int((235 - 224) / 2), and round((235 - 224) / 2.0).
        assert_eq!(centre(235, 224, CropRounding::Down), (5..229, 0));
        assert_eq!(centre(235, 224, CropRounding::Even), (6..230, 0));
        assert_eq!(centre(227, 224, CropRounding::Down), (1..225, 0));
        assert_eq!(centre(221, 224, CropRounding::Down), (0..221, 1));
        let timm = r#"{"pretrained_cfg": {"crop_pct": 0.95}}"#;
        let transformers = r#"{"do_resize": true, "size": {"shortest_edge": 224}, "crop_pct": 0.95, "resample": 3,
            "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}"#;
        // Rows of a picture of 235 pixels squared, which is resized to that size, are numbered by their red.
        let pixels: Vec<u8> = (0..235 * 235).flat_map(|i| [(i / 235) as u8, (i % 235) as u8, 0]).collect();
        for (json, first) in [(timm, 6.0), (transformers, 5.0)] {
            let recipe = Recipe { mean: [0.0; 3], std: [1.0; 3], ..Recipe::from_json(json).unwrap() };
            let tensor = preprocess(ImageView::new(235, 235, &pixels).unwrap(), &recipe).unwrap();
            assert_eq!(tensor.data[..2], [first / 255.0; 2], "{json}");
        }
    }

    #[test]
    fn a_small_picture_is_padded_with_black() {
        let white = [255; 2 * 2 * 3];
        let recipe = Recipe {
            input_size: [5, 4],
            resize: Resize::Exact([2, 2]),
            mean: [0.5; 3],
            std: [0.25; 3],
            ..Recipe::default()
        };
        let tensor = preprocess(ImageView::new(2, 2, &white).unwrap(), &recipe).unwrap();
        let mut again = ImageBytes { height: 7, width: 1, data: vec![7; 99], mean: [9.0; 3], std: [9.0; 3] };
        again.prepare(ImageView::new(2, 2, &white).unwrap(), &recipe).unwrap();
        assert_eq!(again.tensor(), tensor);
        let red: Vec<f32> = tensor.data.iter().step_by(3).copied().collect();
        let (b, w) = (-2.0, 2.0);
        assert_eq!(red, [b, b, b, b, b, w, w, b, b, w, w, b, b, b, b, b, b, b, b, b]);
    }

    #[test]
    fn an_extreme_picture_is_cut_before_it_is_resized() {
        // Resized as a whole this would take 256 x 16 million pixels.
        let pixels = vec![9; 3 * 65_536];
        for (width, height) in [(65_536, 1), (1, 65_536)] {
            let tensor = preprocess(ImageView::new(width, height, &pixels).unwrap(), &Recipe::default()).unwrap();
            assert!(tensor.data.as_chunks::<3>().0.iter().all(|pixel| *pixel == tensor.data[..3]));
        }
    }
}
