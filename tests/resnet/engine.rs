//! Tests that code which uses an engine needs no GPU: the same consumer runs on an engine of this file and on the WGSL one.

use crate::fixture::Fixture;
use kernels::{Family, Precision};
use resnet::{
    Architecture, Backbone, BackboneOptions, Engine, Error, ImageBytes, ImageTensor, Pending, Tap, WeightFile,
};
use std::sync::Mutex;
use testkit::{Samples, formula, gpu};

/// Gives the mean of each colour as features, and keeps how many images each pass had.
#[derive(Default)]
struct Means {
    passes: Mutex<Vec<usize>>,
}

impl Engine for Means {
    fn batch(&self) -> usize {
        3
    }

    fn input_size(&self) -> [usize; 2] {
        [2, 1]
    }

    fn len_of(&self, tap: Tap) -> Option<usize> {
        (tap == Tap::Features).then_some(3)
    }

    fn submit(&self, images: &[ImageTensor]) -> Result<Pending, Error> {
        self.check(images)?;
        self.passes.lock().unwrap().push(images.len());
        let means: Vec<f32> = images
            .iter()
            .flat_map(|image| [0, 1, 2].map(|channel| (image.data[channel] + image.data[3 + channel]) / 2.0))
            .collect();
        Ok(Pending::new(move |tap| match tap {
            Tap::Features => Ok(means.clone()),
            other => Err(Error::Options(format!("{other:?} isn't tapped"))),
        }))
    }
}

/// Computes the features of any number of images, with two batches on their way.
fn features(engine: &dyn Engine, images: &[ImageTensor]) -> Result<Vec<f32>, Error> {
    let (mut features, mut flying) = (Vec::new(), None::<Pending>);
    for batch in images.chunks(engine.batch()) {
        let next = engine.submit(batch)?;
        if let Some(mut done) = flying.replace(next) {
            features.extend(done.wait(Tap::Features)?);
        }
    }
    if let Some(mut last) = flying {
        features.extend(last.wait(Tap::Features)?);
    }
    assert_eq!(features.len(), images.len() * engine.len_of(Tap::Features).unwrap());
    Ok(features)
}

#[test]
fn an_engine_needs_no_gpu() {
    let images: Vec<ImageTensor> = (0..8)
        .map(|i| ImageTensor { height: 2, width: 1, data: (0..6).map(|j| (8 * i + j) as f32).collect() })
        .collect();
    let means = Means::default();
    let got = features(&means, &images).unwrap();
    let want: Vec<f32> = (0..8).flat_map(|i| [1.5, 2.5, 3.5].map(|mean| 8.0 * i as f32 + mean)).collect();
    assert_eq!(got, want);
    assert_eq!(*means.passes.lock().unwrap(), [3, 3, 2]);
    let mut pending = means.submit(&images[..1]).unwrap();
    assert_eq!(pending.wait(Tap::Features).unwrap(), pending.wait(Tap::Features).unwrap());
    assert!(matches!(pending.wait(Tap::Stem), Err(Error::Options(_))));
}

#[test]
fn every_engine_refuses_what_no_pass_can_take() {
    let image = |height, width, len| ImageTensor { height, width, data: vec![0.0; len] };
    for (images, problem) in [
        (vec![], "0 images for a batch of 3"),
        (vec![image(2, 1, 6); 4], "4 images for a batch of 3"),
        (vec![image(2, 1, 6), image(1, 2, 6)], "image 1 is [1, 2], the backbone takes [2, 1]"),
        (vec![image(2, 1, 5)], "image 0 is [2, 1], the backbone takes [2, 1]"),
    ] {
        let error = Means::default().submit(&images).unwrap_err();
        assert_eq!(error.to_string(), format!("backbone: {problem}"));
    }
}

