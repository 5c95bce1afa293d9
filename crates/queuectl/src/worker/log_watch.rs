//! The alarm of a log that grows because somebody keeps an old state of the database open.

use queuectl_core::limits::LOG_ALARM_INTERVAL;
use queuectl_exec::now_boot_ms;
use tracing::{info, warn};

use crate::client::Client;

/// What was said of it.
#[derive(Debug, Default)]
pub struct LogWatch {
    told_at: Option<u64>,
}

impl LogWatch {
    /// Looks at the log, empties it if it can, and tells of it now and then if it cannot. A store that fails is told of
    /// by others.
    pub async fn look(&mut self, client: &Client) {
        match client.trim_log().await {
            Ok(None) if self.told_at.take().is_some() => {
                info!("the write-ahead log of the database was emptied");
            }
            Ok(Some(bytes)) if self.is_due() => {
                self.told_at = Some(now_boot_ms());
                warn!(
                    mib = bytes / (1024 * 1024),
                    "the write-ahead log of the database grows, for another process keeps an old state of it open; \
                     end that process (a SQL shell, a copy?), and the log is emptied"
                );
            }
            _ => {}
        }
    }

    fn is_due(&self) -> bool {
        let pause = u64::try_from(LOG_ALARM_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        self.told_at.is_none_or(|told| now_boot_ms() >= told.saturating_add(pause))
    }
}
