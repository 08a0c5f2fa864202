//! Features of a photo: what a frozen network makes of it, and how like that is to what it makes of the mirrored photo.
//!
//! ```text
//! cargo run -p resnet --example features                                   # a small network that has learnt nothing, a drawn picture
//! cargo run -p resnet --example features -- resnet18.safetensors cat.jpg   # with the recipe that lies beside the weights, if one does
//! ```

use kernels::{Context, wanted_features, wgpu};
use resnet::{Architecture, Backbone, BackboneOptions, Engine, Error, ImageBytes, ImageView, Recipe, Tap, WeightFile};
use safetensors::{Dtype, SafeTensorError, serialize, tensor::TensorView};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (weights, recipe, photo) = match arguments.as_slice() {
        [] => (untrained()?, Recipe { input_size: [64, 64], ..Recipe::default() }, picture()),
        [weights, photo] => (WeightFile::open(weights)?, Recipe::beside(weights)?.0, image::open(photo)?.to_rgb8()),
        _ => return Err("give a weight file and a photo, or nothing".into()),
    };
    let mirrored = image::imageops::flip_horizontal(&photo);
    let images = [prepare(&photo, &recipe)?, prepare(&mirrored, &recipe)?];

    let adapter = pollster::block_on(wgpu::Instance::default().request_adapter(&Default::default()))?;
    let required_features = wanted_features(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let options = BackboneOptions { input_size: recipe.input_size, ..BackboneOptions::new(images.len()) };
    let backbone = Backbone::new(&Context::new(&device)?, &queue, &weights, &options)?;

    let [one, other] = features(&backbone, &images)?;
    println!("{} on {}: {} features", weights.architecture(), adapter.get_info().name, one.len());
    println!("the first: {:.4?}", &one[..one.len().min(8)]);
    let alike = cosine(&one, &other);
    println!("cosine with the mirrored photo's: {alike:.4}");
    if !alike.is_finite() {
        return Err("the features aren't numbers".into());
    }
    Ok(())
}

/// A photo as the network takes it.
fn prepare(photo: &image::RgbImage, recipe: &Recipe) -> Result<ImageBytes, Error> {
    ImageBytes::of(ImageView::new(photo.width() as usize, photo.height() as usize, photo.as_raw())?, recipe)
}

/// Both photos' features, from one pass. Any engine will do.
fn features(engine: &dyn Engine, images: &[ImageBytes; 2]) -> Result<[Vec<f32>; 2], Error> {
    let mut features = engine.submit_bytes(images)?.wait(Tap::Features)?;
    let second = features.split_off(features.len() / 2);
    Ok([features, second])
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// A disc on a slope of colours.
fn picture() -> image::RgbImage {
    image::RgbImage::from_fn(320, 240, |x, y| match (x as i32 - 100).pow(2) + (y as i32 - 140).pow(2) {
        ..3000 => image::Rgb([250, 220, 40]),
        _ => image::Rgb([(x / 2) as u8, (y / 2) as u8, 120]),
    })
}

/// A small network: its convolutions are noise that keeps the variance, its normalisations do nothing.
fn untrained() -> Result<WeightFile, Box<dyn std::error::Error>> {
    let mut state = 1_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Architecture::basic([1; 4], [16, 32, 64, 128], None)
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let bound = (6.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
            let mut value = || match (shape.len(), name.rsplit('.').next()) {
                (4, _) => bound * noise(),
                (_, Some("weight" | "running_var")) => 1.0,
                _ => 0.0,
            };
            let bytes = (0..shape.iter().product()).flat_map(|_: usize| value().to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)?;
        Ok((name, view))
    });
    let views = views.collect::<Result<Vec<_>, SafeTensorError>>()?;
    Ok(WeightFile::from_bytes(serialize(views, None)?)?)
}
