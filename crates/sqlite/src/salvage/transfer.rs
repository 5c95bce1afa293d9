//! Row by row out of a damaged database, or out of what was gathered of it, into a new one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use queuectl_core::limits::SALVAGE_NAMED_MAX;
use queuectl_core::store::StoreError;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Row, Statement, params_from_iter};

use super::SalvageReport;
use crate::batches::STAGED;
use crate::digest::{Environments, environment_is_whole, is_unreadable, sealed_columns, sealed_job};
use crate::failure::Failure;
use crate::schema;

/// Rows of jobs on one page, at the very most.
const ROWS_PER_PAGE: u64 = 64;

/// Both databases, and what has come over so far.
pub struct Transfer<'a> {
    old: &'a Connection,
    new: &'a Connection,
    /// What can be read or tried in one walk: where pages are each other's children, it would have no end.
    most_rows: u64,
    /// The rows of `old` were gathered from its pages.
    gathered: bool,
    report: SalvageReport,
    saved: HashSet<i64>,
    /// Jobs of batches that were never opened: nobody was told that they are there.
    unopened: HashSet<i64>,
    /// Jobs that are there and not saved, by their ids, as far as these can be read.
    missing: BTreeMap<i64, String>,
    /// Both the table and the index of ids were read to the end.
    all_read: bool,
    /// No other jobs are there than those that are saved, missing or unopened.
    all_known: bool,
    /// By the kept counts.
    counted: Option<u64>,
    /// Of each batch that was met, whether it is open; `None` if it could not be read.
    batches: HashMap<i64, Option<bool>>,
    columns: HashMap<&'static str, Rc<Columns>>,
}

/// Columns of a query that go into a new table, and the statement that takes them.
struct Columns {
    at: Vec<usize>,
    names: Vec<String>,
    insert: String,
}

/// What became of a job's row.
enum Judged {
    Whole,
    /// Nobody can tell whether it is what was enqueued, for its environment is part of that.
    WithoutEnvironment,
    Altered,
}

