//! A real terminal for tests: a pane of a tmux server of its own, which ends with the test.
//!
//! Nothing here sleeps for a time: a test waits for what the screen shows, up to a deadline.

#![expect(clippy::disallowed_methods, reason = "a terminal of a test has the tester's environment")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::stage::{Stage, until};

/// How large a pane is, in characters.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

impl Size {
    pub const USUAL: Size = Size { columns: 100, rows: 30 };
}

/// One terminal that runs one shell line. When the line has ended, the screen and its exit code stay.
pub struct Pane {
    /// Where the server's socket lies: no other server is ever spoken to.
    dir: PathBuf,
    name: String,
}

impl Pane {
    /// Runs a shell line on this stage's database, with `queuectl` on the path and a terminal of this size. At its end
    /// tmux says so below, which may scroll the screen: a line that ends with `read x` keeps it still.
    pub fn start(stage: &Stage, size: Size, line: &str) -> Pane {
        static PANES: AtomicU32 = AtomicU32::new(0);
        let number = PANES.fetch_add(1, Ordering::Relaxed);
        let name = format!("queuectl-{}-{number}", std::process::id());
        let pane = Pane { dir: stage.dir.path().to_owned(), name };
        let program = Path::new(env!("CARGO_BIN_EXE_queuectl")).parent().expect("it lies in a directory");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a path"));
        let (columns, rows) = (size.columns.to_string(), size.rows.to_string());
        let mut command = pane.tmux();
        command.env("QUEUECTL_DB", &stage.database).env("PATH", path).current_dir(stage.dir.path());
        command.args(["set-option", "-g", "remain-on-exit", "on", ";"]);
        command.args(["set-option", "-g", "default-shell", "/bin/sh", ";"]);
        command.args(["set-option", "-g", "status", "off", ";"]);
        // tmux itself sometimes loses the code. Ctrl-C is for the line, not for the shell around it.
        let file = pane.code_file();
        let line = format!("trap : INT\n(\n{line}\n)\necho $? > '{}'", file.display());
        command.args(["new-session", "-d", "-x", &columns, "-y", &rows, &line]);
        must(&mut command);
        pane
    }

    /// Types keys by tmux's names (`q`, `C-c`, `Enter`, `Up`) or as text.
    pub fn keys(&self, keys: &[&str]) {
        must(self.tmux().arg("send-keys").args(keys));
    }

    /// What the terminal shows now, line by line, without colours.
    pub fn screen(&self) -> String {
        must(self.tmux().args(["capture-pane", "-p"]))
    }

    /// The same with colours as escape codes.
    pub fn screen_in_colour(&self) -> String {
        must(self.tmux().args(["capture-pane", "-p", "-e"]))
    }

    /// Waits until the screen shows a text, and gives the screen.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(&format!("`{text}` is shown"), |screen| screen.contains(text))
    }

    /// Waits until the screen is as it should be, and gives it.
    pub fn wait_until(&self, what: &str, so: impl Fn(&str) -> bool) -> String {
        let last = std::cell::RefCell::new(String::new());
        let tell = Tell(&last);
        until(what, || {
            last.replace(self.screen());
            so(&last.borrow())
        });
        drop(tell);
        last.into_inner()
    }

    /// Waits until the shell line has ended, and gives its exit code.
    pub fn exit_code(&self) -> i32 {
        let mut code = None;
        until("the line has ended", || {
            code = std::fs::read_to_string(self.code_file()).ok().and_then(|text| text.trim().parse().ok());
            code.is_some()
        });
        code.expect("just seen")
    }

    pub fn resize(&self, size: Size) {
        let (columns, rows) = (size.columns.to_string(), size.rows.to_string());
        must(self.tmux().args(["resize-window", "-x", &columns, "-y", &rows]));
    }

    /// A format of tmux about this pane, such as `#{cursor_flag}` or `#{alternate_on}`.
    pub fn asked(&self, format: &str) -> String {
        must(self.tmux().args(["display-message", "-p", format])).trim_end_matches('\n').to_owned()
    }

    fn code_file(&self) -> PathBuf {
        self.dir.join(format!("{}.code", self.name))
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        let foreign = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            name.starts_with("QUEUECTL") || ["TMUX", "NO_COLOR", "CLICOLOR_FORCE"].contains(&&*name)
        });
        for (name, _) in foreign {
            command.env_remove(name);
        }
        command.env("TMUX_TMPDIR", &self.dir).env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color");
        command.args(["-u", "-f", "/dev/null", "-L", &self.name]);
        command
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        // Its own server only; one that has ended already is no error.
        let _ = self.tmux().arg("kill-server").output();
    }
}

/// Prints the last screen if a wait for it fails.
struct Tell<'a>(&'a std::cell::RefCell<String>);

impl Drop for Tell<'_> {
    #[expect(clippy::print_stderr, reason = "a failed test tells what it saw")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the screen ---\n{}\n---", self.0.borrow());
        }
    }
}

fn must(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("tmux is installed");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}
