//! The reference that is printed from the grammar: `docs/cli.md`, one section a verb, and `docs/man`, one page a verb.
//!
//! A test compares them with the grammar; `UPDATE=1 cargo test -p queuectl-cli reference` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use roff::{Roff, roman};

use crate::cli::Cli;

/// Columns of a help text in the reference.
const WIDTH: usize = 100;
const EXAMPLES: &str = "Examples:\n";

/// Every verb and every group of verbs, in the order of the grammar, with all of its words.
fn verbs() -> Vec<(String, Command)> {
    fn walk(name: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        found.push((name.to_owned(), command.clone()));
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
        {
            walk(&format!("{name} {}", verb.get_name()), verb, found);
        }
    }
    let mut root = Cli::command().term_width(WIDTH);
    root.build();
    let mut found = Vec::new();
    walk("queuectl", &root, &mut found);
    found
}

fn help(command: &Command) -> String {
    let text = command.clone().term_width(WIDTH).render_long_help().to_string();
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>().trim_end().to_owned()
}

/// The examples of a verb, one a line, as they stand in its help.
fn examples(command: &Command) -> Option<String> {
    let after = command.get_after_long_help().or(command.get_after_help())?.to_string();
    Some(after.split_once(EXAMPLES)?.1.to_owned())
}

fn markdown() -> String {
    let verbs = verbs();
    let mut text = "# The command line\n\n\
        This page is printed from the grammar: what `--help` says of each verb. Options may be spelled with \
        underscores too, and `--db` stands before or after the verb.\n\n"
        .to_owned();
    for (name, command) in &verbs {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("- [`{name}`](#{}): {about}\n", name.replace(' ', "-")));
    }
    for (name, command) in &verbs {
        text.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help(command)));
    }
    text
}

fn page(name: &str, command: &Command) -> String {
    let title = name.replace(' ', "-");
    // `help` has no page of its own.
    let command = command.clone().mut_subcommands(|verb| {
        let hidden = verb.is_hide_set() || verb.get_name() == "help";
        verb.hide(hidden)
    });
    let man = Man::new(command.clone().name(title.clone()).bin_name(name.to_owned()))
        .title(title.to_uppercase())
        .source("queuectl")
        .manual("queuectl manual");
    let mut page = Vec::new();
    let mut sections = vec![
        man.render_title(&mut page),
        man.render_name_section(&mut page),
        man.render_synopsis_section(&mut page),
        man.render_description_section(&mut page),
        man.render_options_section(&mut page),
    ];
    if command.has_subcommands() {
        sections.push(man.render_subcommands_section(&mut page));
    }
    if let Some(examples) = examples(&command) {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.lines() {
            roff.text([roman(line)]);
        }
        sections.push(roff.control("fi", []).to_writer(&mut page));
    }
    assert!(sections.iter().all(Result::is_ok), "a page is written to memory");
    String::from_utf8(page).expect("roff of UTF-8 is UTF-8")
}

/// Every generated file, by its path from `docs`.
fn files() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::from([(PathBuf::from("cli.md"), markdown())]);
    for (name, command) in verbs() {
        let path = PathBuf::from(format!("man/{}.1", name.replace(' ', "-")));
        files.insert(path, page(&name, &command));
    }
    files
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn pages_there() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(docs().join("man")) else { return Vec::new() };
    entries.flatten().map(|entry| Path::new("man").join(entry.file_name())).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "asked for by a variable")]
fn the_reference_is_current() {
    let files = files();
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        fs::create_dir_all(docs().join("man")).expect("docs/man can be made");
        for (path, text) in &files {
            fs::write(docs().join(path), text).expect("the reference can be written");
        }
    }
    for path in pages_there().iter().filter(|path| !files.contains_key(*path)) {
        assert!(update, "docs/{} is of no verb; UPDATE=1 removes it", path.display());
        fs::remove_file(docs().join(path)).expect("the page can be removed");
    }
    for (path, text) in &files {
        let there = fs::read_to_string(docs().join(path)).unwrap_or_default();
        assert!(
            there == *text,
            "docs/{} differs from the grammar; write it anew with `UPDATE=1 cargo test -p queuectl-cli reference`",
            path.display()
        );
    }
}

#[test]
fn every_verb_has_help_and_examples() {
    let mut poor = Vec::new();
    for (name, command) in verbs() {
        let examples = examples(&command).unwrap_or_default();
        let shown = examples.lines().any(|line| line.contains("queuectl"));
        if command.get_about().is_none() || !shown {
            poor.push(name.clone());
        }
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            if arg.get_help().is_none() {
                poor.push(format!("{name} <{}>", arg.get_id()));
            }
        }
    }
    assert!(poor.is_empty(), "no help or no `Examples:` section: {poor:#?}");
}

/// Words of an example as a shell hands them over, up to the first that ends the command.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.split(" | ").find(|part| part.trim_start().starts_with("queuectl "))?;
    let line = line.split("  #").next()?.split(" > ").next()?.split(" && ").next()?;
    shlex_words(line.trim())
}

/// Blanks separate words outside of single quotes: all that the examples need.
fn shlex_words(line: &str) -> Option<Vec<String>> {
    let mut found = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => found.push(String::new()),
            c => found.last_mut()?.push(c),
        }
    }
    found.retain(|word| !word.is_empty());
    (!quoted).then_some(found)
}

#[test]
fn every_example_is_of_the_grammar() {
    for (name, command) in verbs() {
        for line in examples(&command).unwrap_or_default().lines() {
            let Some(words) = words(line) else { continue };
            let parsed = Cli::command().try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{name}: `{line}` is not understood: {}", parsed.expect_err("not ok"));
            let own: Vec<&str> = name.split(' ').skip(1).collect();
            let verb = own.first().is_none_or(|verb| words.iter().any(|word| word == verb));
            assert!(verb, "{name}: `{line}` is an example of something else");
        }
    }
}

/// Verbs that the guides name and the grammar does not have yet. Whoever adds one takes it out of here.
const NOT_YET: &[&str] = &[];

#[test]
fn every_command_of_the_guides_is_of_the_grammar() {
    let text = fs::read_to_string(docs().join("coming-from.md")).expect("the guide");
    let mut parsed = 0;
    // Code spans lie at the odd places between backquotes.
    for span in text.split('`').skip(1).step_by(2) {
        for line in span.split("; ").filter_map(|part| part.find("queuectl ").map(|at| &part[at..])) {
            let words = shlex_words(&line.replace('"', "")).expect("its quotes are closed");
            let not_yet = NOT_YET.iter().any(|verb| line.starts_with(&format!("queuectl {verb}")));
            let known = Cli::command().try_get_matches_from(&words);
            assert_eq!(known.is_err(), not_yet, "`{line}`: {:?}", known.err().map(|error| error.to_string()));
            parsed += 1;
        }
    }
    assert!(parsed > 60, "only {parsed} commands were found");
}
