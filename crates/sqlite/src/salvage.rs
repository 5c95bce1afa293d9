//! Salvage: what is whole of a damaged database, in a new one. Blocking; call it off the runtime.
//!
//! The damaged file is copied first, with its log, and only the copy is opened: opening it would already write to it. The
//! jobs are read in the order of their keys; a page that cannot be read costs the rows on it and no others.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;

use queuectl_core::limits::{SALVAGE_MISSES_MAX, SALVAGE_NAMED_MAX};
use queuectl_core::store::{StoreError, StoreResult};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Row, Statement, TransactionBehavior, params_from_iter};

use crate::batches::STAGED;
use crate::clock::Clock;
use crate::copy::close;
use crate::digest::{Environments, is_unreadable, sealed_columns, sealed_job};
use crate::failure::Failure;
use crate::file::{identity, make_file, sync_directory_of};
use crate::keep::{copy_file, damage, failed, remove_database, with_suffix};
use crate::open::{beside, connect};
use crate::schema;

/// What was saved, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvageReport {
    pub jobs: u64,
    /// Jobs that were there and could not be saved; `None` if nobody can tell.
    pub lost: Option<u64>,
    /// Some of their ids.
    pub lost_ids: Vec<String>,
    /// Of saved jobs.
    pub attempts: u64,
    /// Something of what saved jobs did, or of the settings, could not be read.
    pub gaps: bool,
    pub outputs: u64,
    /// Output files that are named and were not there.
    pub outputs_missing: u64,
}

/// Saves what is whole of a damaged database that nobody has open into a new file. The old one is not touched.
pub fn salvage(from: &Path, to: &Path) -> StoreResult<SalvageReport> {
    let from = fs::canonicalize(from).map_err(failed("look at", from))?;
    let to = std::path::absolute(to).map_err(failed("use", to))?;
    for there in [to.clone(), beside(&to, "out"), with_suffix(&to, "-wal")] {
        if fs::symlink_metadata(&there).is_ok() {
            return Err(StoreError::Unavailable {
                what: format!("{} exists already; name a new file to salvage to", there.display()),
                source: None,
            });
        }
    }
    let (copied, partial) = (beside(&to, "damaged"), beside(&to, "partial"));
    remove_database(&copied);
    remove_database(&partial);
    let saved = salvage_between(&from, &copied, &partial, &to);
    remove_database(&copied);
    if saved.is_err() {
        remove_database(&partial);
        let _ = fs::remove_dir_all(beside(&to, "out"));
    }
    saved
}

fn salvage_between(from: &Path, copied: &Path, partial: &Path, to: &Path) -> StoreResult<SalvageReport> {
    copy_readable(from, copied)?;
    let log = with_suffix(from, "-wal");
    if log.exists() {
        copy_readable(&log, &with_suffix(copied, "-wal"))?;
    }
    mend_header(copied)?;
    make_file(partial)?;
    let (report, outputs) = fill(copied, partial).map_err(|failure| failure.0)?;
    let report = take_outputs(from, to, &outputs, report)?;
    fs::rename(partial, to).map_err(failed("create", to))?;
    sync_directory_of(to)?;
    Ok(report)
}

/// Copies a file; what the disk does not give is zeros.
fn copy_readable(from: &Path, to: &Path) -> StoreResult<()> {
    const PAGE: u64 = 4096;
    let source = File::open(from).map_err(failed("open", from))?;
    let length = source.metadata().map_err(failed("look at", from))?.len();
    let create = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let target = create.map_err(failed("create", to))?;
    let mut page = [0; PAGE as usize];
    let mut at = 0;
    while at < length {
        let part = &mut page[..PAGE.min(length - at) as usize];
        if source.read_exact_at(part, at).is_err() {
            part.fill(0);
        }
        target.write_all_at(part, at).map_err(failed("write", to))?;
        at += PAGE;
    }
    Ok(())
}

