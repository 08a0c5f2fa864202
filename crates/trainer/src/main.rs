//! The binary `trainer`: hands over to the command line in the library.

fn main() -> std::process::ExitCode {
    trainer::cli::main()
}
