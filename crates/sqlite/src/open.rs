//! Opening a database: where it is, whose it is, which version it has, and what every connection is set to.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use queuectl_core::limits::{STORE_BUSY_MAX, STORE_LINE_MAX};
use queuectl_core::store::{Place, Store, StoreError, StoreResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::OnceCell;

use crate::clock::{Clock, Deadline};
use crate::failure::Failure;
use crate::file::{exists, is_at_rest_and_read_only, make_file, real_path, refuse_network, sole_identity};
use crate::hands::Hands;
use crate::home::Home;
use crate::readers::Readers;
use crate::schema;
use crate::suspect;
use crate::writer::{Desk, Writer};

/// Earlier versions can corrupt a write-ahead log that two processes write.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// Kept prepared on each connection.
const STATEMENTS_MAX: usize = 128;

/// What to open.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub path: PathBuf,
    pub access: Access,
    pub network: Network,
}

impl OpenOptions {
    /// On this machine's own file systems.
    pub fn new(path: impl Into<PathBuf>, access: Access) -> OpenOptions {
        OpenOptions { path: path.into(), access, network: Network::Refused }
    }
}

/// What the store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Makes the database where there is none. An older one stays as it is.
    Create,
    /// The same, for one who does a single thing and ends: no thread is started, and each call blocks its caller.
    CreateHere,
    /// Makes the database where there is none, and brings an older one up to date.
    CreateOrMigrate,
    /// Makes nothing: `open` returns `None` where there is no database.
    ReadOnlyIfExists,
}

/// What of a file system that is not this machine's own, where locks and shared memory may not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Refused,
    /// At the risk of whoever says so.
    Allowed,
}

/// The store in one database file.
pub struct SqliteStore {
    pub(crate) hands: Hands,
    pub(crate) place: Place,
    pub(crate) clock: Clock,
    /// The file, by no link.
    pub(crate) home: Home,
    /// The last exchange that only asked for jobs was given some.
    pub(crate) lucky: AtomicBool,
}

impl Store for SqliteStore {
    fn place(&self) -> Place {
        self.place.clone()
    }
}

impl SqliteStore {
    /// Opens the database. Errors say what is wrong with it and what to do; a newer schema is refused before any write.
    pub async fn open(options: OpenOptions) -> StoreResult<Option<SqliteStore>> {
        SqliteStore::open_with_clock(options, Clock::system()).await
    }

    /// Opens the database with another clock than the system's: for tests that move time.
    pub async fn open_with_clock(options: OpenOptions, clock: Clock) -> StoreResult<Option<SqliteStore>> {
        if options.access == Access::CreateHere {
            return SqliteStore::open_blocking(&options, clock);
        }
        let task = tokio::task::spawn_blocking(move || SqliteStore::open_blocking(&options, clock));
        task.await.map_err(|e| StoreError::unavailable("opening the store broke off", e))?
    }

    fn open_blocking(options: &OpenOptions, clock: Clock) -> StoreResult<Option<SqliteStore>> {
        let path = std::path::absolute(&options.path)
            .map_err(|e| StoreError::unavailable(format!("bad path {}", options.path.display()), e))?;
        let create = options.access != Access::ReadOnlyIfExists;
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(StoreError::Incompatible {
                what: format!("SQLite {} is too old; at least 3.51.3 is needed", rusqlite::version()),
            });
        }
        if options.network == Network::Refused {
            refuse_network(&path)?;
        }
        if create {
            make_file(&path)?;
        } else if !exists(&path)? {
            return Ok(None);
        }
        let real = real_path(&path)?;
        if real != path && options.network == Network::Refused {
            refuse_network(&real)?;
        }
        let path = real;
        let home = Home::of(&path)?;
        let connection = connect(&path)?;
        let prepared = || -> Result<bool, Failure> {
            if schema::is_there(&connection)? {
                schema::check_reader(&connection)?;
                if create {
                    schema::check_writer(&connection)?;
                }
            } else if !create {
                // Another process is just making it.
                return Ok(false);
            }
            if create {
                suspect::clear(&connection, &path)?;
                schema::create(&connection, &path)?;
                schema::keep_log(&connection)?;
                schema::claim_identity(&connection, home.identity(), clock.now())?;
            }
            if options.access == Access::CreateOrMigrate {
                schema::migrate(&connection)?;
            }
            Ok(true)
        };
        let marked = |error| suspect::mark_if_failed_sync(&path, error, clock.now());
        if !prepared().map_err(|failure| named(marked(failure.0), &path))? {
            return Ok(None);
        }
        let place = Place {
            name: path.display().to_string(),
            file: Some(path.clone()),
            run_dir: beside(&path, "run"),
            out_dir: beside(&path, "out"),
        };
        let home = home.with_log()?;
        let hands = if options.access == Access::CreateHere {
            let desk = Desk::new(connection, home.clone(), place.run_dir.clone(), clock.clone())?;
            Hands::Caller(Box::new(Mutex::new(desk)))
        } else {
            home.check()?;
            let readers = Readers::new(connection, home.clone(), Arc::new(move || connect(&path)));
            Hands::Threads { readers, writer: OnceCell::new() }
        };
        Ok(Some(SqliteStore { hands, place, clock, home, lucky: AtomicBool::new(false) }))
    }

    /// On a connection of its own.
    pub(crate) async fn start_writer(&self) -> StoreResult<Writer> {
        let (home, run_dir, clock) = (self.home.clone(), self.place.run_dir.clone(), self.clock.clone());
        let task = tokio::task::spawn_blocking(move || {
            let path = home.path();
            home.check()?;
            sole_identity(path)?;
            let connection = connect(path)?;
            home.check()?;
            let marked = |error| suspect::mark_if_failed_sync(path, error, clock.now());
            schema::check_writer(&connection)
                .and_then(|()| suspect::clear(&connection, path))
                .and_then(|()| schema::keep_log(&connection))
                .and_then(|()| schema::claim_identity(&connection, home.identity(), clock.now()))
                .map_err(|failure| named(marked(failure.0), path))?;
            Writer::start(Desk::new(connection, home.with_log()?, run_dir, clock)?)
        });
        task.await.map_err(|e| StoreError::unavailable("starting the writer broke off", e))?
    }
}

