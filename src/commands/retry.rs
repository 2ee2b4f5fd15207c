//! `datasync retry`: the checks, the spool, what failed, and the case.

use anyhow::{Context as _, Result};

use crate::cli::{Global, Output, RetryArgs};
use crate::config::Needs;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::run::{self, Request};
use crate::signals::Signals;

pub(super) fn run(global: &Global, _args: &RetryArgs) -> Result<Exit> {
    let plan = super::load(
        global,
        Needs {
            api: true,
            database: true,
        },
    )?;
    let signals = Signals::listen().context("cannot listen for signals")?;
    let progress =
        Progress::new(!global.quiet && !global.no_color && global.output == Output::Text);
    let request = Request {
        replay_only: true,
        ..Request::default()
    };
    let (report, exit) = run::sync(&plan, &request, &signals, progress)?;
    super::sync::show(global, &report, exit)?;
    Ok(exit)
}
