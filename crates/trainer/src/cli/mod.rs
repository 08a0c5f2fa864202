//! The command line: a file a verb, with its arguments, what it does and what it prints.

mod choices;
mod compare;
mod data;
mod demo;
mod doctor;
mod embed;
mod evaluate;
mod features;
mod global;
mod inspect;
mod line;
mod named;
mod network;
mod of_features;
mod predict;
mod predict_features;
mod print;
mod program;
mod reading;
mod remedy;
mod said;
mod store;
mod tally;
mod terminal;
mod train;
mod train_features;
mod tune;
mod verify;
mod watch;

use std::process::ExitCode;

use serde_json::json;

use crate::error::{Error, Fault};
use crate::machine::allocator;
use crate::{photos, threads, words};
use line::{Command, Line};
use terminal::Terminal;

/// Runs the command line, from its arguments to an exit code.
pub fn main() -> ExitCode {
    allocator::give_back_large_blocks();
    quieten_wayland();
    quieten_decoders();
    let Line { global, command } = match line::parse(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => return refused(&error),
    };
    let terminal = Terminal::new(global.quiet);
    let outcome = || {
        threads::start_pool()?;
        match Terminal::listen() {
            Err(ctrlc::Error::System(error)) => return Err(Error::Thread(error)),
            Err(error) => {
                let error = words::chain(&error);
                print::tell(&format!("warning: ctrl-c will end the program without saving features: {error}"));
            }
            Ok(()) => {}
        }
        match &command {
            Some(Command::Train(args)) if args.of.features.is_some() => train_features::train(args, &global, &terminal),
            Some(Command::Train(args)) => train::train(args, &global, &terminal),
            Some(Command::Watch(args)) => watch::watch(args, &global, &terminal),
            Some(Command::Evaluate(args)) => evaluate::evaluate(args, &global, &terminal),
            Some(Command::Compare(args)) => compare::compare(args, &global),
            Some(Command::Verify(args)) => verify::verify(args, &global, &terminal),
            Some(Command::Predict(args)) if args.features.is_some() => {
                predict_features::predict(args, &global, &terminal)
            }
            Some(Command::Predict(args)) => predict::predict(args, &global, &terminal),
            Some(Command::Embed(args)) => embed::embed(args, &global, &terminal),
            Some(Command::Features(args)) => features::features(args, &global, &terminal),
            Some(Command::Store(args)) => store::store(args, &global, &terminal),
            Some(Command::Inspect(args)) => inspect::inspect(args, &global, &terminal),
            Some(Command::Doctor(args)) => doctor::doctor(args, &global, &terminal),
            Some(Command::Tune(args)) => tune::tune(args, &global, &terminal),
            None => demo::demo(&global, &terminal),
        }
    };
    match outcome() {
        Ok(rejected) if rejected > 0 && global.strict => ExitCode::from(1),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => failed(&error, global.json),
    }
}

/// Tells people of a failure, and machines too where results are for them.
fn failed(error: &Error, json: bool) -> ExitCode {
    let (kind, code) = match error.fault() {
        Fault::Usage => USAGE,
        Fault::Input => ("input", 3),
        Fault::Device => ("device", 4),
        Fault::Io => ("io", 5),
        Fault::Interrupted => ("interrupted", 130),
    };
    let (message, remedy) = (words::chain(error), remedy::worded(error));
    if json {
        emit_error(&message, (kind, code), remedy.as_deref());
    }
    let remedy = remedy.map_or_else(String::new, |remedy| format!(": {remedy}"));
    print::tell(&format!("error: {message}{remedy}"));
    ExitCode::from(code)
}

/// Shows what clap has to say: help, the version, or what is wrong with the command line.
fn refused(error: &clap::Error) -> ExitCode {
    // That it can't be told decides nothing.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    // The command line is told to be for machines although it can't be read.
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        emit_error(message, USAGE, None);
    }
    ExitCode::from(USAGE.1)
}

/// The kind of a mistake on the command line, and its exit code.
const USAGE: (&str, u8) = ("usage", 2);

/// Prints a failure for machines: the one object on stdout.
fn emit_error(message: &str, (kind, code): (&str, u8), remedy: Option<&str>) {
    let error = json!({ "message": message, "kind": kind, "exit_code": code, "remedy": remedy });
    // A stream that fails decides nothing: the exit code says what went wrong.
    let _ = print::emit_json(&json!({ "error": error }));
}

/// Silences the panics of decoders. Their photo is reported with its name and left out: the panic's own message says nothing to the user.
fn quieten_decoders() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(photos::THREAD) {
            tell(panic);
        }
    }));
}

/// Keeps Mesa's Vulkan layer that orders adapters from asking the desktop: where there is none (a server, a container) it prints
/// "error: XDG_RUNTIME_DIR is invalid" for everyone to worry about. Adapters are ordered here anyway.
fn quieten_wayland() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the program's first act, while it has one thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