impl<'a> Transfer<'a> {
    pub fn new(old: &'a Connection, new: &'a Connection, pages: u64) -> Transfer<'a> {
        Transfer {
            old,
            new,
            most_rows: pages * ROWS_PER_PAGE,
            gathered: false,
            report: SalvageReport::default(),
            saved: HashSet::new(),
            unopened: HashSet::new(),
            missing: BTreeMap::new(),
            all_read: false,
            all_known: false,
            counted: None,
            batches: HashMap::new(),
            columns: HashMap::new(),
        }
    }

    /// By the list of tables, as SQLite reads them.
    pub fn take_from_trees(&mut self) -> Result<(), Failure> {
        self.take_meta()?;
        self.take_small("queue", "name", "paused queues")?;
        self.take_small("setting", "queue, key", "settings")?;
        let walked = self.take_jobs()?;
        let listed = self.list_missing()?;
        (self.all_read, self.all_known) = (walked && listed, walked || listed);
        let counted = self.old.query_row("SELECT sum(n) FROM counts", [], |row| row.get::<_, i64>(0));
        self.counted = counted.ok().and_then(|counted| u64::try_from(counted).ok());
        Ok(())
    }

    /// Whether something may lie where SQLite does not find it.
    pub fn is_short(&self) -> bool {
        !self.all_read || !self.missing.is_empty() || !self.report.gaps.is_empty()
    }

    /// What was missing, from the pages themselves.
    pub fn take_gathered(&mut self, gathered: &'a Connection) -> Result<(), Failure> {
        (self.old, self.gathered) = (gathered, true);
        self.batches.clear();
        self.columns.clear();
        self.take_all("setting", "SELECT * FROM setting", &[])?;
        self.take_jobs()?;
        for table in ["attempt", "output"] {
            let of_saved = |transfer: &Self, row: &Row<'_>| {
                row.get("job").is_ok_and(|job| transfer.saved.contains(&job))
            };
            let (more, _) = self.take_those(table, &format!("SELECT * FROM {table}"), &[], of_saved)?;
            if table == "attempt" {
                self.report.attempts += more;
            }
        }
        Ok(())
    }

    pub fn report(&self) -> SalvageReport {
        let missing = self.missing.len() as u64;
        let lost = match self.counted {
            _ if self.all_known => Some(missing),
            Some(counted) => Some(counted.saturating_sub(self.report.jobs).max(missing)),
            None => None,
        };
        let ids = self.missing.values().filter(|id| !id.is_empty());
        let lost_ids = ids.take(SALVAGE_NAMED_MAX).cloned().collect();
        SalvageReport { lost, lost_ids, ..self.report.clone() }
    }

    fn take_meta(&mut self) -> Result<(), Failure> {
        let found =
            self.old.query_row("SELECT min_reader, claim_counter, settings_version FROM meta", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            });
        // Without it the numbers of claims begin anew, as they may: the incarnation is a new one.
        let Ok((min_reader, claims, settings)) = found else { return Ok(()) };
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
        Ok(())
    }

    /// A small table, from both ends.
    fn take_small(&mut self, table: &'static str, key: &str, what: &'static str) -> Result<(), Failure> {
        for order in ["ASC", "DESC"] {
            let keys: Vec<String> = key.split(", ").map(|column| format!("{column} {order}")).collect();
            let sql = format!("SELECT * FROM {table} ORDER BY {}", keys.join(", "));
            if self.take_all(table, &sql, &[])?.1 {
                return Ok(());
            }
            self.report.gaps.insert(what);
        }
        Ok(())
    }

    /// Copies the rows of a query until one cannot be read; how many, and whether that was all.
    fn take_all(&mut self, table: &'static str, sql: &str, values: &[i64]) -> Result<(u64, bool), Failure> {
        self.take_those(table, sql, values, |_, _| true)
    }

    /// Copies those rows of a query.
    fn take_those(
        &mut self,
        table: &'static str,
        sql: &str,
        values: &[i64],
        wanted: impl Fn(&Self, &Row<'_>) -> bool,
    ) -> Result<(u64, bool), Failure> {
        let (mut count, old) = (0, self.old);
        let Ok(mut statement) = old.prepare_cached(sql) else { return Ok((0, false)) };
        let columns = self.shared_columns(table, &statement, 0)?;
        let Ok(mut rows) = statement.query(params_from_iter(values)) else { return Ok((0, false)) };
        for _ in 0..self.most_rows {
            match rows.next() {
                Ok(Some(row)) if wanted(self, row) => count += u64::from(self.put(row, &columns, &[])?),
                Ok(Some(_)) => {}
                Ok(None) => return Ok((count, true)),
                Err(_) => break,
            }
        }
        Ok((count, false))
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
                names.push(name.to_owned());
            }
        }
        let marks = vec!["?"; at.len()].join(", ");
        let insert = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({marks})", names.join(", "));
        let columns = Rc::new(Columns { at, names, insert });
        self.columns.insert(table, columns.clone());
        Ok(columns)
    }

    /// Puts these columns of a row into the new table, some with another value; false if it refuses them.
    fn put(&self, row: &Row<'_>, columns: &Columns, instead: &[(&str, Value)]) -> Result<bool, Failure> {
        let values = columns.at.iter().zip(&columns.names).map(|(at, name)| {
            match instead.iter().find(|(column, _)| column == name) {
                Some((_, value)) => Ok(value.clone()),
                None => row.get::<_, Value>(*at),
            }
        });
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

    /// In the order of their keys, stepping over what cannot be read. True if all could be, and lay in order.
    fn take_jobs(&mut self) -> Result<bool, Failure> {
        let sealed = sealed_columns();
        let sql = format!("SELECT {sealed}, job.* FROM job WHERE seq >= ? ORDER BY seq");
        let last = self.last_given()?;
        let (mut from, mut left, mut orderly) = (0_i64, self.most_rows, true);
        while left > 0 && last.is_none_or(|last| from <= last) {
            let old = self.old;
            let Ok(mut statement) = old.prepare_cached(&sql) else { return Ok(false) };
            let columns = self.shared_columns("job", &statement, sealed.split(", ").count())?;
            let Ok(mut rows) = statement.query([from]) else { return Ok(false) };
            while left > 0 {
                left -= 1;
                match rows.next() {
                    Ok(Some(row)) => {
                        let seq = row.get_ref(0)?.as_i64().unwrap_or(from);
                        self.take_job(seq, row, &columns)?;
                        // Where a page is in two places, rows come again; the walk never goes back with them.
                        orderly &= seq >= from;
                        from = from.max(seq.saturating_add(1));
                    }
                    Ok(None) => return Ok(orderly),
                    Err(_) => {
                        (from, orderly) = (from.saturating_add(1), false);
                        break;
                    }
                }
            }
        }
        Ok(false)
    }

    /// The highest number that a job was given: none is given out twice, not even a lost job's.
    fn last_given(&self) -> Result<Option<i64>, Failure> {
        let found = self
            .old
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'job'", [], |row| row.get::<_, i64>(0));
        // A damaged one must not leave too few to go on.
        let last = found.ok().filter(|last| (0..STAGED).contains(last));
        if let Some(last) = last {
            self.new.execute(
                "INSERT INTO sqlite_sequence (name, seq) SELECT 'job', ?
                 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'job')",
                [last],
            )?;
        }
        Ok(last)
    }

    /// One job with all that is its own, if it is what was enqueued.
    fn take_job(&mut self, seq: i64, row: &Row<'_>, columns: &Columns) -> Result<(), Failure> {
        let deleted = self.gathered && self.all_known && !self.missing.contains_key(&seq);
        if deleted || self.saved.contains(&seq) || self.unopened.contains(&seq) {
            return Ok(());
        }
        let instead = match self.judge(row) {
            Judged::Whole if row.get("doubtful").unwrap_or(false) => buried(row, DOUBTFUL),
            Judged::Whole => Vec::new(),
            // Its environment may yet be found.
            Judged::WithoutEnvironment if !self.gathered => {
                self.miss(seq, row);
                return Ok(());
            }
            Judged::WithoutEnvironment => {
                self.report.gaps.insert("environments");
                [buried(row, WITHOUT_ENVIRONMENT), vec![("environment", Value::Null)]].concat()
            }
            Judged::Altered => {
                self.miss(seq, row);
                return Ok(());
            }
        };
        if !self.take_batch_of(seq, row)? {
            if !self.unopened.contains(&seq) {
                self.miss(seq, row);
            }
            return Ok(());
        }
        if let Some(environment) = row.get::<_, Option<i64>>("environment").unwrap_or(None) {
            self.take_all("environment", "SELECT * FROM environment WHERE id = ?", &[environment])?;
        }
        if !self.put(row, columns, &instead)? {
            self.miss(seq, row);
            return Ok(());
        }
        self.new.execute("INSERT OR IGNORE INTO queue (name) SELECT queue FROM job WHERE seq = ?", [seq])?;
        self.saved.insert(seq);
        self.missing.remove(&seq);
        self.report.jobs += 1;
        self.report.buried += u64::from(instead.iter().any(|(column, _)| *column == "state"));
        self.take_deeds(seq, row)
    }

    /// What a saved job did.
    fn take_deeds(&mut self, seq: i64, row: &Row<'_>) -> Result<(), Failure> {
        let (attempts, all) = self.take_all("attempt", "SELECT * FROM attempt WHERE job = ?", &[seq])?;
        self.report.attempts += attempts;
        let (_, all_outputs) = self.take_all("output", "SELECT * FROM output WHERE job = ?", &[seq])?;
        let running = row.get::<_, String>("state").is_ok_and(|state| state == "processing");
        let ended = row.get::<_, i64>("runs").unwrap_or(0) - i64::from(running);
        if !all || (attempts as i64) < ended {
            self.report.gaps.insert("attempts");
        }
        if !all_outputs || (attempts as i64) < ended {
            self.report.gaps.insert("outputs");
        }
        Ok(())
    }

    fn judge(&self, row: &Row<'_>) -> Judged {
        let mut environments = Environments::new(self.old);
        let Ok(sealed) = sealed_job(row) else { return Judged::Altered };
        let reads = sealed.reads();
        if matches!(sealed.unsealed(&mut environments), Ok(Some(_))) {
            return Judged::Whole;
        }
        match row.get::<_, Option<i64>>("environment") {
            Ok(Some(id)) if reads && !environment_is_whole(self.old, id) => Judged::WithoutEnvironment,
            _ => Judged::Altered,
        }
    }

    /// A job that is there and cannot be saved.
    fn miss(&mut self, seq: i64, row: &Row<'_>) {
        self.missing.insert(seq, name_of(row));
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

    /// Who is there and was not saved, by the index of ids. True if all of it could be read.
    fn list_missing(&mut self) -> Result<bool, Failure> {
        let Ok(mut statement) = self.old.prepare("SELECT id, seq FROM job ORDER BY id") else {
            return Ok(false);
        };
        let Ok(mut rows) = statement.query([]) else { return Ok(false) };
        let mut last = String::new();
        for _ in 0..self.most_rows {
            match rows.next() {
                Ok(Some(row)) => {
                    let (seq, id) = (row.get_ref(1)?.as_i64().unwrap_or(0), name_of(row));
                    if id <= last {
                        return Ok(false);
                    }
                    if !self.saved.contains(&seq) && !self.unopened.contains(&seq) {
                        self.missing.insert(seq, id.clone());
                    }
                    last = id;
                }
                Ok(None) => return Ok(true),
                Err(_) => break,
            }
        }
        Ok(false)
    }
}

