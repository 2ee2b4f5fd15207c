//! Thin: parse, log, run, exit code.

use std::process::ExitCode;

use datasync::commands;
use datasync::exit::{self, Exit};
use datasync::support::{core_dumps, logging};

fn main() -> ExitCode {
    let refused = core_dumps::switch_off();
    let cli = commands::parse().unwrap_or_else(|error| {
        if error.use_stderr() {
            commands::keep_usage_error();
        }
        error.exit()
    });
    logging::start(&cli.global.log());
    logging::log_panics();
    for reason in refused {
        log::warn!("{reason}");
    }
    let exit = exit::contain(|| Ok(commands::run(&cli))).unwrap_or(Exit::Internal);
    logging::release(exit != Exit::Success);
    exit.into()
}
