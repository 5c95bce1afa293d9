//! Attempts and what they printed.

use async_trait::async_trait;
use queuectl_core::id::JobId;
use queuectl_core::outcome::{Output, OutputBody};
use queuectl_core::store::{Attempt, Attempts, StoreResult};

use super::MemoryStore;

#[async_trait]
impl Attempts for MemoryStore {
    async fn attempts(&self, id: &JobId, outputs: bool) -> StoreResult<Vec<Attempt>> {
        Ok(self.verb(|state, _, _| {
            let attempts = state.find(id).map(|entry| entry.attempts.clone()).unwrap_or_default();
            if outputs { attempts } else { attempts.into_iter().map(without_bodies).collect() }
        }))
    }

    async fn attempt(&self, id: &JobId, number: u32) -> StoreResult<Option<Attempt>> {
        Ok(self.attempts(id, true).await?.into_iter().find(|attempt| attempt.number == number))
    }
}

/// What lies in a file is named in any case; its body is not here.
fn without_bodies(mut attempt: Attempt) -> Attempt {
    let empty = |output: &mut Output| {
        if let OutputBody::Inline(bytes) = &mut output.body {
            bytes.clear();
        }
    };
    empty(&mut attempt.stdout);
    empty(&mut attempt.stderr);
    attempt
}