const WITHOUT_ENVIRONMENT: &str = "its environment was lost with the damaged store, so it is not run; enqueue it anew if it is still wanted";
const DOUBTFUL: &str = "it was found in the damaged store where old states of jobs lie too, so it is not run: it may have run \
                        already; `queuectl retry` it if it has not";

/// The columns that differ in a job that is not to be run; none for one that has ended.
fn buried(row: &Row<'_>, why: &str) -> Vec<(&'static str, Value)> {
    let ended = |state: String| matches!(state.as_str(), "completed" | "dead" | "cancelled");
    if row.get("state").is_ok_and(ended) {
        return Vec::new();
    }
    let changed = Value::Integer(row.get("updated_at").unwrap_or(0));
    let mut columns = vec![
        ("state", Value::Text("dead".to_owned())),
        ("due_at", changed.clone()),
        ("completed_at", changed),
        ("last_error", Value::Text(why.to_owned())),
    ];
    columns.extend(["ready", "retrying", "cancel_requested"].map(|flag| (flag, Value::Integer(0))));
    columns.extend(["incarnation", "claim", "owner"].map(|column| (column, Value::Null)));
    columns
}

fn name_of(row: &Row<'_>) -> String {
    let bytes = row.get_ref("id").ok().and_then(|id| id.as_bytes_or_null().ok().flatten());
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// The new table does not take what the old one holds.
fn refuses_row(error: &rusqlite::Error) -> bool {
    is_unreadable(error)
        || matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
        )
}
