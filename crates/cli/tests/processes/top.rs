//! `top` on a real terminal: what it shows, what its keys do, and that the terminal is given back.

use crate::stage::{CONT, Stage, TERM, signal, until};
use crate::tmux::{Pane, Size};

/// Starts `top`, and tells how it ended and what it left of the terminal.
const LINE: &str = "echo before; queuectl top; echo \"left with $?\"; stty -a | grep -o ' -*icanon '; read x";

/// The terminal is as it was: the screen of before, the cursor, lines with echo.
fn is_given_back(pane: &Pane, left_with: i32) {
    let screen = pane.wait_until("the terminal is given back", |screen| screen.contains("icanon"));
    assert!(screen.starts_with("before\n"), "{screen}");
    assert!(screen.contains(&format!("left with {left_with}\n icanon")), "{screen}");
    assert_eq!(pane.asked("#{alternate_on} #{cursor_flag}"), "0 1");
}

/// The process that runs `top` on this stage's database.
fn top_of(stage: &Stage) -> u32 {
    let marked = |pid: &u32| {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        let database = format!("QUEUECTL_DB={}\0", stage.database.display());
        read("cmdline") == b"queuectl\0top\0" && environment.contains(&database)
    };
    let mut found = None;
    until("top runs", || {
        found = crate::stage::pids().into_iter().find(marked);
        found.is_some()
    });
    found.expect("just found")
}

#[test]
fn top_shows_jobs_as_they_come_filters_cancels_pauses_and_gives_the_terminal_back() {
    let mut stage = Stage::new();
    let pane = Pane::start(&stage, Size::USUAL, LINE);
    pane.wait_for("no store yet");
    assert_eq!(pane.asked("#{alternate_on} #{cursor_flag}"), "1 0");
    // The store, jobs and workers come into being while it is watched.
    stage.enqueue("one", "true");
    pane.wait_for("one pending");
    stage.run(&["enqueue", "--id", "slow", "-q", "mail", "-c", "echo it $((1 + 1)) began; sleep 600"]);
    stage.start_worker(&[]);
    pane.wait_for("1 of 1 slots busy");
    let screen = pane.wait_for("  slow ");
    assert!(screen.contains("WORKER") && screen.contains("mail    active"), "{screen}");
    pane.wait_for("one  completed");

    pane.keys(&["/", "SLOW mail"]);
    pane.wait_for("/SLOW mail");
    pane.wait_until("only one job is left", |screen| !screen.contains("one  completed"));
    pane.keys(&["Enter"]);
    pane.wait_for("it 2 began");
    pane.keys(&["Enter"]);
    let details = pane.wait_for("it runs on");
    assert!(details.contains("id:            slow"), "{details}");
    pane.keys(&["q"]);

    pane.keys(&["c"]);
    pane.wait_for("Cancel job slow? (y/n)");
    pane.keys(&["n"]);
    pane.wait_for("Nothing was cancelled");
    assert_eq!(stage.state("slow"), "processing");
    pane.keys(&["c", "y"]);
    pane.wait_for("Cancelling job slow");
    pane.wait_for("slow cancelled");
    pane.wait_for("[attempt 1: cancelled]");
    assert_eq!(stage.state("slow"), "cancelled");
    // At once they are Alt-p to a terminal.
    pane.keys(&["Escape", "p"]);
    pane.wait_for("Queue default is paused");
    pane.wait_for("default paused");
    stage.run(&["enqueue", "--id", "held", "-c", "true"]);
    pane.wait_for("queue paused");
    pane.keys(&["r"]);
    pane.wait_for("Job slow is pending again");
    stage.until_state("slow", "processing");
    pane.keys(&["p"]);
    pane.wait_for("default active");

    pane.keys(&["q"]);
    is_given_back(&pane, 0);
}