/// `<database>.<what>`.
pub fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    PathBuf::from(name)
}

/// Puts the database's path in front of an error that does not name it.
fn named(error: StoreError, path: &Path) -> StoreError {
    let at = path.display();
    match error {
        StoreError::Unavailable { what, source } => {
            StoreError::Unavailable { what: format!("{at}: {what}"), source }
        }
        StoreError::Damaged { what } => StoreError::Damaged { what: format!("{at}: {what}") },
        other => other,
    }
}

/// A connection as every one of ours is set.
pub fn connect(path: &Path) -> StoreResult<Connection> {
    let open = || -> Result<Connection, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = if is_at_rest_and_read_only(path)? {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
                | OpenFlags::SQLITE_OPEN_NO_MUTEX
                | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(unchanging(path), flags)?
        } else {
            Connection::open_with_flags(path, flags)?
        };
        connection.busy_handler(Some(wait_turn()))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // A statement is planned once, whatever is bound to it later. Else SQLite looks at what is bound to find out whether an
        // index of some rows will do, and plans anew when that changes: a tenth of the writer's work.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // What is read needs little room, for the system keeps it as well; what one transaction writes, in pages, stays in
        // memory until the commit.
        patiently(|| {
            connection.execute_batch(
                "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA mmap_size = 0;
                 PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;
                 PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -2048;
                 PRAGMA cache_spill = 4096;",
            )
        })?;
        Ok(connection)
    };
    open().map_err(|failure| named(failure.0, path))
}

/// Closing this connection writes nothing out and deletes nothing: what lies under the log's name may be another's.
pub fn leave_log(connection: &Connection) {
    // It cannot fail on an open connection.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

/// SQLite's name for a file that nobody changes, so that it can be read where no log can be made beside it.
fn unchanging(path: &Path) -> String {
    let mut name = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                name.push(char::from(*byte));
            }
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name + "?immutable=1"
}

/// Waits for another process's transaction, as whoever has his turn in line (see `turn.rs`) rarely has to. SQLite's own
/// handler sleeps ever longer, up to a tenth of a second, so that in a crowd the one who has waited longest is the least
/// likely to get its turn. Here it asks most often: whoever comes anew asks quickly, for most waits are short, then now and
/// then, then more and more often.
pub fn wait_turn() -> impl FnMut(i32) -> bool + Send + 'static {
    wait_up_to(STORE_BUSY_MAX.saturating_sub(STORE_LINE_MAX))
}

/// The same, but no longer than this.
pub fn wait_up_to(bound: Duration) -> impl FnMut(i32) -> bool + Send + 'static {
    /// Microseconds before each time; the last one stays.
    const PAUSES: [u64; 9] = [250, 500, 1000, 2000, 2000, 1000, 1000, 1000, 500];
    let mut deadline = Deadline::after(bound);
    move |asked| {
        if asked == 0 {
            deadline = Deadline::after(bound);
        }
        let pause = PAUSES[(asked as usize).min(PAUSES.len() - 1)];
        thread::sleep(Duration::from_micros(pause));
        !deadline.has_passed()
    }
}

/// Repeats what SQLite answers with "busy" without waiting, as it does while a log is made or recovered.
pub fn patiently<T>(operation: impl Fn() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    const PAUSE: Duration = Duration::from_millis(5);
    let deadline = Deadline::after(STORE_BUSY_MAX);
    loop {
        match operation() {
            Err(error)
                if !deadline.has_passed()
                    && matches!(
                        error.sqlite_error_code(),
                        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                    ) =>
            {
                thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}
