//! The judgement, told: as text for people, as CSV for spreadsheets, as one HTML page without scripts.

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use serde::{Deserialize, Serialize};

use crate::data::{Part, Rejected};
use crate::digest::Digest;
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::head::History;
use crate::head::metrics::{Evaluation, softmax, top};
use crate::photos::{Limits, Reading, decode};
use crate::words::count;

/// Up to so many classes the confusion matrix is printed.
const MATRIX_CLASSES: usize = 20;
/// The longest side of a thumbnail, in pixels, and how many there are.
const THUMBNAIL: u32 = 112;
const THUMBNAILS: usize = 24;

/// What `metrics.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Photos by part.
    pub photos: Photos,
    /// The judgement on photos that had no say in training; absent if none were set aside.
    pub test: Option<Evaluation>,
    /// The judgement on the photos that chose the epoch: too kind, for that reason.
    pub validation: Option<Evaluation>,
    /// How the training went.
    pub history: History,
    /// Where the time went.
    pub seconds: Seconds,
}

/// Photos by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Photos {
    /// The head learnt from them.
    pub train: usize,
    /// They chose the epoch.
    pub validation: usize,
    /// They judged.
    pub test: usize,
    /// They couldn't be read.
    pub rejected: usize,
    /// How many of all went through the backbone now; the features of the others were known.
    pub computed: usize,
}

/// Seconds of wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Reading, decoding, and the backbone.
    pub features: f64,
    /// Training the head.
    pub head: f64,
    /// From the start to the report.
    pub total: f64,
}

/// What a head says about one photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The photo's name in the data set.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its content.
    pub digest: Digest,
    /// Its part.
    pub part: Option<Part>,
    /// Its true class, where known.
    pub label: Option<usize>,
    /// Class numbers and probabilities, most probable first, at most five.
    pub top: Vec<(usize, f64)>,
    /// The probability given to the true class.
    pub label_probability: Option<f64>,
}

impl Prediction {
    /// From a photo's logits.
    pub fn new(
        name: String,
        path: PathBuf,
        digest: Digest,
        part: Option<Part>,
        label: Option<usize>,
        logits: &[f32],
    ) -> Self {
        let probabilities = softmax(logits);
        let top = top(logits, 5).into_iter().map(|class| (class, probabilities[class])).collect();
        let label_probability = label.map(|label| probabilities[label]);
        Self { name, path, digest, part, label, top, label_probability }
    }

    fn is_wrong(&self) -> bool {
        self.label.is_some_and(|label| self.top.first().is_some_and(|&(class, _)| class != label))
    }
}

