//! The floor of an enqueue by a process of its own: opens the database, runs one prepared statement, synced in full, and
//! ends. `queuectl-bench-insert DATABASE SQL`: it knows no JSON, no settings, and checks nothing.

use std::error::Error;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// A log that is longer is written back at the end.
const LOG_PAGES_LEFT: i64 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(sql)) = (arguments.next(), arguments.next()) else {
        return Err("usage: queuectl-bench-insert DATABASE SQL".into());
    };
    let connection = Connection::open(database)?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
    connection.execute(&sql, [])?;
    // As the product does: a short log is left to whoever comes later.
    let frames: i64 = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, frames < LOG_PAGES_LEFT)?;
    Ok(())
}
