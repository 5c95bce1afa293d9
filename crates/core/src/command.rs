//! What a job runs: a shell line, or an exact argv.

use crate::limits::COMMAND_BYTES_MAX;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// One line for the shell of the job's settings.
    Shell(String),
    /// A program and its arguments, any bytes, handed over untouched. Never empty.
    Argv(Vec<Vec<u8>>),
}

/// Why something is not a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("the command is empty")]
    Empty,
    #[error("the command holds a NUL byte, which no program can be handed")]
    Nul,
    #[error("the command has {0} bytes; at most {COMMAND_BYTES_MAX} fit")]
    TooLong(usize),
}

impl Command {
    pub fn shell(line: impl Into<String>) -> Result<Command, CommandError> {
        let line = line.into();
        if line.trim().is_empty() {
            return Err(CommandError::Empty);
        }
        check_bytes([line.as_bytes()])?;
        Ok(Command::Shell(line))
    }

    pub fn argv(words: Vec<Vec<u8>>) -> Result<Command, CommandError> {
        if words.first().is_none_or(Vec::is_empty) {
            return Err(CommandError::Empty);
        }
        check_bytes(words.iter().map(Vec::as_slice))?;
        Ok(Command::Argv(words))
    }

    /// The line as it is, or the argv quoted so that a POSIX shell reads it back.
    pub fn display(&self) -> String {
        match self {
            Command::Shell(line) => line.clone(),
            Command::Argv(words) => {
                let mut quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
                // A plain first word may still be more than a word to a shell.
                if let Some(first) = quoted.first_mut()
                    && !first.ends_with('\'')
                    && (first.contains('=') || KEYWORDS.contains(&first.as_str()))
                {
                    *first = format!("'{first}'");
                }
                quoted.join(" ")
            }
        }
    }
}

fn check_bytes<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Result<(), CommandError> {
    let mut total = 0;
    for word in words {
        if word.contains(&0) {
            return Err(CommandError::Nul);
        }
        total += word.len();
    }
    if total > COMMAND_BYTES_MAX { Err(CommandError::TooLong(total)) } else { Ok(()) }
}

/// Words that a shell takes for its own where a command begins.
const KEYWORDS: &[&str] = &[
    "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select",
    "then", "time", "until", "while",
];

/// Quotes one word for a POSIX shell; bytes that are not UTF-8 show as `$'\xNN'`, which bash and zsh read back.
fn quote(word: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(b);
    match std::str::from_utf8(word) {
        Ok(text) if !text.is_empty() && word.iter().all(plain) => text.to_owned(),
        Ok(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', "'\\''")),
        _ => {
            let mut quoted = String::from("$'");
            for byte in word {
                match byte {
                    b'\'' | b'\\' => quoted.push_str(&format!("\\{}", char::from(*byte))),
                    0x20..0x7f => quoted.push(char::from(*byte)),
                    _ => quoted.push_str(&format!("\\x{byte:02x}")),
                }
            }
            quoted.push('\'');
            quoted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&[u8]]) -> Command {
        Command::argv(words.iter().map(|w| w.to_vec()).collect()).expect("valid")
    }

    #[test]
    fn an_argv_shows_in_its_quoted_form() {
        assert_eq!(argv(&[b"echo", b"a b", b"it's", b""]).display(), r"echo 'a b' 'it'\''s' ''");
        assert_eq!(argv(&[b"x", b"\xff\n"]).display(), r"x $'\xff\x0a'");
    }

    #[test]
    fn what_no_program_can_be_handed_is_refused() {
        assert_eq!(Command::shell("  "), Err(CommandError::Empty));
        assert_eq!(Command::shell("a\0b"), Err(CommandError::Nul));
        assert_eq!(Command::argv(vec![]), Err(CommandError::Empty));
        let long = "x".repeat(COMMAND_BYTES_MAX + 1);
        assert_eq!(Command::shell(long), Err(CommandError::TooLong(COMMAND_BYTES_MAX + 1)));
    }
}
