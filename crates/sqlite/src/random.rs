//! Random numbers: incarnations and the names of sockets.

/// A fresh one.
#[expect(
    clippy::disallowed_methods,
    reason = "what must be unlike everything else on other machines is drawn"
)]
pub fn draw() -> u64 {
    getrandom::u64().expect("the kernel's random numbers")
}
