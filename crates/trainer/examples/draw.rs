//! Writes the drawn pictures of a task to a folder.
//!
//! `cargo run -p trainer --example draw -- target pictures` makes PNG files, one folder a class, which
//! `trainer train pictures` can read. With `--raw` it makes three files instead, for pretraining:
//! `images.u8` (picture, row, column, channel), `labels.u8` (a byte a picture) and `classes.txt` (a name a line).

use clap::Parser;
use rayon::prelude::*;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use trainer::demo::draw::{Class, Task};

/// Write the drawn pictures of a task to a folder
#[derive(Parser)]
struct Args {
    /// Which classes to draw
    #[arg(value_parser = ["source", "target"])]
    task: String,
    /// Folder to write to; made where missing
    dir: PathBuf,
    /// Pictures a class
    #[arg(long, default_value_t = 50)]
    count: u64,
    /// Series of pictures: another seed gives other pictures
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write one file of bytes and one of labels instead of PNG files
    #[arg(long)]
    raw: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let task = if args.task == "source" { Task::Source } else { Task::Target };
    fs::create_dir_all(&args.dir).map_err(|error| format!("can't make {}: {error}", args.dir.display()))?;
    let write = if args.raw { write_raw } else { write_png };
    write(&args, &task.classes()).map_err(|error| format!("can't write to {}: {error}", args.dir.display()).into())
}

fn write_png(args: &Args, classes: &[Class]) -> Result<(), Box<dyn Error>> {
    for class in classes {
        let dir = args.dir.join(class.to_string());
        fs::create_dir_all(&dir)?;
        (0..args.count).into_par_iter().try_for_each(|index| {
            let picture = class.draw(index, args.seed);
            let (width, height) = (picture.width as u32, picture.height as u32);
            let path = dir.join(format!("{index:04}.png"));
            image::save_buffer(path, &picture.rgb, width, height, image::ColorType::Rgb8)
        })?;
    }
    Ok(())
}

fn write_raw(args: &Args, classes: &[Class]) -> Result<(), Box<dyn Error>> {
    let create = |name: &str| File::create(Path::new(&args.dir).join(name)).map(BufWriter::new);
    let (mut images, mut labels, mut names) = (create("images.u8")?, create("labels.u8")?, create("classes.txt")?);
    for (label, class) in classes.iter().enumerate() {
        let label = u8::try_from(label).map_err(|_| "a label must fit a byte")?;
        let pictures: Vec<_> = (0..args.count).into_par_iter().map(|index| class.draw(index, args.seed)).collect();
        for picture in pictures {
            images.write_all(&picture.rgb)?;
            labels.write_all(&[label])?;
        }
        writeln!(names, "{class}")?;
    }
    for mut file in [images, labels, names] {
        file.flush()?;
    }
    Ok(())
}
