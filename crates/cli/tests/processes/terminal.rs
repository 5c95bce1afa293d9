//! What people see on a real terminal: tables that fit, `--watch`, and the logs of several jobs at once.

use crate::stage::Stage;
use crate::tmux::{Pane, Size};

/// A stage with a job of each kind that a table treats in its own way.
fn stage_with_jobs() -> Stage {
    let mut stage = Stage::new();
    stage.enqueue("good", "true");
    stage.run(&["enqueue", "--id", "bad", "-r", "1", "-c", "exit 7"]);
    stage.start_worker(&["--drain"]);
    stage.until_state("bad", "dead");
    stage.run(&["enqueue", "--id", "later", "--delay", "3h", "-c", &format!("echo {}", "long ".repeat(40))]);
    stage
}

#[test]
fn a_pane_shows_what_a_line_prints_and_keeps_its_exit_code() {
    let stage = Stage::new();
    let pane = Pane::start(&stage, Size::USUAL, "queuectl status; read line; echo \"got $line\"; exit 7");
    pane.wait_for("Workers:");
    pane.keys(&["hello", "Enter"]);
    pane.wait_for("got hello");
    assert_eq!(pane.exit_code(), 7);
    pane.resize(Size { columns: 60, rows: 10 });
    assert_eq!(pane.asked("#{pane_width}x#{pane_height}"), "60x10");
}

#[test]
fn a_listing_fits_the_terminal_and_tells_times_as_people_do() {
    let stage = stage_with_jobs();
    let pane = Pane::start(&stage, Size { columns: 80, rows: 20 }, "queuectl list; echo over; read x");
    let screen = pane.wait_for("over");
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[0].starts_with("ID     STATE"), "{screen}");
    assert!(!lines[0].contains("PRIORITY") && !lines[0].contains("QUEUE"), "{screen}");
    assert!(lines[1].starts_with("good   completed  ") && !lines[1].contains("Z "), "{screen}");
    assert!(lines[2].starts_with("bad    dead (7)   ") && !lines[2].contains("exit code"), "{screen}");
    assert!(lines[3].starts_with("later  pending") && lines[3].contains('…'), "{screen}");
    assert!(lines[3].contains("runs in 3h") || lines[3].contains("runs in 2h"), "{screen}");
    assert!(lines[4].starts_with("over"), "no line is broken: {screen}");
    let colours = pane.screen_in_colour();
    assert!(colours.contains("\x1b[31mdead (7)") && colours.contains("\x1b[32mcompleted"), "{colours:?}");
    // Where there is no terminal nothing is cut.
    let plain = stage.run(&["list"]);
    assert!(plain.contains(&"long ".repeat(39)) && plain.contains("exit code 7"), "{plain}");
    assert!(!plain.contains('…') && !plain.contains("ago") && !plain.contains('\x1b'), "{plain}");
}

