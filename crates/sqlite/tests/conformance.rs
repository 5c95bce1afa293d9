//! The SQLite store passes the suite of the port: with threads of its own, and on the caller's.

mod fixture;

mod threads {
    use queuectl_sqlite::Access;

    use super::fixture::sqlite;

    queuectl_testing::conformance!(sqlite(Access::CreateOrMigrate, |_| ()));
}

mod here {
    use queuectl_sqlite::Access;

    use super::fixture::sqlite;

    queuectl_testing::conformance!(sqlite(Access::CreateHere, |_| ()));
}
