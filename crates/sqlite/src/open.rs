//! Opening a database: where it is, whose it is, which version it has, and what every connection is set to.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use queuectl_core::limits::STORE_BUSY_MAX;
use queuectl_core::store::{Place, Store, StoreError, StoreResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::failure::Failure;
use crate::readers::Readers;
use crate::schema;
use crate::writer::{Rings, Verdict, Writer};

/// Earlier versions can corrupt a write-ahead log that two processes write.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// Kept prepared on each connection.
const STATEMENTS_MAX: usize = 128;

/// What to open.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub path: PathBuf,
    pub access: Access,
}

/// What the store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Makes the database where there is none, and brings an older one up to date.
    CreateOrMigrate,
    /// Makes nothing: `open` returns `None` where there is no database.
    ReadOnlyIfExists,
}

/// The store in one database file.
pub struct SqliteStore {
    pub(crate) readers: Readers,
    pub(crate) place: Place,
    /// Started by the first write.
    writer: Mutex<Option<Writer>>,
}

impl Store for SqliteStore {
    fn place(&self) -> Place {
        self.place.clone()
    }
}

impl SqliteStore {
    /// Opens the database. Errors say what is wrong with it and what to do; a newer schema is refused before any write.
    pub async fn open(options: OpenOptions) -> StoreResult<Option<SqliteStore>> {
        let task = tokio::task::spawn_blocking(move || SqliteStore::open_blocking(&options));
        task.await.map_err(|e| StoreError::unavailable("opening the store broke off", e))?
    }

    fn open_blocking(options: &OpenOptions) -> StoreResult<Option<SqliteStore>> {
        let path = std::path::absolute(&options.path)
            .map_err(|e| StoreError::unavailable(format!("bad path {}", options.path.display()), e))?;
        let create = options.access == Access::CreateOrMigrate;
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(StoreError::Incompatible {
                what: format!("SQLite {} is too old; at least 3.51.3 is needed", rusqlite::version()),
            });
        }
        if create {
            make_file(&path)?;
        } else if !exists(&path)? {
            return Ok(None);
        }
        refuse_network(&path)?;
        let connection = connect(&path)?;
        if create {
            schema::create_or_migrate(&connection, &path).map_err(|e| named(e.0, &path))?;
        } else if !schema::is_there(&connection).map_err(|e| named(e.0, &path))? {
            // Another process is just making it.
            return Ok(None);
        }
        schema::check(&connection).map_err(|e| named(e.0, &path))?;
        let reader_path = path.clone();
        let place = Place {
            name: path.display().to_string(),
            run_dir: beside(&path, "run"),
            out_dir: beside(&path, "out"),
        };
        let readers = Readers::new(connection, Arc::new(move || connect(&reader_path)));
        Ok(Some(SqliteStore { readers, place, writer: Mutex::new(None) }))
    }

    /// Runs an operation on the writer's thread; see [`Writer::run`].
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection, &mut Rings) -> Result<Verdict<T>, Failure> + Send + 'static,
    ) -> StoreResult<T> {
        self.writer()?.run(operation).await
    }

    fn writer(&self) -> StoreResult<Writer> {
        let mut started = self.writer.lock().expect("no panic while it is held");
        if let Some(writer) = &*started {
            return Ok(writer.clone());
        }
        let path = Path::new(&self.place.name);
        let connection = connect(path)?;
        schema::claim_identity(&connection, path).map_err(|e| named(e.0, path))?;
        let writer = Writer::start(connection, self.place.run_dir.clone())?;
        *started = Some(writer.clone());
        Ok(writer)
    }
}

/// `<database>.<what>`.
fn beside(path: &Path, what: &str) -> PathBuf {
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

fn exists(path: &Path) -> StoreResult<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(StoreError::Unavailable {
            what: format!("{} is a directory, not a database file", path.display()),
            source: None,
        }),
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::unavailable(format!("cannot look at {}", path.display()), error)),
    }
}

/// Makes the file with its final mode if there is none. An existing one is never opened outside SQLite: closing it
/// would drop this process's locks.
fn make_file(path: &Path) -> StoreResult<()> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|e| StoreError::unavailable(format!("cannot create {}", parent.display()), e))?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => exists(path).map(drop),
        Err(error) => Err(StoreError::unavailable(format!("cannot create {}", path.display()), error)),
    }
}

/// Locks and shared memory of the write-ahead log do not work between machines.
fn refuse_network(path: &Path) -> StoreResult<()> {
    const NETWORK: &[(i64, &str)] = &[
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x5346_414f, "AFS"),
        (0x0102_1997, "9p"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
    ];
    let Ok(found) = rustix::fs::statfs(path) else { return Ok(()) };
    let magic = found.f_type & 0xffff_ffff;
    match NETWORK.iter().find(|(number, _)| *number == magic) {
        None => Ok(()),
        Some((_, name)) => Err(StoreError::Unavailable {
            what: format!(
                "{} is on {name}, a network file system, where SQLite cannot keep its promises; \
                 put the database on a local disk",
                path.display()
            ),
            source: None,
        }),
    }
}

/// A connection as every one of ours is set.
fn connect(path: &Path) -> StoreResult<Connection> {
    let open = || -> Result<Connection, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(STORE_BUSY_MAX)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        patiently(|| {
            connection.execute_batch(
                "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA mmap_size = 0;
                 PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;
                 PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384;",
            )
        })?;
        Ok(connection)
    };
    open().map_err(|failure| named(failure.0, path))
}

/// Repeats what SQLite answers with "busy" without waiting, as it does while a log is made or recovered.
pub fn patiently<T>(operation: impl Fn() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
    let mut left = STORE_BUSY_MAX.as_millis() / PAUSE.as_millis();
    loop {
        match operation() {
            Err(error)
                if left > 0
                    && matches!(
                        error.sqlite_error_code(),
                        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                    ) =>
            {
                left -= 1;
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

/// The file's identity, as the database records it.
pub fn identity(path: &Path) -> StoreResult<(i64, i64)> {
    let found = fs::metadata(path)
        .map_err(|e| StoreError::unavailable(format!("cannot look at {}", path.display()), e))?;
    Ok((found.dev() as i64, found.ino() as i64))
}
