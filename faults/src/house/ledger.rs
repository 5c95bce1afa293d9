//! The total-queue check: what the store says came of each job, against what the jobs wrote down themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::spools::Claim;
use crate::snapshot::witness;

/// More than a store keeps without a file, in bytes.
const LONG: usize = 40 * 1024;

/// A shell line that notes its begin and its end, each with what it is, prints something that no other run prints, the one
/// half before `between` and the other after, and exits with the code in `$c`, which `between` may set.
pub fn note(between: &str, letters: &str) -> String {
    line(between, letters, letters)
}

/// The same, but between the halves it prints so much that it is kept in a file.
pub fn note_long(letters: &str) -> String {
    line(&format!("yes \"$i $$\" | head -c {LONG}"), letters, &format!("{LONG} {letters}"))
}

fn line(between: &str, letters: &str, noted: &str) -> String {
    format!(
        "c=0; i=\"$QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT\"; printf '%s ' \"$i $$\"; echo \"begin $i $$\" >>notes; \
         {between}; echo \"{letters}\"; echo \"end $i $c $i $$ {noted}\" >>notes; exit $c"
    )
}

/// What a run that noted this has printed: the same, or, if one line says how long it was, that.
fn printed_by(noted: &str) -> Vec<u8> {
    let words: Vec<&str> = noted.split(' ').collect();
    let [id, number, pid, length, letters] = words[..] else { return format!("{noted}\n").into_bytes() };
    if noted.contains('\n') {
        return format!("{noted}\n").into_bytes();
    }
    let own = format!("{id} {number} {pid}");
    let between =
        format!("{own}\n").into_bytes().into_iter().cycle().take(length.parse().unwrap_or_default());
    format!("{own} ")
        .into_bytes()
        .into_iter()
        .chain(between)
        .chain(format!("{letters}\n").into_bytes())
        .collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub state: String,
    pub attempts: u32,
    pub runs: u32,
    pub interruptions: u32,
    pub max_retries: u32,
    pub command: String,
}

/// One run, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub outcome: String,
    pub exit: Option<i32>,
    pub charged: bool,
    pub claim: Claim,
    /// Its standard output; nothing if it printed nothing.
    pub printed: Option<Kept>,
}

/// What the store keeps of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub sha256: Vec<u8>,
    /// If it is not in a file.
    pub body: Option<Vec<u8>>,
    pub file: Option<String>,
}

impl Kept {
    /// The bytes as a reader is given them, if they are what their digest says.
    fn bytes(&self, out_dir: &Path) -> Result<Vec<u8>, String> {
        let bytes = match &self.file {
            Some(name) => {
                let path = out_dir.join(name);
                fs::read(&path).map_err(|e| format!("its output {}: {e}", path.display()))?
            }
            None => self.body.clone().unwrap_or_default(),
        };
        if Sha256::digest(&bytes).as_slice() == self.sha256 {
            Ok(bytes)
        } else {
            Err("its output has another digest".to_owned())
        }
    }
}

/// One run, as it wrote it down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    pub begins: u32,
    /// Exit code and what it printed, of each end.
    pub ends: Vec<(i32, String)>,
}

/// All of it at one instant.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub jobs: BTreeMap<String, Job>,
    pub attempts: BTreeMap<(String, u32), Attempt>,
    pub noted: BTreeMap<(String, u32), Noted>,
    /// Of the outputs' files.
    pub out_dir: PathBuf,
}

impl Ledger {
    pub fn read(database: &Path, notes: &str) -> Result<Ledger, String> {
        let connection = witness(database).map_err(|e| e.to_string())?;
        let (jobs, attempts) = rows(&connection).map_err(|e| e.to_string())?;
        let out_dir = PathBuf::from(format!("{}.out", database.display()));
        Ok(Ledger { jobs, attempts, noted: read_notes(notes)?, out_dir })
    }

    /// Every run that the store has, to the bytes of its output, is as the run itself wrote it down, and the other way round; a job that succeeded did
    /// once and last; none had more tries than it may. `lives`: how often a person may have begun it anew.
    pub fn check(&self, lives: impl Fn(&str) -> u32) -> Result<(), String> {
        for ((id, number), attempt) in &self.attempts {
            let noted = self.noted.get(&(id.clone(), *number)).cloned().unwrap_or_default();
            let printed = attempt.printed.as_ref().map(|kept| kept.bytes(&self.out_dir)).transpose();
            printed
                .and_then(|printed| agree(attempt, printed.as_deref(), &noted))
                .map_err(|why| format!("{id} run {number}: {why}: {attempt:?}, {noted:?}"))?;
        }
        for ((id, number), noted) in &self.noted {
            if noted.begins > 1 || noted.ends.len() > 1 {
                return Err(format!("{id} run {number} ran twice: {noted:?}"));
            }
            if self.jobs.contains_key(id) && !self.attempts.contains_key(&(id.clone(), *number)) {
                return Err(format!("{id} run {number} ran, and the store has no such run: {noted:?}"));
            }
        }
        for (id, job) in &self.jobs {
            self.check_job(id, job, lives(id)).map_err(|why| format!("{id}: {why}: {job:?}"))?;
        }
        Ok(())
    }

