//! The terminal that a stream may be connected to.

use std::os::fd::AsFd;

/// Columns where a terminal does not say how wide it is.
const USUAL: usize = 80;

/// How wide the terminal is; none where the stream is no terminal.
pub fn columns(stream: impl AsFd) -> Option<usize> {
    if !rustix::termios::isatty(&stream) {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stream).ok();
    let columns = size.map(|size| usize::from(size.ws_col));
    Some(columns.filter(|columns| *columns > 0).unwrap_or(USUAL))
}

/// Whether colours may be used, as far as the user has a say: neither `--no-color` nor `NO_COLOR`.
pub fn colors_wanted(no_color: bool) -> bool {
    !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