/// The first bytes of every database of ours are the same; without them nothing else of it is read.
fn mend_header(database: &Path) -> StoreResult<()> {
    let file = fs::OpenOptions::new().write(true).open(database).map_err(failed("open", database))?;
    // The name, pages of 4 KiB, a write-ahead log, and what SQLite fixes.
    file.write_all_at(b"SQLite format 3\0\x10\x00\x02\x02\x00\x40\x20\x20", 0)
        .map_err(failed("write", database))
}

/// Puts what is whole into a new database. Also returns the output files that it names.
fn fill(damaged: &Path, new: &Path) -> Result<(SalvageReport, Vec<String>), Failure> {
    let old = connect(damaged)?;
    let connection = connect(new)?;
    schema::create(&connection, new)?;
    let transaction = rusqlite::Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
    let mut hands = Hands {
        old: &old,
        new: &transaction,
        report: SalvageReport::default(),
        saved: HashSet::new(),
        unopened: HashSet::new(),
        batches: HashMap::new(),
        outputs: Vec::new(),
        columns: HashMap::new(),
    };
    hands.take_meta()?;
    for (table, key) in [("queue", "name"), ("setting", "queue, key")] {
        hands.take_small(table, key)?;
    }
    hands.take_jobs()?;
    hands.count_lost()?;
    let Hands { report, outputs, .. } = hands;
    schema::begin_anew(&transaction, identity(new)?, Clock::system().now())?;
    transaction.commit()?;
    if let Some(first) = damage(&connection)?.first() {
        return Err(Failure(StoreError::Damaged {
            what: format!("what was salvaged is not sound: {first}"),
        }));
    }
    close(connection)?;
    Ok((report, outputs))
}

/// Both databases, and what has come over so far.
struct Hands<'a> {
    old: &'a Connection,
    new: &'a Connection,
    report: SalvageReport,
    saved: HashSet<i64>,
    /// Jobs of batches that were never opened: nobody was told that they are there.
    unopened: HashSet<i64>,
    /// Of each batch that was met, whether it is open; `None` if it could not be read.
    batches: HashMap<i64, Option<bool>>,
    outputs: Vec<String>,
    columns: HashMap<&'static str, Rc<Columns>>,
}

/// Columns of a query that go into a new table, and the statement that takes them.
struct Columns {
    at: Vec<usize>,
    insert: String,
}

