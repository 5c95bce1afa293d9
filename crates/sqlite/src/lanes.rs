//! Lanes: which queues are open to a worker, and how many more jobs may run in each.
//!
//! A claim asks for the lanes of the queues that it meets, and for no others: a store may have very many.

use std::collections::HashMap;

use queuectl_core::settings::find_key;
use queuectl_core::store::Take;
use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::settings::load_setting;

/// The queues that one transaction has met.
pub struct Lanes<'a> {
    connection: &'a Connection,
    take: &'a Take,
    /// How many more may run; zero in a queue that is closed to the worker.
    rooms: HashMap<String, usize>,
}

impl<'a> Lanes<'a> {
    pub fn new(connection: &'a Connection, take: &'a Take) -> Lanes<'a> {
        Lanes { connection, take, rooms: HashMap::new() }
    }

    /// How many more may run in a queue; zero if it is paused or the worker does not take it.
    pub fn room(&mut self, queue: &str) -> Result<&mut usize, Failure> {
        if !self.rooms.contains_key(queue) {
            let open = self.is_open(queue)?;
            let room = if open { room(self.connection, queue)? } else { 0 };
            self.rooms.insert(queue.to_owned(), room);
        }
        Ok(self.rooms.get_mut(queue).expect("just put in"))
    }

    /// Not paused, and of those that the worker takes.
    pub fn is_open(&self, queue: &str) -> Result<bool, Failure> {
        if !self.takes(queue) {
            return Ok(false);
        }
        let paused: Option<bool> = self
            .connection
            .prepare_cached(
                "-- lane_paused
                 SELECT paused FROM queue WHERE name = ?",
            )?
            .query_row([queue], |row| row.get(0))
            .optional()?;
        Ok(paused == Some(false))
    }

    fn takes(&self, queue: &str) -> bool {
        self.take.queues.is_empty() || self.take.queues.iter().any(|name| name.as_str() == queue)
    }
}

/// How many more may run in a queue under its `max-running`.
pub fn room(connection: &Connection, queue: &str) -> Result<usize, Failure> {
    let Some(limit) = limit(connection, queue)? else { return Ok(usize::MAX) };
    let running: i64 = connection
        .prepare_cached(
            "-- lane_running
             SELECT coalesce(sum(n), 0) FROM counts WHERE queue = ? AND state = 'processing'",
        )?
        .query_row([queue], |row| row.get(0))?;
    Ok(usize::try_from(limit - running).unwrap_or(0))
}

fn limit(connection: &Connection, queue: &str) -> Result<Option<i64>, Failure> {
    let key = find_key("max-running").expect("a key of the table");
    let set = load_setting(connection, queue, key)?.and_then(|text| text.trim().parse::<i64>().ok());
    Ok(set.filter(|limit| *limit > 0))
}

/// A queue that is open to the worker and has jobs waiting.
#[derive(Debug)]
pub struct OpenQueue {
    pub name: String,
    pub ready: i64,
    /// Backing off.
    pub retrying: i64,
}

/// All of them. This reads a few rows for every queue there is: only for those whom the first jobs in line do not answer.
pub fn open_queues(connection: &Connection, take: &Take) -> Result<Vec<OpenQueue>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- lane_open_queues
         SELECT counts.queue,
                coalesce(sum(n) FILTER (WHERE ready = 1), 0),
                coalesce(sum(n) FILTER (WHERE ready = 0 AND retrying = 1), 0)
         FROM counts JOIN queue ON queue.name = counts.queue
         WHERE n > 0 AND state = 'pending' AND queue.paused = 0 GROUP BY counts.queue",
    )?;
    let queues: Vec<OpenQueue> = statement
        .query_map([], |row| Ok(OpenQueue { name: row.get(0)?, ready: row.get(1)?, retrying: row.get(2)? }))?
        .collect::<Result<_, _>>()?;
    let lanes = Lanes::new(connection, take);
    Ok(queues.into_iter().filter(|queue| lanes.takes(&queue.name)).collect())
}