#[test]
fn the_wgsl_engine_serves_the_same_consumer() {
    let fixture = Fixture::load();
    let case = fixture.cases.iter().find(|case| case.architecture().to_string().starts_with("resnet-basic")).unwrap();
    let [batch, _, height, width] = case.input;
    let images: Vec<ImageTensor> = (case.input_nhwc().chunks_exact(height * width * 3))
        .map(|data| ImageTensor { height, width, data: data.to_vec() })
        .cycle()
        .take(2 * batch + 1)
        .collect();
    let context = gpu().context(gpu().families()[0]);
    let options = BackboneOptions { input_size: [height, width], ..BackboneOptions::new(batch) };
    let backbone: Box<dyn Engine> = Box::new(Backbone::new(&context, &gpu().queue, &case.weights(), &options).unwrap());
    let got = features(backbone.as_ref(), &images).unwrap();
    let tap = case.taps.iter().find(|tap| tap.name == "features").unwrap();
    for (index, want) in case.samples(tap) {
        let difference = (f64::from(got[index]) - want).abs();
        assert!(difference <= 1e-4 * (want.abs() + tap.mean_abs), "[{index}]: {} instead of {want}", got[index]);
    }
    let pass = got.len() / images.len() * batch;
    assert_eq!(got[..pass], got[pass..2 * pass], "the same images in the next batch");
}

/// Makes photos of all bytes, as a recipe's that no default is.
fn photos(count: usize, [height, width]: [usize; 2]) -> Vec<ImageBytes> {
    let photo = |seed| ImageBytes {
        height,
        width,
        data: Samples::new(seed as u64).vec(height * width * 3).iter().map(|x| (x.to_bits() >> 8) as u8).collect(),
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.5, 1.0],
    };
    (0..count).map(photo).collect()
}

#[test]
fn bytes_give_the_features_of_their_tensors_to_the_last_bit() {
    // An odd number of pixels, so that no photo but the first begins at a whole word, and one of whole words.
    for (size, taps) in [([45, 71], vec![Tap::Stem, Tap::Features]), ([32, 64], vec![Tap::Features])] {
        let file = formula::weights(&Architecture::basic([1; 4], [5, 8, 9, 12], None).tensors());
        let file = WeightFile::from_bytes(file).unwrap();
        let photos = photos(3, size);
        let tensors: Vec<ImageTensor> = photos.iter().map(ImageBytes::tensor).collect();
        let halves = [(Family::Tiled, Precision::F16)];
        for (family, precision) in gpu().families().into_iter().map(|family| (family, Precision::F32)).chain(halves) {
            let options =
                BackboneOptions { input_size: size, precision, taps: taps.clone(), ..BackboneOptions::new(3) };
            let backbone = Backbone::new(&gpu().context(family), &gpu().queue, &file, &options).unwrap();
            // In turns, the last of fewer than a batch, and two on their way at a time.
            for count in [3, 2, 1] {
                let mut pending =
                    [backbone.submit_bytes(&photos[..count]).unwrap(), backbone.submit(&tensors[..count]).unwrap()];
                for &tap in &taps {
                    let [bytes, floats] = pending.each_mut().map(|pending| pending.wait(tap).unwrap());
                    assert!(bytes.iter().any(|value| *value != bytes[0]), "features differ");
                    assert_eq!(bytes, floats, "{size:?} {family:?} {precision:?} {tap:?} {count}");
                }
            }
            // Others of another normalisation are another input.
            let mut others = photos.clone();
            others.iter_mut().for_each(|photo| photo.mean[1] = 0.3);
            let [one, other] = [&photos, &others].map(|photos| backbone.submit_bytes(photos).unwrap().wait(taps[0]));
            assert_ne!(one.unwrap(), other.unwrap());
            gpu().host.check().unwrap();
        }
    }
}

#[test]
fn an_engine_that_knows_tensors_alone_takes_bytes() {
    let photos = photos(3, [2, 1]);
    let tensors: Vec<ImageTensor> = photos.iter().map(ImageBytes::tensor).collect();
    let means = Means::default();
    let got = means.submit_bytes(&photos).unwrap().wait(Tap::Features).unwrap();
    assert_eq!(got, means.submit(&tensors).unwrap().wait(Tap::Features).unwrap());
    let mut mixed = photos.clone();
    mixed[2].std[0] = 0.3;
    let short = ImageBytes { data: vec![0; 5], ..photos[0].clone() };
    for (images, problem) in [
        (mixed, "image 2 has another mean or deviation than the first"),
        (vec![short], "image 0 is [2, 1], the backbone takes [2, 1]"),
        (vec![], "0 images for a batch of 3"),
    ] {
        assert_eq!(means.submit_bytes(&images).unwrap_err().to_string(), format!("backbone: {problem}"));
    }
}