impl Hands<'_> {
    fn take_meta(&mut self) -> Result<(), Failure> {
        let found =
            self.old.query_row("SELECT min_reader, claim_counter, settings_version FROM meta", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            });
        if let Ok((min_reader, claims, settings)) = found {
            if min_reader > schema::VERSION {
                return Err(Failure(StoreError::Incompatible {
                    what: format!(
                        "the database has a newer schema, and this queuectl knows up to {}",
                        schema::VERSION
                    ),
                }));
            }
            self.new
                .execute("UPDATE meta SET claim_counter = ?, settings_version = ? + 1", [claims, settings])?;
            return Ok(());
        }
        if let Err(error) = self.old.prepare("SELECT 1 FROM job") {
            return Err(Failure(StoreError::Damaged {
                what: format!("nothing can be salvaged, for its list of tables cannot be read: {error}"),
            }));
        }
        self.report.gaps = true;
        Ok(())
    }

    /// A small table, from both ends.
    fn take_small(&mut self, table: &'static str, key: &str) -> Result<(), Failure> {
        for order in ["ASC", "DESC"] {
            let keys: Vec<String> = key.split(", ").map(|column| format!("{column} {order}")).collect();
            let sql = format!("SELECT * FROM {table} ORDER BY {}", keys.join(", "));
            if self.take_all(table, &sql, &[])?.1 {
                return Ok(());
            }
            self.report.gaps = true;
        }
        Ok(())
    }

    /// Copies the rows of a query until one cannot be read; how many, and whether that was all.
    fn take_all(&mut self, table: &'static str, sql: &str, values: &[i64]) -> Result<(u64, bool), Failure> {
        let (mut count, old) = (0, self.old);
        let Ok(mut statement) = old.prepare_cached(sql) else { return Ok((0, false)) };
        let columns = self.shared_columns(table, &statement, 0)?;
        let Ok(mut rows) = statement.query(params_from_iter(values)) else { return Ok((0, false)) };
        loop {
            match rows.next() {
                Ok(Some(row)) => count += u64::from(self.put(row, &columns)?),
                Ok(None) => return Ok((count, true)),
                Err(_) => return Ok((count, false)),
            }
        }
    }

    /// What of a query's columns from the `first` on the new table has too: the older of both schemas may have fewer. A
    /// table's rows are always asked for in the same way.
    fn shared_columns(
        &mut self,
        table: &'static str,
        query: &Statement<'_>,
        first: usize,
    ) -> Result<Rc<Columns>, Failure> {
        if let Some(known) = self.columns.get(table) {
            return Ok(known.clone());
        }
        let mut has = self.new.prepare("SELECT 1 FROM pragma_table_info(?) WHERE name = ?")?;
        let (mut at, mut names) = (Vec::new(), Vec::new());
        for (column, name) in query.column_names().enumerate().skip(first) {
            if has.exists([table, name])? {
                at.push(column);
                names.push(name);
            }
        }
        let marks = vec!["?"; at.len()].join(", ");
        let insert = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({marks})", names.join(", "));
        let columns = Rc::new(Columns { at, insert });
        self.columns.insert(table, columns.clone());
        Ok(columns)
    }

    /// Puts these columns of a row into the new table; false if it refuses them.
    fn put(&self, row: &Row<'_>, columns: &Columns) -> Result<bool, Failure> {
        let values = columns.at.iter().map(|at| row.get::<_, Value>(*at));
        let Ok(values) = values.collect::<rusqlite::Result<Vec<_>>>() else {
            return Ok(false);
        };
        let mut insert = self.new.prepare_cached(&columns.insert)?;
        match insert.execute(params_from_iter(values)) {
            Ok(changed) => Ok(changed > 0),
            Err(error) if refuses_row(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// In the order of their keys, stepping over what cannot be read.
    fn take_jobs(&mut self) -> Result<(), Failure> {
        let sealed = sealed_columns();
        let sql = format!("SELECT {sealed}, job.* FROM job WHERE seq >= ? ORDER BY seq");
        let last: Option<i64> = self
            .old
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'job'", [], |row| row.get(0))
            .ok();
        let (mut from, mut misses) = (0_i64, 0_usize);
        'walk: loop {
            let old = self.old;
            let mut statement = old.prepare_cached(&sql)?;
            let columns = self.shared_columns("job", &statement, sealed.split(", ").count())?;
            let mut rows = statement.query([from])?;
            loop {
                match rows.next() {
                    Ok(Some(row)) => {
                        let seq = row.get_ref(0)?.as_i64().unwrap_or(from);
                        self.take_job(seq, row, &columns)?;
                        (from, misses) = (seq + 1, 0);
                    }
                    Ok(None) => break 'walk,
                    Err(_) => {
                        (from, misses) = (from + 1, misses + 1);
                        if last.is_some_and(|last| from > last) || misses > SALVAGE_MISSES_MAX {
                            break 'walk;
                        }
                        continue 'walk;
                    }
                }
            }
        }
        if let Some(last) = last {
            // A number is never given out twice, not even a lost job's.
            self.new.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'job'", [last])?;
        }
        Ok(())
    }

    /// One job with all that is its own, if it is what was enqueued.
    fn take_job(&mut self, seq: i64, row: &Row<'_>, columns: &Columns) -> Result<(), Failure> {
        let mut environments = Environments::new(self.old);
        let whole =
            sealed_job(row).is_ok_and(|sealed| matches!(sealed.unsealed(&mut environments), Ok(Some(_))));
        if !whole || !self.take_batch_of(seq, row)? {
            return Ok(());
        }
        if let Some(environment) = row.get::<_, Option<i64>>("environment").unwrap_or(None) {
            self.take_all("environment", "SELECT * FROM environment WHERE id = ?", &[environment])?;
        }
        if !self.put(row, columns)? {
            return Ok(());
        }
        self.new.execute("INSERT OR IGNORE INTO queue (name) SELECT queue FROM job WHERE seq = ?", [seq])?;
        self.saved.insert(seq);
        self.report.jobs += 1;
        let (attempts, all) = self.take_all("attempt", "SELECT * FROM attempt WHERE job = ?", &[seq])?;
        self.report.attempts += attempts;
        let (_, all_outputs) = self.take_all("output", "SELECT * FROM output WHERE job = ?", &[seq])?;
        self.report.gaps |= !all || !all_outputs;
        let mut named =
            self.new.prepare_cached("SELECT file FROM output WHERE job = ? AND file IS NOT NULL")?;
        for name in named.query_map([seq], |row| row.get::<_, String>(0))? {
            self.outputs.push(name?);
        }
        Ok(())
    }

    /// False for a job of a batch that was never opened, or of which nobody can tell.
    fn take_batch_of(&mut self, seq: i64, row: &Row<'_>) -> Result<bool, Failure> {
        let Some(batch) = row.get::<_, Option<i64>>("batch").unwrap_or(None) else { return Ok(true) };
        let open = if let Some(known) = self.batches.get(&batch) {
            *known
        } else {
            let found = self.old.query_row("SELECT open FROM batch WHERE id = ?", [batch], |row| row.get(0));
            let open = found.ok();
            self.batches.insert(batch, open);
            if open.is_some() {
                self.take_all("batch", "SELECT * FROM batch WHERE id = ?", &[batch])?;
            }
            open
        };
        let staged = row.get::<_, i64>("due_at").is_ok_and(|due| due >= STAGED);
        match (open, staged) {
            (Some(true), _) => Ok(true),
            (Some(false), true) => {
                self.unopened.insert(seq);
                Ok(false)
            }
            // It was promoted, so its batch was open.
            (None, false) => {
                self.new.execute(
                    "INSERT OR IGNORE INTO batch (id, open, created_at) VALUES (?, 1, 0)",
                    [batch],
                )?;
                Ok(true)
            }
            (Some(false), false) | (None, true) => Ok(false),
        }
    }

    /// Who is missing, by the index of ids; by the kept counts where that one cannot be read.
    fn count_lost(&mut self) -> Result<(), Failure> {
        let mut statement = self.old.prepare("SELECT id, seq FROM job ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut lost = 0;
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let seq = row.get_ref(1)?.as_i64().unwrap_or(0);
                    if self.saved.contains(&seq) || self.unopened.contains(&seq) {
                        continue;
                    }
                    lost += 1;
                    if self.report.lost_ids.len() < SALVAGE_NAMED_MAX {
                        let id = row.get_ref(0)?.as_bytes().unwrap_or_default();
                        self.report.lost_ids.push(String::from_utf8_lossy(id).into_owned());
                    }
                }
                Ok(None) => {
                    self.report.lost = Some(lost);
                    return Ok(());
                }
                Err(_) => break,
            }
        }
        let counted = self.old.query_row("SELECT sum(n) FROM counts", [], |row| row.get::<_, i64>(0));
        self.report.lost = counted.ok().map(|all| (all as u64).saturating_sub(self.report.jobs).max(lost));
        Ok(())
    }
}

/// The new table does not take what the old one holds.
fn refuses_row(error: &rusqlite::Error) -> bool {
    is_unreadable(error)
        || matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
        )
}

/// The output files, which lie beside the database and are whole or not there.
fn take_outputs(
    from: &Path,
    to: &Path,
    names: &[String],
    mut report: SalvageReport,
) -> StoreResult<SalvageReport> {
    if names.is_empty() {
        return Ok(report);
    }
    let (out_from, out_to) = (beside(from, "out"), beside(to, "out"));
    DirBuilder::new().mode(0o700).create(&out_to).map_err(failed("create", &out_to))?;
    for name in names {
        let stays = !name.contains('/') && name != "..";
        if stays && copy_file(&out_from.join(name), &out_to.join(name))? {
            report.outputs += 1;
        } else {
            report.outputs_missing += 1;
        }
    }
    let synced = File::open(&out_to).and_then(|dir: File| -> io::Result<()> { dir.sync_all() });
    synced.map_err(failed("sync", &out_to))?;
    Ok(report)
}
