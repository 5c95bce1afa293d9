//! Listening for rings.

use std::time::Duration;

use async_trait::async_trait;
use queuectl_core::store::{Listener, StoreError, StoreResult, Topic, Wakeups};
use tokio::net::UnixDatagram;

use crate::open::SqliteStore;
use crate::ring::RingSocket;

struct RingListener {
    socket: UnixDatagram,
    _bound: RingSocket,
}

#[async_trait]
impl Listener for RingListener {
    async fn wait(&mut self, up_to: Duration) -> bool {
        let mut byte = [0; 8];
        let rung = tokio::time::timeout(up_to, self.socket.recv(&mut byte)).await.is_ok();
        while rung && self.socket.try_recv(&mut byte).is_ok() {}
        rung
    }
}

/// Of somebody who may not put a socket into the run directory: a queue on a read-only mount, or another user's.
struct Deaf;

#[async_trait]
impl Listener for Deaf {
    async fn wait(&mut self, up_to: Duration) -> bool {
        tokio::time::sleep(up_to).await;
        false
    }
}

#[async_trait]
impl Wakeups for SqliteStore {
    async fn listen(&self, topic: Topic) -> StoreResult<Box<dyn Listener>> {
        let bound = match RingSocket::bind(&self.place.run_dir, topic) {
            Ok(bound) => bound,
            // Who only watches looks now and then in any case.
            Err(_) if topic == Topic::Outcome => return Ok(Box::new(Deaf)),
            Err(error) => return Err(error),
        };
        let failed = |e| StoreError::unavailable("cannot wait on a socket", e);
        let socket = bound.socket.try_clone().map_err(failed)?;
        let socket = UnixDatagram::from_std(socket).map_err(failed)?;
        Ok(Box::new(RingListener { socket, _bound: bound }))
    }
}
