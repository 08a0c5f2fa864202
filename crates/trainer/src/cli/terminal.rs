//! Progress, warnings and interruption at a terminal.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cli::print::tell;
use crate::progress::{Progress, Stage};
use crate::threads::patiently;
use crate::words::count;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Set by the first ctrl-c; the second ends the program at once.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How often a log, which can't show a bar, is told how far photos are.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Bars on stderr where that is a terminal, lines now and then and at the end of each stage where it isn't, nothing when quiet.
pub(crate) struct Terminal {
    quiet: bool,
    /// When the program began.
    start: Instant,
    stage: Mutex<Option<Running>>,
}

struct Running {
    stage: Stage,
    start: Instant,
    told: Instant,
    bar: ProgressBar,
}

impl Terminal {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, start: Instant::now(), stage: Mutex::new(None) }
    }

    /// Tells how many seconds have passed since the program began, as its user's clock has them.
    pub(crate) fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Makes ctrl-c, and what schedulers and closing terminals send, ask the work to stop, from now on.
    ///
    /// # Errors
    /// There is no thread to wait for it on. A ctrl-c would do nothing then: the program must end.
    pub(crate) fn listen() -> Result<(), ctrlc::Error> {
        let stop = || {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        };
        keeping_nohup(|| patiently(|| ctrlc::set_handler(stop)))
    }

    /// Prints results while a bar may stand on the terminal.
    pub(crate) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        match self.bar() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn bar(&self) -> Option<ProgressBar> {
        self.stage.lock().ok()?.as_ref().map(|running| running.bar.clone())
    }
}

/// Lets a program that was started with `nohup` outlive its terminal, whatever `listen` does.
fn keeping_nohup<T>(listen: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    // SAFETY: a plain call that says how this process takes a signal.
    let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let listening = listen();
    #[cfg(unix)]
    if before == libc::SIG_IGN {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    }
    listening
}

impl Progress for Terminal {
    fn begin(&self, stage: Stage, total: usize) {
        let Stage { name, unit } = stage;
        let template = match unit {
            "" => format!("{name} {{spinner}}"),
            "bytes" => format!("{name} {{bar:30}} {{bytes}}/{{total_bytes}}  {{bytes_per_sec}}  {{left}}"),
            "photos" => format!("{unit} {{bar:30}} {{pos}}/{{len}}  {{rate}}  {{left}}  {{msg}}"),
            _ => format!("{unit} {{bar:30}} {{pos}}/{{len}}  {{left}}  {{msg}}"),
        };
        let target = if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        // Nothing is known of either before the first step.
        let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            if state.pos() > 0 {
                let _ = write!(out, "{:.1} images/s", state.per_sec());
            }
        };
        let left = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            if state.pos() > 0 {
                let _ = write!(out, "{:#} left", HumanDuration(state.eta()));
            }
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.with_key("rate", rate).with_key("left", left));
        }
        // A thread of its own would draw it now and then: where there is none to be had, it panics.
        bar.tick();
        if let Ok(mut current) = self.stage.lock() {
            let start = Instant::now();
            *current = Some(Running { stage, start, told: start, bar });
        }
    }

    fn advance(&self, steps: usize) {
        let Ok(mut current) = self.stage.lock() else { return };
        let Some(Running { stage, start, told, bar }) = &mut *current else { return };
        bar.inc(steps as u64);
        if stage.unit == "photos" && bar.is_hidden() && !self.quiet && told.elapsed() >= LINE_EVERY {
            *told = Instant::now();
            let (done, total) = (bar.position(), bar.length().unwrap_or(0));
            let rate = done as f64 / start.elapsed().as_secs_f64();
            let name = beside(&bar.message());
            tell(&format!("{done} of {}, {rate:.1} images/s{name}", count(total as usize, "photo")));
        }
    }

    fn note(&self, figures: &str) {
        if let Some(bar) = self.bar() {
            bar.set_message(figures.to_owned());
        }
    }

    fn end(&self) {
        let Some(Running { stage, start, bar, .. }) = self.stage.lock().ok().and_then(|mut stage| stage.take()) else {
            return;
        };
        // Before the bar is finished, which would fill it.
        let (steps, seconds) = (bar.position(), start.elapsed().as_secs_f64());
        bar.finish_and_clear();
        if self.quiet || steps == 0 {
            return;
        }
        let figures = beside(&bar.message());
        match stage.unit {
            "bytes" => tell(&format!("{} downloaded in {seconds:.1} s", indicatif::HumanBytes(steps))),
            "photos" => tell(&(photos_in(steps as usize, seconds) + &figures)),
            unit => {
                let steps = count(steps as usize, unit.strip_suffix('s').unwrap_or(unit));
                tell(&format!("{steps} in {seconds:.1} s{figures}"));
            }
        }
    }

    fn warn(&self, message: &str) {
        self.beside(|| tell(&format!("warning: {message}")));
    }

    fn cancelled(&self) -> bool {
        INTERRUPTED.load(Ordering::SeqCst)
    }
}

/// Sets what else is to be said of a stage apart from what stands before it.
fn beside(figures: &str) -> String {
    if figures.is_empty() { String::new() } else { format!("  {figures}") }
}

/// Words how long photos took. What took no time tells no rate: their features were known, or there is a single one.
fn photos_in(photos: usize, seconds: f64) -> String {
    let rate = match photos {
        2.. if seconds >= 0.1 => format!(", {:.1} images/s", photos as f64 / seconds),
        _ => String::new(),
    };
    format!("{} in {seconds:.1} s{rate}", count(photos, "photo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_where_there_is_one() {
        assert_eq!(photos_in(1, 0.0), "1 photo in 0.0 s");
        assert_eq!(photos_in(1, 2.0), "1 photo in 2.0 s");
        assert_eq!(photos_in(36, 0.001), "36 photos in 0.0 s");
        assert_eq!(photos_in(36, 0.9), "36 photos in 0.9 s, 40.0 images/s");
    }
}
