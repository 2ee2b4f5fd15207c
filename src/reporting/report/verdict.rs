//! How a run ended, in words and as a colour: the same in a terminal, on a page and in the list of past runs.
//!
//! This file is given status and exit code, and computes neither.

use super::Status;
use crate::exit::Exit;

/// How the end of a run is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The class in the page's style sheet: `good`, `partial`, `bad` or `mute`.
    pub class: &'static str,
    /// The words on a page.
    pub words: &'static str,
    /// The first words of the text report.
    pub headline: &'static str,
}

impl Verdict {
    /// The description for this status and exit code. Only exit 0 is described as good.
    pub const fn of(status: Status, exit: Exit) -> Self {
        let (class, words, headline) = match (status, exit) {
            (Status::DryRun, _) => (
                "mute",
                "Dry run: nothing was written",
                "Dry run, nothing was written",
            ),
            (Status::Success, Exit::Success) => ("good", "Success", "Synced"),
            (Status::Success, Exit::Threshold) => (
                "partial",
                "Done, and a threshold was crossed",
                "Synced, and a threshold was crossed",
            ),
            (Status::Success, _) => (
                "partial",
                "Records synced, write-back failed",
                "Records synced, write-back failed",
            ),
            (Status::Partial, _) => ("partial", "Done in part", "Synced in part"),
            (Status::Failed, _) => ("bad", "Failed", "Failed"),
        };
        Self {
            class,
            words,
            headline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_exit_0_is_green_and_nothing_else_is_headed_as_synced() {
        for exit in Exit::ALL {
            for status in [
                Status::Success,
                Status::Partial,
                Status::Failed,
                Status::DryRun,
            ] {
                let verdict = Verdict::of(status, exit);
                let well = status == Status::Success && exit == Exit::Success;
                assert_eq!(verdict.class == "good", well, "{status:?} {exit:?}");
                assert_eq!(verdict.headline == "Synced", well, "{status:?} {exit:?}");
            }
        }
    }
}
