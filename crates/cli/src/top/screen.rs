//! The terminal while `top` has it: another screen, no cursor, keys as they come. It is given back however `top` ends.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, KeyEvent};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute, queue, style};
use ratatui::{Frame, Terminal};
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc;

use crate::exit::{Exit, Failure};

/// The terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Something of ours has panicked, on whatever thread.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Dropping it gives the terminal back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

/// What is typed, or that the size is another.
pub enum Typed {
    Key(KeyEvent),
    Resized,
}

impl Screen {
    pub fn take(colours: bool) -> Result<Screen, Failure> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // The message belongs on the screen that people keep.
                give_back();
                PANICKED.store(true, Ordering::SeqCst);
                before(panic);
            }));
        });
        // We decide about colours, as for every other verb.
        style::force_color_output(colours);
        take().map_err(unusable)?;
        let backend = CrosstermBackend::new(BufWriter::with_capacity(64 * 1024, io::stdout()));
        match Terminal::new(backend) {
            Ok(terminal) => Ok(Screen { terminal }),
            Err(error) => {
                give_back();
                Err(unusable(error))
            }
        }
    }

    /// Draws what differs, in one synchronised write.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame)) -> Result<(), Failure> {
        let all = || -> io::Result<()> {
            queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
            self.terminal.draw(draw)?;
            execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
        };
        all().map_err(unusable)
    }

    /// The next drawing draws everything.
    pub fn clear(&mut self) -> Result<(), Failure> {
        // Not ratatui's own `clear`: it asks the terminal where the cursor is, and the thread that reads keys would take
        // the answer.
        let mut all = || -> io::Result<()> {
            let size = self.terminal.size()?;
            self.terminal.resize(size.into())
        };
        all().map_err(unusable)
    }

    /// Gives the terminal back until somebody lets us go on.
    pub fn suspend(&mut self) -> Result<(), Failure> {
        give_back();
        // Returns when we go on.
        let _ = kill_process(getpid(), Signal::STOP);
        self.resume()
    }

    /// Takes the terminal again, as a shell may have used it meanwhile.
    pub fn resume(&mut self) -> Result<(), Failure> {
        take().map_err(unusable)?;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Something of ours has panicked and has given the terminal back.
pub fn has_panicked() -> bool {
    PANICKED.load(Ordering::SeqCst)
}

/// What is typed, read on a thread that ends with the process.
pub fn typed(room: usize) -> mpsc::Receiver<Typed> {
    let (sender, receiver) = mpsc::channel(room);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let typed = match event {
                event::Event::Key(key) => Typed::Key(key),
                event::Event::Resize(..) => Typed::Resized,
                _ => continue,
            };
            if sender.blocking_send(typed).is_err() {
                return;
            }
        }
    });
    receiver
}

fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    let taken = enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen, cursor::Hide));
    if taken.is_err() {
        give_back();
    }
    taken
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nobody may be there any more.
        let mut stdout = io::stdout();
        // Some terminals whose size has changed leave parts of the other screen behind, unless it is empty.
        let clear = Clear(ClearType::All);
        let _ = execute!(stdout, EndSynchronizedUpdate, clear, LeaveAlternateScreen, cursor::Show);
        let _ = stdout.flush();
        let _ = disable_raw_mode();
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn unusable(error: io::Error) -> Failure {
    Failure::new(Exit::Unavailable, format!("cannot use the terminal: {error}"))
        .hint("`queuectl status` shows the same once, `queuectl status --watch` on simpler terminals")
}
