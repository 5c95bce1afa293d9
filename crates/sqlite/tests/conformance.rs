//! The SQLite store passes the suite of the port.

mod fixture;

use fixture::sqlite;

queuectl_testing::conformance!(sqlite(|_| ()));
