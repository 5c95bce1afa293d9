//! A database as it is, every row of every table, read past the store by a witness that no fault reaches.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use crate::vfs::WITNESS;

/// Longer values are told by their beginning, their length and a hash, in bytes.
const SHOWN_MAX: usize = 64;

/// Each table's key, so that rows have names, and what to read of it.
const TABLES: [(&str, &str); 12] = [
    ("job", "SELECT id, * FROM job"),
    (
        "attempt",
        "SELECT job.id || '#' || number, attempt.* FROM attempt LEFT JOIN job ON job.seq = attempt.job",
    ),
    (
        "output",
        "SELECT job.id || '#' || number || ' ' || stream, output.* FROM output
         LEFT JOIN job ON job.seq = output.job",
    ),
    ("setting", "SELECT queue || ' ' || key, * FROM setting"),
    ("queue", "SELECT name, * FROM queue"),
    ("batch", "SELECT CAST(id AS TEXT), * FROM batch"),
    ("environment", "SELECT CAST(id AS TEXT), * FROM environment"),
    ("worker", "SELECT id, * FROM worker"),
    ("counts", "SELECT queue || ' ' || state || ready || retrying, * FROM counts WHERE n > 0"),
    ("meta", "SELECT CAST(id AS TEXT), * FROM meta"),
    ("sequence", "SELECT name, * FROM sqlite_sequence"),
    ("schema", "SELECT type || ' ' || name, sql FROM sqlite_schema"),
];

/// Counts that differ from the rows. Jobs of a batch are counted when they are promoted; until then their due time is
/// beyond any date.
const MISCOUNTED: &str = "
    SELECT queue || ' ' || state || ready || retrying || ': ' || sum(kept) || ' kept, ' || sum(there) || ' there' FROM (
      SELECT queue, state, ready, retrying, n AS kept, 0 AS there FROM counts
      UNION ALL SELECT queue, state, ready, retrying, 0, count(*) FROM job WHERE due_at < 1152921504606846976
        GROUP BY queue, state, ready, retrying)
    GROUP BY queue, state, ready, retrying HAVING sum(kept) != sum(there)";

/// Column by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn get(&self, column: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == column);
        found.map_or("", |(_, value)| value.as_str())
    }
}

/// Rows by table and key, as in `job j1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, Fields>);

impl Snapshot {
    /// `None` where there is no schema yet.
    pub fn read(database: &Path) -> rusqlite::Result<Option<Snapshot>> {
        let connection = witness(database)?;
        connection.execute_batch("BEGIN")?;
        let there: bool = connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')",
            [],
            |row| row.get(0),
        )?;
        if !there {
            return Ok(None);
        }
        let mut rows = BTreeMap::new();
        for (table, sql) in TABLES {
            let mut statement = connection.prepare(sql)?;
            let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                let key: Option<String> = row.get(0)?;
                let fields = fields(row, &columns)?;
                rows.insert(format!("{table} {}", key.as_deref().unwrap_or("of no job")), fields);
            }
        }
        Ok(Some(Snapshot(rows)))
    }

    pub fn get(&self, key: &str) -> Option<&Fields> {
        self.0.get(key)
    }

    /// The rows of one table, without its name.
    pub fn table<'a>(&'a self, table: &'a str) -> impl Iterator<Item = (&'a str, &'a Fields)> {
        let rows = self.0.iter();
        rows.filter_map(move |(key, fields)| Some((key.strip_prefix(table)?.strip_prefix(' ')?, fields)))
    }

    /// Whether each row of these tables is in the newer one, with the same in every column that it has; and no other row is.
    pub fn lives_on_in(&self, newer: &Snapshot, tables: &[&str]) -> Result<(), String> {
        for table in tables {
            for (key, row) in self.table(table) {
                let found = newer.get(&format!("{table} {key}")).ok_or(format!("{table} {key} is gone"))?;
                let other = row.0.iter().find(|(column, value)| found.get(column) != value);
                if let Some((column, value)) = other {
                    let now = found.get(column);
                    return Err(format!("{table} {key}: {column} was {value}, is {now}"));
                }
            }
            let (before, after) = (self.table(table).count(), newer.table(table).count());
            if before != after {
                return Err(format!("{before} rows of {table} have become {after}"));
            }
        }
        Ok(())
    }

    /// Without what tells this store from another that went the same way.
    pub fn of_any_store(&self) -> Snapshot {
        let mut rows = self.0.clone();
        for fields in rows.values_mut() {
            fields.0.retain(|(column, _)| !OWN.contains(&column.as_str()));
        }
        Snapshot(rows)
    }

    /// The keys of rows that are not the same in both.
    pub fn differences(&self, other: &Snapshot) -> Vec<String> {
        let ours = self.0.iter().filter(|(key, fields)| other.0.get(*key) != Some(fields));
        let theirs = other.0.keys().filter(|key| !self.0.contains_key(*key));
        ours.map(|(key, _)| key).chain(theirs).cloned().collect()
    }
}

/// What tells one store from another that went the same way.
const OWN: [&str; 4] = ["incarnation", "device", "inode", "born"];

/// A connection that reads what is there.
pub fn witness(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(database, flags, WITNESS)?;
    // It changes nothing, also by leaving.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn fields(row: &Row<'_>, columns: &[String]) -> rusqlite::Result<Fields> {
    let mut fields = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate().skip(1) {
        let value = match row.get_ref(at)? {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => shown(bytes),
        };
        fields.push((column.clone(), value));
    }
    Ok(Fields(fields))
}

fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN_MAX {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let begin = String::from_utf8_lossy(&bytes[..SHOWN_MAX / 2]);
    format!("{begin}... {} bytes, {:016x}", bytes.len(), hasher.finish())
}

/// What SQLite finds wrong with a whole database, and counts that differ from their rows.
pub fn faults_in(database: &Path) -> rusqlite::Result<Vec<String>> {
    let connection = witness(database)?;
    let lines = |sql: &str| -> rusqlite::Result<Vec<String>> {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    let mut found = lines("PRAGMA integrity_check(10)")?;
    found.retain(|line| line != "ok");
    if !found.is_empty() {
        return Ok(found);
    }
    let there: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')",
        [],
        |row| row.get(0),
    )?;
    if there {
        found.extend(lines(
            "SELECT 'a row of ' || \"table\" || ' refers to nothing' FROM pragma_foreign_key_check",
        )?);
        found.extend(lines(MISCOUNTED)?.into_iter().map(|line| format!("miscounted: {line}")));
    }
    Ok(found)
}
