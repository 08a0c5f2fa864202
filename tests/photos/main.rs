use serde::Deserialize;
use std::path::Path;
#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}
#[derive(Deserialize)]
struct Case {
    file: String,
    about: String,
    mode: String,
    exif: String,
    background: String,
    expected: String,
}
#[test]
fn table() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
    let f: Fixture = serde_json::from_slice(&std::fs::read(dir.join("photos.json")).unwrap()).unwrap();
    for c in f.cases {
        let want = image::open(dir.join(&c.expected)).unwrap().into_rgb8();
        let bytes = std::fs::read(dir.join(&c.file)).unwrap();
        let label = format!("{} {} {} {} {}", c.file, c.about, c.mode, c.exif, c.background);
        match trainer::decode::decode(&bytes, &Default::default()) {
            Err(e) => println!("ERR {label}: {e}"),
            Ok(i) if (i.width, i.height) != (want.width() as usize, want.height() as usize) => println!("SIZE {label}"),
            Ok(i) => {
                let d: Vec<u8> = i.rgb.iter().zip(want.as_raw()).map(|(a, b)| a.abs_diff(*b)).collect();
                let max = *d.iter().max().unwrap();
                let mean = d.iter().map(|d| *d as f64).sum::<f64>() / d.len() as f64;
                println!("{} {label}: max {max} mean {mean:.3}", if max == 0 { "OK " } else { "DIFF" });
            }
        }
    }
}