    pub fn runs_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = (u32, &'a Attempt)> {
        let from = (id.to_owned(), 0);
        self.attempts
            .range(from..)
            .take_while(move |((of, _), _)| of == id)
            .map(|((_, number), attempt)| (*number, attempt))
    }

    fn check_job(&self, id: &str, job: &Job, lives: u32) -> Result<(), String> {
        let runs: Vec<(u32, &Attempt)> = self.runs_of(id).collect();
        if runs.iter().map(|(number, _)| *number).ne(1..=job.runs) {
            return Err("its runs are not numbered one by one".to_owned());
        }
        let succeeded: Vec<u32> =
            runs.iter().filter(|(_, run)| run.exit == Some(0)).map(|(number, _)| *number).collect();
        let charged = runs.iter().filter(|(_, run)| run.charged).count() as u32;
        let last = succeeded == [job.runs];
        match job.state.as_str() {
            "completed" if !last => Err(format!("it did not succeed once and last: {succeeded:?}")),
            "dead" | "cancelled" | "pending" if !succeeded.is_empty() => {
                Err(format!("it succeeded in {succeeded:?}"))
            }
            "completed" | "dead" | "cancelled" | "pending" if charged > lives * job.max_retries => {
                Err(format!("{charged} runs are charged"))
            }
            "dead" if job.attempts != job.max_retries => Err("it is dead too early".to_owned()),
            "completed" | "dead" | "cancelled" | "pending" => Ok(()),
            _ => Err("it has not ended".to_owned()),
        }
    }
}

fn agree(attempt: &Attempt, kept: Option<&[u8]>, noted: &Noted) -> Result<(), String> {
    match attempt.outcome.as_str() {
        "exited" => {
            let [(code, printed)] = noted.ends.as_slice() else {
                return Err("it did not write down its end".to_owned());
            };
            if attempt.exit != Some(*code) {
                return Err("it wrote down another exit code".to_owned());
            }
            if kept != Some(printed_by(printed).as_slice()) {
                return Err("it wrote down another output".to_owned());
            }
            if attempt.charged { Ok(()) } else { Err("it is not charged".to_owned()) }
        }
        "interrupted" | "shutdown" | "stopped" | "cancelled" if !attempt.charged => Ok(()),
        _ => Err("it cannot have ended so".to_owned()),
    }
}

type Rows = (BTreeMap<String, Job>, BTreeMap<(String, u32), Attempt>);

fn rows(connection: &Connection) -> rusqlite::Result<Rows> {
    connection.execute_batch("BEGIN")?;
    let mut jobs = connection.prepare(
        "SELECT id, state, attempts, runs, interruptions, json_extract(spec, '$.max_retries'), coalesce(command, '')
         FROM job WHERE due_at < 1152921504606846976 OR EXISTS (SELECT 1 FROM batch WHERE batch.id = job.batch AND open = 1)",
    )?;
    let job = |row: &rusqlite::Row<'_>| {
        let job = Job {
            state: row.get(1)?,
            attempts: row.get(2)?,
            runs: row.get(3)?,
            interruptions: row.get(4)?,
            max_retries: row.get(5)?,
            command: row.get(6)?,
        };
        Ok((row.get(0)?, job))
    };
    let jobs = jobs.query_map([], job)?.collect::<rusqlite::Result<_>>()?;
    let mut attempts = connection.prepare(
        "SELECT job.id, attempt.number, outcome, exit_number, charged, attempt.incarnation, attempt.claim,
           output.sha256, body, file FROM attempt
         JOIN job ON job.seq = attempt.job
         LEFT JOIN output ON output.job = attempt.job AND output.number = attempt.number AND stream = 'stdout'",
    )?;
    let attempt = |row: &rusqlite::Row<'_>| {
        let attempt = Attempt {
            outcome: row.get(2)?,
            exit: row.get(3)?,
            charged: row.get(4)?,
            claim: (row.get(5)?, row.get(6)?),
            printed: kept(row)?,
        };
        Ok(((row.get(0)?, row.get(1)?), attempt))
    };
    let attempts = attempts.query_map([], attempt)?.collect::<rusqlite::Result<_>>()?;
    Ok((jobs, attempts))
}

