//! The library as its users call it, on a database of its own.

mod changes;
mod feed;
mod following;
mod jobs;
mod output;
mod pages;
mod place;
mod selectors;
mod settings;
mod workers;
