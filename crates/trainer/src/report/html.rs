//! A report as one HTML page that stands by itself, without scripts.

use std::fmt::Write as _;

use crate::head::Regularisation;
use crate::head::metrics::Evaluation;
use crate::report::choice::Table;
use crate::report::data::{Confused, Data};
use crate::report::figure::{notes, value, worst};
use crate::report::svg::{TRAINING, VALIDATION, curve, strengths};
use crate::words::count;

/// Up to so many classes the confusion matrix is a table.
const MATRIX_CLASSES: usize = 100;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#223}\
h1,h2{font-weight:600}table{border-collapse:collapse}td,th{padding:.2rem .6rem;text-align:right}\
th:first-child,td:first-child{text-align:left}thead th{border-bottom:1px solid #99a}\
.m td{min-width:1.6rem;text-align:center}.b{display:inline-block;height:.7rem;background:#3a7bd5}\
.t{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;width:9rem}figcaption{font-size:12px;overflow-wrap:anywhere}\
.w{text-align:left;white-space:normal;overflow-wrap:anywhere}.big{font-size:2.4rem;font-weight:600}.q{color:#667}svg text{font-size:11px;fill:#667}";

/// Writes the page: scores, confusion matrix, the surest mistakes as thumbnails, training curve, strengths, and how the run was made.
pub fn html(data: &Data) -> String {
    let mut out = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{0}</title><style>{STYLE}</style><h1>{0}</h1>",
        escape(data.title),
    );
    match data.evaluation {
        Some(evaluation) => {
            scores(&mut out, evaluation, data.without_leaks.as_deref());
            if evaluation.of_sets.is_none() {
                matrix(&mut out, evaluation, &data.confusions);
            }
        }
        None => out.push_str(
            "<p>All photos were used to train, so nothing says how good this head is on others. \
             Set some photos aside for a test, or evaluate the run on a folder of other photos.</p>",
        ),
    }
    data.tables.iter().for_each(|each| table(&mut out, each));
    training(&mut out, data);
    mistakes(&mut out, data);
    out.push_str("<h2>How it was made</h2><table>");
    for (name, value) in &data.facts {
        let _ = write!(out, "<tr><td>{}<td class=w>{}", escape(name), escape(value));
    }
    out.push_str("</table></html>\n");
    out
}

fn scores(out: &mut String, evaluation: &Evaluation, without_leaks: Option<&str>) {
    if let Some((first, value)) = evaluation.figures.first().and_then(|figure| Some((figure, value(figure)?))) {
        let _ = write!(
            out,
            "<p><span class=big>{value}</span> {}, of {}</p>",
            escape(&first.title),
            count(evaluation.count, "photo")
        );
    }
    out.push_str("<table>");
    for (figure, value) in evaluation.figures.iter().filter_map(|figure| Some((figure, value(figure)?))) {
        let better = if figure.higher_is_better { "more is better" } else { "less is better" };
        let (title, notes) = (escape(&figure.title), escape(&notes(figure)));
        let _ = write!(out, "<tr><td title=\"{better}\">{title}<td>{value}<td class=\"w q\">{notes}");
    }
    if let Some([label, right]) = worst(evaluation) {
        let _ = write!(out, "<tr><td>worst class<td class=w>{}<td class=\"w q\">{right}", escape(&label));
    }
    out.push_str("</table>");
    if let Some(words) = without_leaks {
        let _ = write!(out, "<p><b>{}</b></p>", escape(words));
    }
    let more = if evaluation.of_sets.is_some() { "<th>AP<th>threshold" } else { "" };
    let _ = write!(
        out,
        "<h2>Classes</h2><table><thead><tr><th>class<th>photos<th>precision<th>recall<th>F1{more}<th></thead>"
    );
    let defined =
        |value: Option<f64>, digits: usize| value.map_or("·".to_owned(), |value| format!("{value:.digits$}"));
    for class in &evaluation.classes {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{:.1}<td>{:.1}<td>{:.1}",
            escape(&class.label),
            class.support,
            100.0 * class.precision,
            100.0 * class.recall,
            100.0 * class.f1,
        );
        if evaluation.of_sets.is_some() {
            let _ = write!(out, "<td>{}<td>{}", defined(class.average_precision, 3), defined(class.threshold, 2));
        }
        let _ = write!(out, "<td class=w><span class=b style=\"width:{:.1}rem\"></span>", 12.0 * class.f1);
    }
    out.push_str("</table>");
}

fn matrix(out: &mut String, evaluation: &Evaluation, confusions: &[Confused]) {
    out.push_str("<h2>Confusion</h2>");
    if evaluation.classes.len() > MATRIX_CLASSES {
        out.push_str("<p>There are too many classes for a table. The most frequent confusions:</p><ul>");
        for Confused { photos, label, taken_for, .. } in confusions.iter().take(50) {
            let _ = write!(out, "<li>{photos} × {} taken for {}", escape(label), escape(taken_for));
        }
        out.push_str("</ul>");
        return;
    }
    out.push_str("<p class=q>Rows: true class. Columns: taken for. Shade: share of the row.</p>");
    out.push_str("<table class=m><tr><th><th>");
    for (index, class) in evaluation.classes.iter().enumerate() {
        let _ = write!(out, "<th title=\"{}\">{index}", escape(&class.label));
    }
    for (index, (class, row)) in evaluation.classes.iter().zip(evaluation.matrix()).enumerate() {
        let _ = write!(out, "<tr><td>{}<th>{index}", escape(&class.label));
        for (other, cell) in row.into_iter().enumerate() {
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

fn table(out: &mut String, table: &Table) {
    let _ = write!(out, "<h2>{}</h2><table><thead><tr>", escape(table.title));
    table.head.iter().for_each(|name| out.extend(["<th>", &escape(name)]));
    out.push_str("</thead>");
    for row in &table.rows {
        out.push_str("<tr>");
        row.iter().for_each(|cell| out.extend(["<td>", &escape(cell)]));
    }
    let _ = write!(out, "</table><p class=q>{}</p>", escape(&table.note));
}

fn training(out: &mut String, data: &Data) {
    if let Some((found, curve)) = data.cross_validation.and_then(|found| Some((found, strengths(found)?))) {
        let chosen = match found.candidates.get(found.chosen).map(|chosen| chosen.regularisation) {
            Some(Regularisation::Logistic { l2, .. }) => format!("dashed: the chosen strength, {l2}"),
            _ => "none of these was chosen, but a head in closed form, named below".to_owned(),
        };
        let _ = write!(
            out,
            "<h2>Regularisation</h2>{curve}<p class=q>Loss on photos not learnt from, by the strength of the penalty: \
             <b style=\"color:{TRAINING}\">all features scaled alike</b>, <b style=\"color:{VALIDATION}\">each by its own \
             deviation</b>; {chosen}.</p>",
        );
    }
    let Some(curve) = curve(data.history) else { return };
    let validation = match data.history.epochs.iter().any(|epoch| epoch.validation_loss.is_some()) {
        true => format!(", <b style=\"color:{VALIDATION}\">validation</b>"),
        false => String::new(),
    };
    let _ = write!(
        out,
        "<h2>Training</h2>{curve}<p class=q>Loss: <b style=\"color:{TRAINING}\">training</b>{validation}; \
         dashed: the best epoch, {}, whose head was kept.</p>",
        data.history.best,
    );
}

fn mistakes(out: &mut String, data: &Data) {
    if data.mistakes == 0 {
        return;
    }
    let all = count(data.mistakes, "mistake");
    let _ = write!(out, "<h2>Surest mistakes</h2><p class=q>{all} in all.</p><div class=t>");
    for mistake in &data.surest {
        let picture = mistake.thumbnail.as_ref().map(|url| format!("<img alt=\"\" src=\"{url}\">"));
        let _ = write!(
            out,
            "<figure>{}<figcaption>“{}” taken for “{}” ({:.0} %)<br><span class=q>{}</span></figcaption></figure>",
            picture.unwrap_or_default(),
            escape(mistake.label),
            escape(mistake.taken_for),
            100.0 * mistake.probability,
            escape(mistake.name),
        );
    }
    out.push_str("</div>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Epoch, History};
    use crate::photos::Limits;
    use crate::report::data::Metrics;
    use crate::report::tests::{self, classes, evaluated, evaluated_sets};
    use crate::run::Config;

    fn history() -> History {
        let epoch = |loss| Epoch {
            train_loss: loss,
            validation_loss: Some(loss + 0.1),
            validation_top1: Some(0.5),
            learning_rate: 0.1,
        };
        History { epochs: vec![epoch(1.0), epoch(0.5)], best: 2 }
    }

    fn metrics(test: Option<Evaluation>) -> Metrics {
        Metrics { history: history(), ..tests::metrics(test) }
    }

    #[test]
    fn the_page_holds_everything_and_escapes_it() {
        let dir = tempfile::tempdir().unwrap();
        let (evaluation, mut predictions) = evaluated(12, 3);
        predictions[0].path = dir.path().join("0.jpg");
        image::RgbImage::new(300, 200).save(&predictions[0].path).unwrap();
        let (config, metrics) = (Config::example(classes(3)), metrics(Some(evaluation)));
        let mut data = Data::new(&config, &metrics, &predictions, &Limits::default());
        data.title = "Test & more";
        let page = html(&data);
        assert!(page.contains("Test &amp; more") && page.contains("class &lt;2&gt;") && !page.contains("class <"));
        assert_eq!(page.matches("<polyline").count(), 2);
        assert_eq!(page.matches("data:image/jpeg;base64,/9j/").count(), 1);
        assert!(page.contains("1 mistake in all") && page.contains("the best epoch, 2, whose head was kept"), "{page}");
        assert!(page.contains("<td>seed<td") && !page.contains("<script"));
        data.evaluation = None;
        let (evaluation, _) = evaluated(101, 101);
        assert!(html(&Data { evaluation: Some(&evaluation), ..data }).contains("too many classes"));
    }

    #[test]
    fn a_page_of_several_labels_has_thresholds_and_no_confusion() {
        let (mut evaluation, predictions) = evaluated_sets(12, 3);
        evaluation.classes[1].threshold = Some(0.25);
        let (config, metrics) = (Config::example(classes(3)), metrics(Some(evaluation)));
        let page = html(&Data::new(&config, &metrics, &predictions, &Limits::default()));
        assert!(page.contains("<th>AP<th>threshold<th></thead>"), "{page}");
        assert!(
            page.contains("<tr><td>class &lt;1&gt;<td>4<td>80.0<td>100.0<td>88.9<td>1.000<td>0.25<td class=w>"),
            "{page}"
        );
        assert!(page.contains("exact match") && !page.contains("Confusion") && !page.contains("mistake"), "{page}");
    }

    #[test]
    fn a_page_without_evaluation_says_so_with_facts_and_curve() {
        let (_, predictions) = evaluated(12, 3);
        let (config, metrics) = (Config::example(classes(3)), metrics(None));
        let page = html(&Data::new(&config, &metrics, &predictions, &Limits::default()));
        assert!(page.contains("<h1>No photos were set aside for an evaluation</h1>"), "{page}");
        assert!(page.contains("nothing says how good this head is"), "{page}");
        assert!(page.contains("<polyline") && page.contains("<td>seed<td") && page.ends_with("</html>\n"), "{page}");
        assert!(!page.contains("mistake") && !page.contains("Confusion"), "{page}");
    }
}
