//! Commands: shown so that a shell reads them back.

use std::process::Command as Process;

use proptest::collection::vec;
use proptest::prelude::*;
use queuectl_core::command::{Command, CommandError};
use queuectl_core::limits::COMMAND_BYTES_MAX;

/// What a shell makes of a displayed argv, as one simple command: its words.
fn read_by(shell: &str, shown: &str) -> Vec<Vec<u8>> {
    let script = format!("f() {{ printf '%s\\0' \"$@\"; }}\nf {shown}");
    let output = Process::new(shell).arg("-c").arg(script).env("LC_ALL", "C").output().expect("a shell");
    assert!(output.status.success(), "{shown}: {}", String::from_utf8_lossy(&output.stderr));
    let mut words: Vec<Vec<u8>> = output.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    words.pop();
    words
}

/// The name of the program that a shell would run for a displayed argv.
fn program_by(shell: &str, shown: &str) -> String {
    let script = format!("command_not_found_handle() {{ :; }}\nPATH=/nonexistent\n{shown}");
    let output = Process::new(shell).arg("-c").arg(script).output().expect("a shell");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn argv(words: &[&str]) -> Command {
    Command::argv(words.iter().map(|word| word.as_bytes().to_vec()).collect()).expect("a command")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_shell_reads_a_shown_argv_back(
        first in "[ -~äß漢]{1,12}", rest in vec("[ -~äß漢🦀]{0,12}", 0..5),
    ) {
        let words: Vec<Vec<u8>> = [vec![first], rest].concat().into_iter().map(String::into_bytes).collect();
        let shown = Command::argv(words.clone()).expect("a command").display();
        prop_assert_eq!(read_by("/bin/sh", &shown), words);
    }

    #[test]
    fn bash_reads_any_bytes_back(words in vec(vec(1..=255_u8, 1..12), 1..4)) {
        prop_assume!(std::path::Path::new("/bin/bash").exists());
        let shown = Command::argv(words.clone()).expect("a command").display();
        prop_assert!(!shown.contains(char::is_control), "{:?}", shown);
        prop_assert_eq!(read_by("/bin/bash", &shown), words);
    }
}

proptest! {
    #[test]
    fn what_holds_a_nul_is_refused(before in "[a-z]{1,5}", after in "[a-z]{0,5}") {
        let bad = format!("{before}\0{after}");
        prop_assert_eq!(Command::shell(bad.clone()), Err(CommandError::Nul));
        prop_assert_eq!(Command::argv(vec![b"x".to_vec(), bad.into_bytes()]), Err(CommandError::Nul));
    }
}

#[test]
fn the_first_word_is_never_read_as_an_assignment_or_a_keyword() {
    for first in ["A=b", "if", "while", "case", "done", "time", "function", "a+=1"] {
        let shown = argv(&[first, "x"]).display();
        assert!(shown.starts_with('\''), "{shown}");
        assert!(program_by("/bin/sh", &shown).contains(first), "{shown}: {}", program_by("/bin/sh", &shown));
    }
    assert_eq!(argv(&["env", "A=b", "if"]).display(), "env A=b if", "elsewhere they are plain words");
}

#[test]
fn a_line_shows_as_it_is() {
    let line = Command::shell("echo  'a' | wc").expect("a line");
    assert_eq!(line.display(), "echo  'a' | wc");
}

#[test]
fn the_bound_is_over_all_words() {
    let half = vec![b'x'; COMMAND_BYTES_MAX / 2];
    assert!(Command::argv(vec![half.clone(), half.clone()]).is_ok());
    let total = half.len() * 2 + 2;
    assert_eq!(Command::argv(vec![half.clone(), half, b"yy".to_vec()]), Err(CommandError::TooLong(total)));
    assert_eq!(Command::argv(vec![Vec::new(), b"x".to_vec()]), Err(CommandError::Empty));
}
