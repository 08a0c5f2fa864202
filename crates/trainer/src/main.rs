//! The command `trainer`: parses its line, calls the library, prints, and turns errors into exit codes.

mod cli;
mod commands;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;
use trainer::{Error, Fault, allocator};

use cli::{Cli, Command};
use terminal::Terminal;

fn main() -> ExitCode {
    allocator::give_back_large_blocks();
    quieten_wayland();
    quieten_decoders();
    let Cli { global, command } = Cli::parse();
    let terminal = Terminal::new(global.quiet);
    if let Err(error) = Terminal::listen() {
        eprintln!("warning: ctrl-c will end the program without saving features: {error}");
    }
    let outcome = match &command {
        Some(Command::Train(args)) => commands::train(args, &global, &terminal),
        Some(Command::Evaluate(args)) => commands::evaluate(args, &global, &terminal),
        Some(Command::Predict(args)) => commands::predict(args, &global, &terminal),
        Some(Command::Embed(args)) => commands::embed(args, &global, &terminal),
        Some(Command::Inspect(args)) => commands::inspect(args, &global, &terminal),
        Some(Command::Doctor(args)) => commands::doctor(args, &global, &terminal),
        Some(Command::Tune(args)) => commands::tune(args, &global, &terminal),
        None => commands::demo(&global, &terminal),
    };
    match outcome {
        Ok(rejected) if rejected > 0 && global.strict => ExitCode::from(1),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(code(&error))
        }
    }
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>().map(Error::fault) {
        Some(Fault::Usage) => 2,
        Some(Fault::Input) => 3,
        Some(Fault::Device) => 4,
        Some(Fault::Interrupted) => 130,
        Some(Fault::Io) | None => 5,
    }
}

/// A photo whose decoder panics is reported with its name and left out: the panic's own message says nothing to the user.
fn quieten_decoders() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(trainer::decode::THREAD) {
            tell(panic);
        }
    }));
}

/// Mesa's Vulkan layer that orders adapters asks the desktop, and where there is none (a server, a container) it prints
/// "error: XDG_RUNTIME_DIR is invalid" for everyone to worry about. The order is ours anyway.
fn quieten_wayland() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the program's first act, while it has one thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
