//! Properties of the terminal that a stream may be connected to.

use std::os::fd::AsFd;

/// The width that is assumed where a terminal does not report one, in columns.
const USUAL: usize = 80;

/// The width of the terminal in columns; none where the stream is no terminal.
pub fn columns(stream: impl AsFd) -> Option<usize> {
    if !rustix::termios::isatty(&stream) {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stream).ok();
    let columns = size.map(|size| usize::from(size.ws_col));
    Some(columns.filter(|columns| *columns > 0).unwrap_or(USUAL))
}

/// False where the user has switched colours off, by `--no-color` or `NO_COLOR`.
pub fn colors_wanted(no_color: bool) -> bool {
    !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
