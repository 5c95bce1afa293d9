//! The rows of a damaged database in tables that are sound: taken from its pages one by one, and known for what they are
//! by their shape. Nothing here judges whether a job is what was enqueued; its digest does.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::leaves::{Kind, Pages, Record, Standing};
use crate::failure::Failure;
use crate::keep::failed;

/// What is gathered. Their rows differ in how many columns they have, and those of jobs' indexes never look like them.
const TABLES: [&str; 6] = ["environment", "batch", "job", "attempt", "output", "setting"];

/// The shape of a table's rows, by the schema that this program makes.
struct Table {
    kind: Kind,
    columns: Vec<Column>,
    /// Puts a row into the sound table; for jobs only over an older one.
    insert: String,
}

struct Column {
    name: String,
    r#type: String,
    needed: bool,
    /// Where in the key.
    key: i64,
}

/// Fills `into`, which is empty, with all rows of the pages of `damaged`, whose log has been written into it. `schema`: a
/// whole database of ours. A job from a page that may be an old one is marked as `doubtful`.
pub fn gather(damaged: &Path, schema: &Connection, into: &Connection) -> Result<(), Failure> {
    into.execute_batch("PRAGMA synchronous = OFF; BEGIN")?;
    let mut tables = Vec::new();
    for name in TABLES {
        let table = Table::of(schema, name)?;
        into.execute_batch(&table.create(name))?;
        tables.push(table);
    }
    let pages = Pages::open(damaged).map_err(failed("read", damaged))?;
    // What is sure comes first, so that it stays.
    for standing in [Standing::InUse, Standing::Unknown] {
        for number in pages.numbers().filter(|number| pages.standing(*number) == standing) {
            let Some((kind, records)) = pages.rows(number) else { continue };
            for record in records {
                if let Some(table) = tables.iter().find(|table| table.fits(kind, &record)) {
                    let key = Value::Integer(record.rowid.unwrap_or_default());
                    let alias = |(column, value): (&Column, Value)| {
                        if table.is_alias(column) { key.clone() } else { value }
                    };
                    let values = table.columns.iter().zip(record.values).map(alias);
                    let doubtful = Value::Integer(i64::from(standing == Standing::Unknown));
                    into.prepare_cached(&table.insert)?
                        .execute(params_from_iter(values.chain([doubtful])))?;
                }
            }
        }
    }
    // An id was given out anew after its job had been deleted.
    into.execute_batch(
        "CREATE INDEX job_id ON job (id, seq);
         DELETE FROM job WHERE EXISTS (SELECT 1 FROM job AS later WHERE later.id = job.id AND later.seq > job.seq);
         COMMIT",
    )?;
    Ok(())
}

impl Table {
    fn of(schema: &Connection, name: &str) -> Result<Table, Failure> {
        let without_rowid: bool = schema.query_row(
            "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?",
            [name],
            |row| row.get(0),
        )?;
        let columns = schema
            .prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?) ORDER BY cid")?
            .query_map([name], |row| {
                Ok(Column { name: row.get(0)?, r#type: row.get(1)?, needed: row.get(2)?, key: row.get(3)? })
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let marks = vec!["?"; columns.len() + 1].join(", ");
        let insert = match columns.iter().position(|column| column.name == "updated_at") {
            None => format!("INSERT OR IGNORE INTO {name} VALUES ({marks})"),
            Some(updated) => format!(
                "INSERT OR REPLACE INTO {name} SELECT {marks}
                 WHERE NOT EXISTS (SELECT 1 FROM {name} WHERE seq = ?1 AND updated_at >= ?{})",
                updated + 1
            ),
        };
        let kind = if without_rowid { Kind::Index } else { Kind::Rowid };
        Ok(Table { kind, columns, insert })
    }

    /// As it is gathered: any values, so that a damaged row is in nobody's way.
    fn create(&self, name: &str) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        let key: Vec<&str> = key.into_iter().map(|column| column.name.as_str()).collect();
        format!("CREATE TABLE {name} ({}, doubtful, PRIMARY KEY ({}))", columns.join(", "), key.join(", "))
    }

    /// True for the column that is the rowid.
    fn is_alias(&self, column: &Column) -> bool {
        let keys = self.columns.iter().filter(|column| column.key > 0).count();
        self.kind == Kind::Rowid && keys == 1 && column.key == 1 && column.r#type == "INTEGER"
    }

    fn fits(&self, kind: Kind, record: &Record) -> bool {
        let fits = |(column, value): (&Column, &Value)| match value {
            Value::Null => !column.needed || self.is_alias(column),
            _ if self.is_alias(column) => false,
            Value::Integer(_) => column.r#type == "INTEGER",
            Value::Text(_) => column.r#type == "TEXT",
            Value::Blob(_) => column.r#type == "BLOB",
            Value::Real(_) => false,
        };
        kind == self.kind
            && record.values.len() == self.columns.len()
            && self.columns.iter().zip(&record.values).all(fits)
    }
}