#[test]
fn a_listing_on_a_terminal_shows_the_newest_50_and_says_how_many_more() {
    let stage = Stage::new();
    let jobs: Vec<String> = (0..57).map(|n| format!(r#"{{"id":"n{n}","command":"true"}}"#)).collect();
    stage.run(&["enqueue", "--quiet", &format!("[{}]", jobs.join(","))]);
    let pane = Pane::start(&stage, Size { columns: 80, rows: 70 }, "queuectl list; echo over; read x");
    let screen = pane.wait_for("over");
    assert!(screen.contains("The newest 50 jobs; there are 7 more. --limit N shows them."), "{screen}");
    assert_eq!(screen.lines().filter(|line| line.starts_with('n')).count(), 50, "{screen}");
    assert!(screen.contains("n7 ") && !screen.contains("n6 ") && screen.contains("n56 "), "{screen}");
    assert_eq!(stage.run(&["list"]).lines().count(), 58, "all of them where there is no terminal");
}

#[test]
fn status_watch_redraws_in_place_and_q_ends_it_with_0() {
    let mut stage = Stage::new();
    let line = "queuectl status --watch; echo \"left with $?\"; stty -a | grep -o ' -*echo '; read x";
    let pane = Pane::start(&stage, Size::USUAL, line);
    pane.wait_for("pending:           0");
    pane.wait_for("q ends");
    assert_eq!(pane.asked("#{cursor_flag}"), "0", "no cursor while it draws");
    // The store comes into being while it is watched.
    stage.enqueue("a", "true");
    pane.wait_for("pending:           1");
    stage.start_worker(&["--drain"]);
    let screen = pane.wait_for("completed:         1");
    assert_eq!(screen.matches("Store:").count(), 1, "it is drawn over: {screen}");
    pane.resize(Size { columns: 40, rows: 8 });
    let screen = pane.wait_for("more lines");
    assert!(screen.contains("q ends"), "{screen}");
    pane.keys(&["x", "q"]);
    pane.wait_for("left with 0");
    let screen = pane.wait_for(" echo");
    assert!(!screen.contains("-echo"), "the terminal is as it was: {screen}");
    assert_eq!(pane.asked("#{cursor_flag}"), "1");
}

#[test]
fn a_suspended_watch_gives_the_terminal_back_and_takes_it_again() {
    let stage = Stage::new();
    let pane = Pane::start(&stage, Size::USUAL, "PS1='prompt> ' exec sh -i");
    pane.wait_for("prompt>");
    pane.keys(&["queuectl status --watch", "Enter"]);
    pane.wait_for("q ends");
    pane.keys(&["C-z"]);
    pane.wait_until("the shell asks again", |screen| screen.trim_end().ends_with("prompt>"));
    assert_eq!(pane.asked("#{cursor_flag}"), "1");
    pane.keys(&["clear; fg", "Enter"]);
    pane.wait_until("it is drawn again", |screen| screen.contains("q ends") && !screen.contains("prompt>"));
    assert_eq!(pane.asked("#{cursor_flag}"), "0");
    pane.keys(&["q"]);
    pane.wait_until("the shell asks again", |screen| screen.trim_end().ends_with("prompt>"));
    pane.keys(&["echo \"left with $?\"", "Enter"]);
    pane.wait_for("left with 0");
}

#[test]
fn list_watch_shows_new_jobs_and_ctrl_c_ends_it_with_130() {
    let stage = Stage::new();
    let line = "trap : INT; queuectl list --watch=60; echo \"left with $?\"; read x";
    let pane = Pane::start(&stage, Size { columns: 60, rows: 8 }, line);
    pane.wait_for("No jobs.");
    // A ring is heard at once: nobody waits for the minute. A store that is not there yet is looked for by the clock.
    pane.keys(&["C-c"]);
    pane.wait_for("left with 130");
    for n in 0..12 {
        stage.enqueue(&format!("job{n}"), "true");
    }
    let pane = Pane::start(&stage, Size { columns: 60, rows: 8 }, line);
    pane.wait_for("job11");
    stage.enqueue("fresh", "true");
    let screen = pane.wait_for("fresh");
    assert!(screen.starts_with("ID") && screen.contains("no worker"), "{screen}");
    assert!(!screen.contains("job7 "), "the newest that there is room for: {screen}");
    stage.run(&["cancel", "fresh"]);
    pane.wait_for("cancelled");
    pane.keys(&["C-c"]);
    pane.wait_for("left with 130");
    assert_eq!(pane.asked("#{cursor_flag}"), "1");
}

#[test]
fn logs_follow_shows_three_jobs_at_once_and_nothing_that_they_say_moves_the_cursor() {
    let mut stage = Stage::new();
    stage.start_worker(&["--count", "3"]);
    let wait = "until [ -e go ]; do sleep 0.02; done";
    stage.enqueue(
        "one",
        &format!(r"printf '\033[2J\033[31mred\033[0m\033]0;evil\007\n'; {wait}; echo end of one"),
    );
    let trouble = format!("echo begun; {wait}; echo trouble >&2; exit 3");
    stage.run(&["enqueue", "--id", "two", "-r", "1", "-c", &trouble]);
    stage.enqueue("three", &format!(r"printf '10%%\r20%%\r'; {wait}; echo done"));
    let line = "queuectl logs -f one two three; echo \"left with $?\"; read x";
    let pane = Pane::start(&stage, Size { columns: 80, rows: 24 }, line);
    pane.wait_for("one   | red");
    pane.wait_for("two   | begun");
    std::fs::write(stage.path("go"), "").expect("written");
    let screen = pane.wait_for("left with 0");
    for line in
        ["one   | red", "one   | end of one", "two   ! trouble", "three | 10%", "three | 20%", "three | done"]
    {
        assert!(screen.lines().any(|one| one == line), "{line} is not in {screen}");
    }
    assert!(screen.contains("==> two, attempt 1: exit code 3,"), "{screen}");
    assert_ne!(pane.asked("#{pane_title}"), "evil");
    assert!(pane.screen_in_colour().contains("\x1b[31mred"), "colours stay");
    // One job alone has no prefix; raw bytes are for those who ask.
    let pane =
        Pane::start(&stage, Size::USUAL, "queuectl logs one; queuectl logs one --raw; echo over; read x");
    let screen = pane.wait_for("over");
    assert!(screen.contains("red\nend of one\nover"), "{screen}");
    assert!(!screen.contains("==>"), "the raw one has cleared the screen: {screen}");
    assert_eq!(pane.asked("#{pane_title}"), "evil");
}
