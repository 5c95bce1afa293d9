//! Where the store is, and how a verb opens it. A database is never picked up from the current directory unasked:
//! running someone's queue is running their code.

use std::env;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use queuectl::core::store::{StoreError, WorkerRow};
use queuectl::{Access, Client, Enqueuer, Network, Newest};

use crate::exit::{Exit, Failure};
use crate::terminal::name_store;

/// The database that this call is about.
#[derive(Debug, Clone)]
pub struct Place {
    pub path: PathBuf,
}

impl Place {
    /// `--db`, `QUEUECTL_DB`, `QUEUECTL_DB_PATH`, `QUEUECTL_DATA_DIR`/queue.db, else the XDG data directory.
    pub fn find(given: Option<PathBuf>) -> Result<Place, Failure> {
        let variable = |name: &str| variable(name).map(PathBuf::from);
        if let Some(path) = &given {
            name_store(path);
        }
        let named = given.or_else(|| variable("QUEUECTL_DB")).or_else(|| variable("QUEUECTL_DB_PATH"));
        let path = match named.or_else(|| variable("QUEUECTL_DATA_DIR").map(|dir| dir.join("queue.db"))) {
            Some(path) => path,
            None => default_path()?,
        };
        if path.as_os_str().is_empty() {
            return Err(Failure::usage("the path of the database is empty")
                .hint("name a file with --db or QUEUECTL_DB"));
        }
        if path.to_string_lossy().contains("://") {
            return Err(Failure::usage(format!(
                "{} is a URL; --db takes the path of a file",
                path.display()
            ))
            .hint("the store is an SQLite file, such as --db ./queue.db"));
        }
        let path = std::path::absolute(&path)
            .map_err(|error| Failure::usage(format!("bad database path {}: {error}", path.display())))?;
        Ok(Place { path })
    }

    /// The store, made if there is none.
    pub async fn open(&self) -> Result<Client, Failure> {
        self.open_as(Access::Write).await
    }

    /// The same, for a verb that does one thing and ends.
    pub async fn open_here(&self) -> Result<Client, Failure> {
        self.open_as(Access::WriteHere).await
    }

    async fn open_as(&self, access: Access) -> Result<Client, Failure> {
        let opened = Client::open_with_network(&self.path, access, network()).await.map_err(unusable)?;
        opened.ok_or_else(|| self.vanished())
    }

    fn vanished(&self) -> Failure {
        let what = format!("{} vanished while it was opened", self.path.display());
        StoreError::Unavailable { what, source: None }.into()
    }

    /// The store, made if there is none, with the newest schema unless an older worker lives in it: those come too.
    pub async fn open_newest(&self) -> Result<(Client, Vec<WorkerRow>), Failure> {
        let Newest { client, in_the_way } =
            Client::open_newest(&self.path, network()).await.map_err(unusable)?;
        Ok((client.ok_or_else(|| self.vanished())?, in_the_way))
    }

    /// The store, if there is one.
    pub async fn open_existing(&self) -> Result<Option<Client>, Failure> {
        Client::open_with_network(&self.path, Access::Read, network()).await.map_err(unusable)
    }

    /// How people see it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// `QUEUECTL_ALLOW_NETWORK_FS=1` takes the risk.
pub fn network() -> Network {
    let allowed = variable("QUEUECTL_ALLOW_NETWORK_FS").is_some_and(|value| value == "1");
    if allowed { Network::Allowed } else { Network::Refused }
}

/// A store that cannot be opened, and the way out where its message names none.
fn unusable(error: StoreError) -> Failure {
    let failure = Failure::from(error);
    if failure.hint.is_some() || ["--db", "try again"].iter().any(|way| failure.message.contains(way)) {
        return failure;
    }
    failure.hint("--db FILE or QUEUECTL_DB names another database")
}

fn default_path() -> Result<PathBuf, Failure> {
    let strategy = etcetera::base_strategy::Xdg::new().map_err(|error| {
        Failure::new(Exit::Unavailable, format!("there is no home directory for the database: {error}"))
            .hint("name a file with --db or QUEUECTL_DB")
    })?;
    Ok(strategy.data_dir().join("queuectl").join("queue.db"))
}

/// Who enqueues: this directory, this environment, this time zone.
pub fn enqueuer() -> Enqueuer {
    Enqueuer {
        dir: current_dir().map(|dir| dir.into_os_string().into_vec()),
        variables: environment(),
        time_zone: jiff::tz::TimeZone::system,
    }
}

/// This process's environment.
#[expect(clippy::disallowed_methods, reason = "the CLI reads the environment")]
pub fn environment() -> Vec<(Vec<u8>, Vec<u8>)> {
    env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect()
}

#[expect(clippy::disallowed_methods, reason = "the CLI reads the environment")]
pub fn current_dir() -> Option<PathBuf> {
    env::current_dir().ok()
}

/// One variable of this process's environment, unless it is empty.
#[expect(clippy::disallowed_methods, reason = "the CLI reads the environment")]
pub fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The home directory, else the root: where a job runs that names no directory.
#[expect(clippy::disallowed_methods, reason = "the CLI reads the environment")]
pub fn home() -> Vec<u8> {
    let home = env::var_os("HOME").filter(|home| Path::new(home).is_absolute());
    home.unwrap_or_else(|| "/".into()).into_vec()
}