/// One line a photo, as CSV.
///
/// # Errors
/// A class number beyond `classes`.
pub fn predictions_csv(predictions: &[Prediction], classes: &[String]) -> Result<Vec<u8>> {
    let label = |class: usize| {
        classes.get(class).map(String::as_str).ok_or(Error::Shape {
            operation: "predictions.csv",
            operand: "classes",
            expected: class + 1,
            got: classes.len(),
        })
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut rows = vec![
        "path,part,label,predicted,probability,label_probability,sha256,top2,probability2,top3,probability3,top4,probability4,top5,probability5"
            .split(',')
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    ];
    for photo in predictions {
        let choice = |rank: usize| -> Result<[String; 2]> {
            match photo.top.get(rank) {
                Some(&(class, probability)) => Ok([label(class)?.to_owned(), format!("{probability:.6}")]),
                None => Ok(Default::default()),
            }
        };
        let mut row = vec![
            photo.name.clone(),
            photo.part.map(|part| part.to_string()).unwrap_or_default(),
            photo.label.map(label).transpose()?.unwrap_or_default().to_owned(),
        ];
        row.extend(choice(0)?);
        row.push(photo.label_probability.map(|p| format!("{p:.6}")).unwrap_or_default());
        row.push(hex(&photo.digest));
        for rank in 1..5 {
            row.extend(choice(rank)?);
        }
        rows.push(row);
    }
    for row in &rows {
        writer.write_record(row).expect("memory takes rows of one length");
    }
    Ok(writer.into_inner().map_err(csv::IntoInnerError::into_error).expect("memory takes it"))
}

/// The judgement as aligned text, headed by `title`.
pub fn text(title: &str, evaluation: &Evaluation) -> String {
    let mut out = String::new();
    let classes = evaluation.classes.len();
    let [low, high] = evaluation.top1_interval;
    let _ = writeln!(out, "{title}: {}", count(evaluation.count, "photo"));
    let _ = writeln!(
        out,
        "  top-1     {:>5.1} %   95 % interval {:.1} to {:.1}",
        100.0 * evaluation.top1,
        100.0 * low,
        100.0 * high
    );
    let trivial = if classes <= 5 { format!("   of {classes} classes") } else { String::new() };
    let _ = writeln!(out, "  top-5     {:>5.1} %{trivial}", 100.0 * evaluation.top5);
    let baseline = &evaluation.baseline;
    let _ = writeln!(out, "  baseline  {:>5.1} %   always {:?}", 100.0 * baseline.top1, baseline.class);
    let _ = writeln!(
        out,
        "  log-loss  {:>5.3}     calibration error {:.1} %",
        evaluation.log_loss,
        100.0 * evaluation.calibration_error
    );

    let width = evaluation.classes.iter().map(|class| class.label.chars().count()).max().unwrap_or(0).max(10);
    let _ = writeln!(out, "\n{:width$}  photos  precision  recall     F1", "class");
    let mut row = |label: &str, photos: usize, values: [f64; 3]| {
        let [precision, recall, f1] = values.map(|value| 100.0 * value);
        let _ = writeln!(out, "{label:width$}  {photos:>6}  {precision:>9.1}  {recall:>6.1}  {f1:>5.1}");
    };
    for class in &evaluation.classes {
        row(&class.label, class.support, [class.precision, class.recall, class.f1]);
    }
    let means = [evaluation.macro_precision, evaluation.macro_recall, evaluation.macro_f1];
    row("mean", evaluation.count, means);

    if classes <= MATRIX_CLASSES {
        let cells = evaluation.confusion.iter().flatten().max().map_or(1, |max| max.to_string().len());
        let cells = cells.max((classes - 1).to_string().len()) + 1;
        let _ = write!(out, "\n{:width$}     taken for class", "");
        let _ = write!(out, "\n{:width$}    ", "true class");
        for class in 0..classes {
            let _ = write!(out, " {class:>cells$}");
        }
        for (index, (class, row)) in evaluation.classes.iter().zip(&evaluation.confusion).enumerate() {
            let _ = write!(out, "\n{:width$}  {index:>2}", class.label);
            for &cell in row {
                match cell {
                    0 => drop(write!(out, " {:>cells$}", "·")),
                    _ => drop(write!(out, " {cell:>cells$}")),
                }
            }
        }
        out.push('\n');
    }

    let confusions = worst_confusions(evaluation);
    if !confusions.is_empty() {
        let _ = writeln!(out, "\nMost often confused");
        for (photos, class, other) in confusions.into_iter().take(8) {
            let support = evaluation.classes[class].support;
            let (label, other) = (&evaluation.classes[class].label, &evaluation.classes[other].label);
            let _ = writeln!(out, "  {photos:>4} of {support:<4}  {label} taken for {other}");
        }
    }
    out
}

/// The rejected photos with their reasons, the first twenty, and how many more.
pub fn rejections(rejected: &[Rejected]) -> String {
    let mut out = String::new();
    for photo in rejected.iter().take(20) {
        let _ = writeln!(out, "  {}: {}", photo.name, photo.reason);
    }
    if rejected.len() > 20 {
        let _ = writeln!(out, "  and {} more", rejected.len() - 20);
    }
    out
}

/// Photos, true class and predicted class of each confusion that occurs, most frequent first.
fn worst_confusions(evaluation: &Evaluation) -> Vec<(usize, usize, usize)> {
    let mut confusions = Vec::new();
    for (class, row) in evaluation.confusion.iter().enumerate() {
        for (other, &photos) in row.iter().enumerate() {
            if class != other && photos > 0 {
                confusions.push((photos, class, other));
            }
        }
    }
    confusions.sort_by_key(|&(photos, class, other)| (std::cmp::Reverse(photos), class, other));
    confusions
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#223}\
h1,h2{font-weight:600}table{border-collapse:collapse}td,th{padding:.2rem .6rem;text-align:right}\
th:first-child,td:first-child{text-align:left}thead th{border-bottom:1px solid #99a}\
.m td{min-width:1.6rem;text-align:center}.b{display:inline-block;height:.7rem;background:#3a7bd5}\
.t{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;width:9rem}figcaption{font-size:12px;overflow-wrap:anywhere}\
.big{font-size:2.4rem;font-weight:600}.q{color:#667}svg text{font-size:11px;fill:#667}";

/// A page that stands by itself: scores, confusion matrix, training curve, and the surest mistakes as thumbnails.
///
/// `evaluation` is the judgement that the page shows, called `title`; `predictions` those it came from.
pub fn html(
    title: &str,
    evaluation: &Evaluation,
    history: &History,
    predictions: &[Prediction],
    facts: &[(&str, String)],
) -> String {
    let mut out = String::new();
    let [low, high] = evaluation.top1_interval;
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{0}</title><style>{STYLE}</style><h1>{0}</h1>\
         <p><span class=big>{1:.1} %</span> of {2} right <span class=q>(95 % interval {3:.1} to {4:.1}; \
         always guessing “{5}” gets {6:.1} %)</span></p>\
         <p class=q>top-5 {7:.1} % · mean F1 {8:.1} · log-loss {9:.3} · calibration error {10:.1} %</p>",
        escape(title),
        100.0 * evaluation.top1,
        count(evaluation.count, "photo"),
        100.0 * low,
        100.0 * high,
        escape(&evaluation.baseline.class),
        100.0 * evaluation.baseline.top1,
        100.0 * evaluation.top5,
        100.0 * evaluation.macro_f1,
        evaluation.log_loss,
        100.0 * evaluation.calibration_error,
    );
    out.push_str("<h2>Classes</h2><table><thead><tr><th>class<th>photos<th>precision<th>recall<th>F1<th></thead>");
    for class in &evaluation.classes {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{:.1}<td>{:.1}<td>{:.1}<td style=\"text-align:left;white-space:normal;overflow-wrap:anywhere\"><span class=b style=\"width:{:.1}rem\"></span>",
            escape(&class.label),
            class.support,
            100.0 * class.precision,
            100.0 * class.recall,
            100.0 * class.f1,
            12.0 * class.f1,
        );
    }
    out.push_str("</table>");
    matrix(&mut out, evaluation);
    curve(&mut out, history);
    mistakes(&mut out, evaluation, predictions);
    out.push_str("<h2>How it was made</h2><table>");
    for (name, value) in facts {
        let _ = write!(
            out,
            "<tr><td>{}<td style=\"text-align:left;white-space:normal;overflow-wrap:anywhere\">{}",
            escape(name),
            escape(value)
        );
    }
    out.push_str("</table></html>\n");
    out
}

fn matrix(out: &mut String, evaluation: &Evaluation) {
    out.push_str("<h2>Confusion</h2><p class=q>Rows: true class. Columns: taken for. Shade: share of the row.</p>");
    if evaluation.classes.len() > 100 {
        out.push_str("<p>Too many classes for a table; the most frequent confusions:</p><ul>");
        for (photos, class, other) in worst_confusions(evaluation).into_iter().take(50) {
            let label = |class: usize| escape(&evaluation.classes[class].label);
            let _ = write!(out, "<li>{photos} × {} taken for {}", label(class), label(other));
        }
        out.push_str("</ul>");
        return;
    }
    out.push_str("<table class=m><tr><th><th>");
    for class in 0..evaluation.classes.len() {
        let _ = write!(out, "<th>{class}");
    }
    for (index, (class, row)) in evaluation.classes.iter().zip(&evaluation.confusion).enumerate() {
        let _ = write!(out, "<tr><td>{}<th>{index}", escape(&class.label));
        for (other, &cell) in row.iter().enumerate() {
            let colour = if other == index { "58,123,213" } else { "213,83,58" };
            let shade = cell as f64 / class.support.max(1) as f64;
            let _ = write!(out, "<td style=\"background:rgba({colour},{shade:.2})\">");
            if cell > 0 {
                let _ = write!(out, "{cell}");
            }
        }
    }
    out.push_str("</table>");
}

fn curve(out: &mut String, history: &History) {
    let epochs = history.epochs.len();
    if epochs < 2 {
        return;
    }
    let losses = history.epochs.iter().flat_map(|epoch| [Some(epoch.train_loss), epoch.validation_loss]).flatten();
    let ceiling = losses.filter(|loss| loss.is_finite()).fold(1e-9, f64::max);
    let (width, height) = (640.0, 220.0);
    let x = |epoch: usize| 40.0 + (width - 50.0) * epoch as f64 / (epochs - 1) as f64;
    let y = |loss: f64| 10.0 + (height - 40.0) * (1.0 - loss / ceiling);
    let _ = write!(
        out,
        "<h2>Training</h2><svg viewBox=\"0 0 {width} {height}\" role=img aria-label=\"loss by epoch\">\
         <path d=\"M40 10V{0}H{1}\" fill=none stroke=#99a /><text x=4 y=16>{ceiling:.2}</text><text x=20 y={0}>0</text>\
         <text x={1} y={2} text-anchor=end>epoch {epochs}</text>",
        height - 30.0,
        width - 10.0,
        height - 14.0,
    );
    let mut line = |colour: &str, loss: &dyn Fn(usize) -> Option<f64>| {
        let points: Vec<String> = (0..epochs)
            .filter_map(|epoch| loss(epoch).filter(|loss| loss.is_finite()).map(|loss| (x(epoch), y(loss))))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = write!(out, "<polyline fill=none stroke={colour} stroke-width=2 points=\"{}\"/>", points.join(" "));
    };
    line("#3a7bd5", &|epoch| Some(history.epochs[epoch].train_loss));
    line("#d5533a", &|epoch| history.epochs[epoch].validation_loss);
    let best = x(history.best);
    let _ = write!(
        out,
        "<path d=\"M{best:.1} 10V{}\" stroke=#99a stroke-dasharray=3 /></svg>\
         <p class=q>Loss: <b style=\"color:#3a7bd5\">training</b>, <b style=\"color:#d5533a\">validation</b>; \
         dashed: epoch {}, whose head was kept.</p>",
        height - 30.0,
        history.best + 1,
    );
}

fn mistakes(out: &mut String, evaluation: &Evaluation, predictions: &[Prediction]) {
    let mut wrong: Vec<_> = predictions.iter().filter(|photo| photo.is_wrong()).collect();
    wrong.sort_by(|a, b| b.top[0].1.total_cmp(&a.top[0].1).then_with(|| a.name.cmp(&b.name)));
    if wrong.is_empty() {
        return;
    }
    let _ =
        write!(out, "<h2>Surest mistakes</h2><p class=q>{} in all.</p><div class=t>", count(wrong.len(), "mistake"));
    for photo in wrong.into_iter().take(THUMBNAILS) {
        let label = |class: usize| escape(&evaluation.classes[class].label);
        let (class, probability) = photo.top[0];
        let _ = write!(
            out,
            "<figure>{}<figcaption>“{}” taken for “{}” ({:.0} %)<br><span class=q>{}</span></figcaption></figure>",
            thumbnail(&photo.path).unwrap_or_default(),
            photo.label.map(label).unwrap_or_default(),
            label(class),
            100.0 * probability,
            escape(&photo.name),
        );
    }
    out.push_str("</div>");
}

/// An `<img>` with the picture in it; `None` if the photo has gone.
fn thumbnail(path: &Path) -> Option<String> {
    let image = decode(std::fs::read(path).ok()?, &Reading::default(), &Limits::default()).ok()?;
    let image = image::RgbImage::from_raw(image.width as u32, image.height as u32, image.rgb)?;
    let image = image::DynamicImage::from(image).thumbnail(THUMBNAIL, THUMBNAIL);
    let mut bytes = Cursor::new(Vec::new());
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 75)).ok()?;
    Some(format!("<img alt=\"\" src=\"data:image/jpeg;base64,{}\">", base64(bytes.get_ref())))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().enumerate().fold(0u32, |bits, (i, &byte)| bits | u32::from(byte) << (16 - 8 * i));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= chunk.len() { DIGITS[value].into() } else { '=' });
        }
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Epoch;
    use crate::head::metrics::evaluate;

    fn classes(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("class <{class}>")).collect()
    }

    /// Photo i is of class i mod classes; the first is taken for class 1.
    fn judged(count: usize, width: usize) -> (Evaluation, Vec<Prediction>) {
        let labels: Vec<usize> = (0..count).map(|photo| photo % width).collect();
        let guess = |photo: usize| if photo == 0 { 1 } else { photo % width };
        let logits: Vec<f32> = (0..count)
            .flat_map(|photo| (0..width).map(move |class| if class == guess(photo) { 4.0 } else { 0.0 }))
            .collect();
        let predictions = logits.chunks(width).enumerate().map(|(photo, row)| {
            let name = format!("{photo}.jpg");
            Prediction::new(name.clone(), name.into(), [7; 32], Some(Part::Test), Some(labels[photo]), row)
        });
        let predictions = predictions.collect();
        (evaluate(&logits, &labels, &classes(width), 0).unwrap(), predictions)
    }

    #[test]
    fn text_is_aligned_and_complete() {
        let (evaluation, _) = judged(12, 3);
        let text = text("Test", &evaluation);
        let expected = "\
Test: 12 photos
  top-1      91.7 %   95 % interval 64.6 to 98.5
  top-5     100.0 %   of 3 classes
  baseline   33.3 %   always \"class <0>\"
  log-loss  0.369     calibration error 4.8 %

class       photos  precision  recall     F1
class <0>        4      100.0    75.0   85.7
class <1>        4       80.0   100.0   88.9
class <2>        4      100.0   100.0  100.0
mean            12       93.3    91.7   91.5

               taken for class
true class      0  1  2
class <0>    0  3  1  ·
class <1>    1  ·  4  ·
class <2>    2  ·  ·  4

Most often confused
     1 of 4     class <0> taken for class <1>
";
        assert_eq!(text, expected);
        assert!(!super::text("Test", &judged(60, 30).0).contains("taken for class\n"));
    }

    #[test]
    fn csv_has_a_line_a_photo() {
        let (_, predictions) = judged(4, 2);
        let csv = String::from_utf8(predictions_csv(&predictions, &classes(2)).unwrap()).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[0].starts_with("path,part,label,predicted,probability,label_probability,sha256,top2"));
        let start = "0.jpg,test,class <0>,class <1>,0.982014,0.017986,0707";
        assert!(lines[1].starts_with(start), "{}", lines[1]);
        assert!(lines[1].ends_with(",class <0>,0.017986,,,,,,"), "{}", lines[1]);
        assert!(predictions_csv(&predictions, &classes(1)).is_err());
    }

    #[test]
    fn the_page_holds_everything_and_escapes_it() {
        let dir = tempfile::tempdir().unwrap();
        let (evaluation, mut predictions) = judged(12, 3);
        predictions[0].path = dir.path().join("0.jpg");
        image::RgbImage::new(300, 200).save(&predictions[0].path).unwrap();
        let epoch = |loss| Epoch {
            train_loss: loss,
            validation_loss: Some(loss + 0.1),
            validation_top1: Some(0.5),
            learning_rate: 0.1,
        };
        let history = History { epochs: vec![epoch(1.0), epoch(0.5)], best: 1 };
        let page = html("Test & more", &evaluation, &history, &predictions, &[("seed", "3".to_owned())]);
        assert!(page.contains("Test &amp; more") && page.contains("class &lt;2&gt;") && !page.contains("class <"));
        assert_eq!(page.matches("<polyline").count(), 2);
        assert_eq!(page.matches("data:image/jpeg;base64,/9j/").count(), 1);
        assert!(page.contains("<td>seed<td") && !page.contains("<script"));
        assert!(html("t", &judged(101, 101).0, &History::default(), &[], &[]).contains("Too many classes"));
    }

    #[test]
    fn base64_as_in_the_standard() {
        let known =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in known {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
    }

    #[test]
    fn long_lists_of_rejected_photos_are_cut() {
        let rejected = vec![Rejected { name: "a".into(), reason: "b".into() }; 23];
        assert!(rejections(&rejected).ends_with("  and 3 more\n"));
        assert_eq!(rejections(&rejected[..1]), "  a: b\n");
    }
}
