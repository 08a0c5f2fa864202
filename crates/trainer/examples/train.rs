//! Trains a new head and asks it about a photo, from code, and shows the progress of both.
//!
//! `cargo run -p trainer --example train -- PHOTOS WEIGHTS RUN PHOTO` takes a folder of photos for each class, a ResNet's safetensors
//! file, the folder to write the run into, and a photo to predict. Without arguments it does the same with pictures in two colours and
//! random weights, in a temporary folder.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use trainer::data::Photo;
use trainer::progress::{Epoch, Progress, Stage};
use trainer::run::Run;
use trainer::tasks::{self, Request};
use trainer::{Session, machine};

/// Prints each stage as it goes, to the next tenth.
#[derive(Default)]
struct Printed(Mutex<Option<(Stage, usize, usize)>>);

impl Progress for Printed {
    fn begin(&self, stage: Stage, total: usize) {
        *self.0.lock().unwrap() = Some((stage, 0, total));
    }

    fn advance(&self, steps: usize) {
        if let Some((stage, done, total)) = &mut *self.0.lock().unwrap() {
            let before = *done * 10 / (*total).max(1);
            *done += steps;
            if *done * 10 / (*total).max(1) > before {
                eprintln!("{}: {done} of {total} {}", stage.name, stage.unit);
            }
        }
    }

    fn epoch(&self, epoch: &Epoch) {
        eprintln!("loss {:.3}", epoch.train_loss);
    }

    fn warn(&self, message: &str) {
        eprintln!("warning: {message}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let folder = tempfile::tempdir()?;
    let [photos, weights, run, photo] = match <[PathBuf; 4]>::try_from(arguments) {
        Ok(given) => given,
        Err(given) if given.is_empty() => made_up(folder.path())?,
        Err(_) => return Err("give PHOTOS WEIGHTS RUN PHOTO, or nothing".into()),
    };

    let printed = Printed::default();
    let device = pollster::block_on(machine::Device::open(machine::Wanted::Auto, &machine::Selection::default()))?;
    let session = Session { progress: &printed, ..Session::new(device) };
    let request = Request::new(photos, weights, &run);
    let trained = tasks::train(&session, &request)?;
    if let Some(test) = &trained.metrics.test {
        println!("{:.1} % of {} photos right that it never trained on", 100.0 * test.top1, test.count);
    }

    let run = Run::open(&run)?;
    let predicted = tasks::predict(&session, &run, &[Photo::at(&photo)])?;
    for (class, probability) in predicted.predictions[0].top(3) {
        println!("{:5.1} %  {}", 100.0 * probability, run.head.classes[class.index()]);
    }
    Ok(())
}

/// Pictures of two classes, a network that has learnt nothing, the folder for a run, and a picture to predict.
fn made_up(folder: &Path) -> Result<[PathBuf; 4], Box<dyn std::error::Error>> {
    let photos = folder.join("photos");
    for (class, [red, blue]) in [("blue", [30, 220]), ("red", [220, 30])] {
        std::fs::create_dir_all(photos.join(class))?;
        for index in 0..20u8 {
            let picture = image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([red, (x * y) as u8 / 20 + index, blue]));
            picture.save(photos.join(class).join(format!("{index:02}.png")))?;
        }
    }
    let weights = folder.join("weights.safetensors");
    let architecture = resnet::Architecture::basic([1; 4], [8, 8, 16, 32], None);
    std::fs::write(&weights, trainer::random_weights(&architecture, 1))?;
    let photo = photos.join("red/07.png");
    Ok([photos, weights, folder.join("run"), photo])
}