fn kept(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Kept>> {
    let Some(sha256) = row.get(7)? else { return Ok(None) };
    Ok(Some(Kept { sha256, body: row.get(8)?, file: row.get(9)? }))
}

fn read_notes(notes: &str) -> Result<BTreeMap<(String, u32), Noted>, String> {
    let mut all: BTreeMap<(String, u32), Noted> = BTreeMap::new();
    for line in notes.lines() {
        let bad = || format!("a job noted `{line}`");
        let mut words = line.splitn(4, ' ');
        let (what, id, number, rest) = (words.next(), words.next(), words.next(), words.next());
        let number: u32 = number.and_then(|word| word.parse().ok()).ok_or_else(bad)?;
        let entry = all.entry((id.ok_or_else(bad)?.to_owned(), number)).or_default();
        match what {
            Some("begin") => entry.begins += 1,
            Some("end") => {
                let (code, printed) = rest.and_then(|rest| rest.split_once(' ')).ok_or_else(bad)?;
                entry.ends.push((code.parse().map_err(|_| bad())?, printed.to_owned()));
            }
            _ => return Err(bad()),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(state: &str, attempt: Attempt, notes: &str) -> Ledger {
        let job = Job {
            state: state.to_owned(),
            attempts: 1,
            runs: 1,
            interruptions: 0,
            max_retries: 1,
            command: String::new(),
        };
        Ledger {
            jobs: BTreeMap::from([("a".to_owned(), job)]),
            attempts: BTreeMap::from([(("a".to_owned(), 1), attempt)]),
            noted: read_notes(notes).expect("notes"),
            out_dir: PathBuf::new(),
        }
    }

    fn printed(bytes: &[u8]) -> Kept {
        let sha256 = Sha256::digest(bytes).to_vec();
        Kept { sha256, body: Some(bytes.to_vec()), file: None }
    }

    fn exited(code: i32) -> Attempt {
        let printed = Some(printed(b"a 1 9 x\n"));
        Attempt { outcome: "exited".to_owned(), exit: Some(code), charged: true, claim: (1, 1), printed }
    }

    #[test]
    fn what_a_store_has_and_what_jobs_wrote_down_must_agree() {
        let notes = "begin a 1 9\nend a 1 0 a 1 9 x\n";
        assert_eq!(ledger("completed", exited(0), notes).check(|_| 1), Ok(()));
        let wrong = [
            ("completed", exited(0), "begin a 1 9\n"),
            ("completed", exited(0), "begin a 1 9\nend a 1 0 a 1 9 y\n"),
            ("completed", exited(3), "begin a 1 9\nend a 1 3 a 1 9 x\n"),
            ("completed", exited(0), "begin a 1 9\nbegin a 1 10\nend a 1 0 a 1 9 x\n"),
            ("completed", exited(0), "begin a 1 9\nend a 1 0 a 1 9 x\nbegin a 2 9\n"),
            ("dead", exited(0), notes),
            ("processing", exited(0), notes),
        ];
        for (state, attempt, notes) in wrong {
            let ledger = ledger(state, attempt, notes);
            assert!(ledger.check(|_| 1).is_err(), "{ledger:?}");
        }
    }

    #[test]
    fn an_output_is_judged_by_its_bytes() {
        let notes = "begin a 1 9\nend a 1 0 a 1 9 x\n";
        let mut lost = exited(0);
        lost.printed.as_mut().expect("given").body = Some(b"a 1 9 ".to_vec());
        let (mut mixed_up, mut dropped) = (exited(0), exited(0));
        mixed_up.printed = Some(printed(b"b 1 9 x\n"));
        dropped.printed = None;
        for attempt in [lost, mixed_up, dropped] {
            assert!(ledger("completed", attempt.clone(), notes).check(|_| 1).is_err(), "{attempt:?}");
        }
    }

    #[test]
    fn a_long_output_is_in_a_file_and_judged_by_that() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, long) = (dir.path().join("a.out"), printed_by("a 1 9 20 x"));
        assert_eq!(long, b"a 1 9 a 1 9\na 1 9\na 1 9\na x\n");
        assert_eq!(printed_by("a 1 9\nline 1\nline"), b"a 1 9\nline 1\nline\n", "in so many words");
        let mut attempt = exited(0);
        attempt.printed = Some(Kept { body: None, file: Some("a.out".to_owned()), ..printed(&long) });
        let mut ledger = ledger("completed", attempt, "begin a 1 9\nend a 1 0 a 1 9 20 x\n");
        ledger.out_dir = dir.path().to_owned();
        assert!(ledger.check(|_| 1).is_err(), "there is no file");
        fs::write(&path, &long[..20]).expect("written");
        assert!(ledger.check(|_| 1).is_err(), "it is cut short");
        fs::write(&path, &long).expect("written");
        assert_eq!(ledger.check(|_| 1), Ok(()));
    }
}