#[test]
fn top_fits_a_small_terminal_and_a_larger_one() {
    let stage = Stage::new();
    stage.run(&["enqueue", "--id", "rude", "-c", "printf '\u{1b}[2J\u{7}\u{202e}'; \t true"]);
    let pane = Pane::start(&stage, Size { columns: 40, rows: 10 }, LINE);
    let screen = pane.wait_for("rude pending");
    assert!(screen.contains("*Jobs") && !screen.contains("Queues"), "{screen}");
    assert!(screen.contains("printf '\\u{1b}["), "control characters show as escapes: {screen}");
    pane.resize(Size::USUAL);
    // A screen is drawn from its top to its last line.
    assert!(pane.wait_for("Output of rude").contains("Queues"));
    pane.wait_for("q quit");
    pane.keys(&["C-c"]);
    is_given_back(&pane, 130);
}

#[test]
fn top_finds_an_old_job_by_its_id_and_holds_no_more_than_a_page() {
    let stage = Stage::new();
    stage.enqueue("needle", "true");
    let lines: String = (0..10_050).map(|n| format!("{n}\n")).collect();
    std::fs::write(stage.path("lines"), lines).expect("a file");
    let input = std::fs::File::open(stage.path("lines")).expect("a file");
    let mut bulk = stage.command(&["enqueue", "--quiet", "--lines", "-c", "echo \"$1\""]);
    assert!(bulk.stdin(input).output().expect("the binary runs").status.success());
    let pane = Pane::start(&stage, Size::USUAL, LINE);
    let screen = pane.wait_for("the newest 200");
    assert!(screen.contains("0 all 10051"), "{screen}");
    pane.keys(&["/", "needl"]);
    // The beginning of a chosen id is not looked for in all the rest.
    pane.wait_for("No such job among the newest.");
    pane.keys(&["e"]);
    pane.wait_for("needle pending");
    pane.keys(&["Enter", "q"]);
    is_given_back(&pane, 0);
}

#[test]
fn top_has_colours_and_with_no_color_none() {
    let stage = Stage::new();
    stage.run(&["queue", "pause", "mail"]);
    for (setting, coloured) in [("", true), ("NO_COLOR=1 ", false)] {
        let pane = Pane::start(&stage, Size::USUAL, &LINE.replace("queuectl", &format!("{setting}queuectl")));
        pane.wait_for("paused");
        let screen = pane.screen_in_colour();
        assert_eq!(screen.contains("\x1b[38;5;3m"), coloured, "{screen:?}");
        assert!(screen.contains("\x1b[7m"), "the mark shows without colours: {screen:?}");
        pane.keys(&["q"]);
        is_given_back(&pane, 0);
    }
}

#[test]
fn a_suspended_top_gives_the_terminal_back_and_takes_it_again() {
    let stage = Stage::new();
    stage.enqueue("one", "true");
    let pane = Pane::start(&stage, Size::USUAL, LINE);
    pane.wait_for("one pending");
    let top = top_of(&stage);
    pane.keys(&["C-z"]);
    until("top stops", || {
        std::fs::read_to_string(format!("/proc/{top}/stat")).is_ok_and(|stat| stat.contains(") T "))
    });
    pane.wait_until("the screen of before is back", |screen| screen.starts_with("before\n"));
    assert_eq!(pane.asked("#{alternate_on} #{cursor_flag}"), "0 1");
    signal(top, CONT);
    pane.wait_for("one pending");
    pane.keys(&["C-l"]);
    pane.keys(&["?"]);
    pane.wait_for("any key goes back");
    pane.keys(&["?", "q"]);
    is_given_back(&pane, 0);
}

#[test]
fn top_gives_the_terminal_back_when_it_is_told_to_end() {
    for (number, code) in [(TERM, 143), (1, 129)] {
        let stage = Stage::new();
        let pane = Pane::start(&stage, Size::USUAL, LINE);
        pane.wait_for("no store yet");
        signal(top_of(&stage), number);
        is_given_back(&pane, code);
    }
}

#[test]
fn top_without_a_terminal_is_refused_and_names_the_way_for_programs() {
    let output = Stage::new().output(&["top"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(output.stdout.is_empty());
    assert!(errors.starts_with("Error: ") && errors.contains("queuectl status --json"), "{errors}");
}
