//! The log of the database: how long it is, and keeping it short.

use queuectl_core::limits::LOG_ALARM_BYTES;
use queuectl_core::store::StoreResult;

use super::Client;

impl Client {
    /// Bytes in a log that has grown too long, for another process keeps an old state of the database open; `None` if
    /// all is well.
    pub async fn overgrown_log(&self) -> StoreResult<Option<u64>> {
        let bytes = self.store.log_bytes().await?;
        Ok((bytes > LOG_ALARM_BYTES).then_some(bytes))
    }

    /// Empties a log that has grown too long, if nobody needs it any more. Bytes of one that is needed.
    pub(crate) async fn trim_log(&self) -> StoreResult<Option<u64>> {
        if self.overgrown_log().await?.is_none() {
            return Ok(None);
        }
        self.store.trim_log().await?;
        self.overgrown_log().await
    }
}
