//! SQLite's files under watch: a VFS around the usual one that writes down what reaches the disk, in its order, and
//! fails the calls that it is told to fail. The store above it runs as it is.

mod session;
#[expect(unsafe_code, reason = "the interface of SQLite's VFS is C")]
mod shim;

pub use session::{Call, Entry, Kind, Session, Trap};
pub use shim::{WITNESS, install};

#[cfg(test)]
mod tests;
