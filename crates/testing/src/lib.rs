//! Test-only building blocks.
