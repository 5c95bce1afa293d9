//! Fail points: named places at which the crash proof kills a process. They exist only in a build with
//! `--cfg fault_points`; in any other [`point!`] is nothing.

#[cfg(fault_points)]
mod armed;

#[cfg(fault_points)]
pub use armed::reach;

/// A place where a process may be killed.
#[cfg(fault_points)]
#[macro_export]
macro_rules! point {
    ($name:literal) => {
        $crate::reach($name)
    };
}

/// A place where a process may be killed, in the build of the crash proof; here it is nothing.
#[cfg(not(fault_points))]
#[macro_export]
macro_rules! point {
    ($name:literal) => {};
}
