//! Terminal on which a frame replaces the one before.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;

/// Switches to the alternate screen and hides the cursor.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
/// Shows the cursor and switches back to what the terminal showed before.
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
/// Moves the cursor to the first column of the first line.
const HOME: &str = "\u{1b}[H";
/// Clears the rest of the line, and begins the next one.
const END_OF_LINE: &str = "\u{1b}[K\r\n";
/// Clears everything below the cursor.
const CLEAR_BELOW: &str = "\u{1b}[J";
/// Size of a terminal that does not tell its own.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// Standard output for frames: a terminal, or a file or pipe to which each frame is added.
#[derive(Debug)]
pub(super) struct FrameOutput {
    is_terminal: bool,
}

impl FrameOutput {
    /// Prepares stdout. The terminal is as before when this is dropped.
    ///
    /// # Errors
    /// Fails when stdout cannot be written.
    pub(super) fn open(replaces_frames: bool) -> io::Result<Self> {
        let is_terminal = replaces_frames && io::stdout().is_terminal();
        if is_terminal {
            write(ENTER)?;
        }
        Ok(Self { is_terminal })
    }

    /// True if a frame replaces the one before.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Returns columns and lines for a frame.
    pub(super) fn size(&self) -> (usize, usize) {
        if !self.is_terminal {
            return (usize::MAX, usize::MAX);
        }
        let size = rustix::termios::tcgetwinsize(io::stdout());
        let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        match size {
            Ok((columns, lines)) if columns > 0 && lines > 0 => (columns, lines),
            _ => DEFAULT_SIZE,
        }
    }

    /// Shows a frame. Returns false if nobody reads any more.
    ///
    /// # Errors
    /// Fails when stdout cannot be written.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<bool> {
        let text = if self.is_terminal {
            render_screen(lines, self.size().1)
        } else {
            format!("{}\n", lines.join("\n"))
        };
        match write(&text) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            written => written.map(|()| true),
        }
    }
}

impl Drop for FrameOutput {
    fn drop(&mut self) {
        if self.is_terminal {
            // A terminal that is gone needs no cursor.
            let _ = write(LEAVE);
        }
    }
}

/// Renders a frame over the one before, on a screen with `height` lines.
fn render_screen(lines: &[String], height: usize) -> String {
    // The last line stays free, so that the screen does not scroll.
    let shown = lines.iter().take(height.saturating_sub(1));
    let mut text = HOME.to_owned();
    for line in shown {
        text.push_str(line);
        text.push_str(END_OF_LINE);
    }
    text.push_str(CLEAR_BELOW);
    text
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screen_shows_the_lines_that_fit() {
        let lines = ["one", "two", "three"].map(str::to_owned);
        let screen = render_screen(&lines, 3);
        assert_eq!(screen, "\u{1b}[Hone\u{1b}[K\r\ntwo\u{1b}[K\r\n\u{1b}[J");
    }
}
