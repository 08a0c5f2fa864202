//! The command line: a file a verb, with its arguments, what it does and what it prints.

mod demo;
mod doctor;
mod embed;
mod evaluate;
mod global;
mod inspect;
mod network;
mod predict;
mod print;
mod reading;
mod remedy;
mod terminal;
mod train;
mod tune;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, Fault};
use crate::machine::allocator;
use crate::{photos, threads, words};
use doctor::Doctor;
use embed::Embed;
use evaluate::Evaluate;
use global::Global;
use inspect::Inspect;
use predict::Predict;
use terminal::Terminal;
use train::Train;
use tune::Tune;

/// Gives a ResNet that knows ImageNet a new head for your own photos, on any GPU.
///
/// Without a command, the demo runs: no files, no network, less than a minute.
#[derive(Debug, Parser)]
#[command(
    name = "trainer",
    version,
    max_term_width = 110,
    after_help = "Examples:
  trainer                                                     the demo
  trainer train photos --backbone resnet18 --out run
  trainer predict run new.jpg
  trainer doctor                                              what this machine can do
  trainer tune                                                the fastest kernels for it

Exit codes: 0 done, 1 done but photos were rejected (with --strict), 2 usage, 3 bad input, 4 device, 5 I/O, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(Box<Train>),
    Evaluate(Evaluate),
    Predict(Predict),
    Embed(Embed),
    Inspect(Inspect),
    Doctor(Doctor),
    Tune(Tune),
}

/// Runs the command line, from its arguments to an exit code.
pub fn main() -> ExitCode {
    allocator::give_back_large_blocks();
    quieten_wayland();
    quieten_decoders();
    let Cli { global, command } = Cli::parse();
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
            Some(Command::Train(args)) => train::train(args, &global, &terminal),
            Some(Command::Evaluate(args)) => evaluate::evaluate(args, &global, &terminal),
            Some(Command::Predict(args)) => predict::predict(args, &global, &terminal),
            Some(Command::Embed(args)) => embed::embed(args, &global, &terminal),
            Some(Command::Inspect(args)) => inspect::inspect(args, &global, &terminal),
            Some(Command::Doctor(args)) => doctor::doctor(args, &global, &terminal),
            Some(Command::Tune(args)) => tune::tune(args, &global, &terminal),
            None => demo::demo(&global, &terminal),
        }
    };
    match outcome() {
        Ok(rejected) if rejected > 0 && global.strict => ExitCode::from(1),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            print::tell(&format!("error: {}{}", words::chain(&error), remedy::worded(&error)));
            ExitCode::from(code(&error))
        }
    }
}

fn code(error: &Error) -> u8 {
    match error.fault() {
        Fault::Usage => 2,
        Fault::Input => 3,
        Fault::Device => 4,
        Fault::Io => 5,
        Fault::Interrupted => 130,
    }
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
