//! Settings.

use async_trait::async_trait;
use queuectl_core::queue::QueueName;
use queuectl_core::settings::{Key, Settings};
use queuectl_core::store::{SettingsStore, StoreResult};
use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::open::SqliteStore;
use crate::rows::queue_name;
use crate::writer::Verdict;

#[async_trait]
impl SettingsStore for SqliteStore {
    async fn settings(&self) -> StoreResult<Settings> {
        let settings = self.read(|connection| load_settings(connection, None)).await?;
        Ok(settings.unwrap_or_default())
    }

    async fn set_setting(
        &self,
        queue: Option<&QueueName>,
        key: &'static Key,
        value: Option<&str>,
    ) -> StoreResult<()> {
        let scope = queue.map(|queue| queue.as_str().to_owned()).unwrap_or_default();
        let value = value.map(str::to_owned);
        self.write(move |connection, rings| {
            rings.work = true;
            let mut unset = connection.prepare_cached(
                "-- setting_unset
                 DELETE FROM setting WHERE queue = ? AND key = ?",
            )?;
            for name in key.siblings().map(|sibling| sibling.name).chain([key.name]) {
                unset.execute((&scope, name))?;
            }
            if let Some(value) = &value {
                connection
                    .prepare_cached(
                        "-- setting_set
                         INSERT INTO setting (queue, key, value) VALUES (?, ?, ?)",
                    )?
                    .execute((&scope, key.name, value))?;
            }
            connection
                .prepare_cached(
                    "-- setting_version
                     UPDATE meta SET settings_version = settings_version + 1",
                )?
                .execute([])?;
            Ok(Verdict::Keep(()))
        })
        .await
    }
}

/// All settings; `None` if their version is the one that was seen.
pub fn load_settings(connection: &Connection, seen: Option<u64>) -> Result<Option<Settings>, Failure> {
    let version: i64 = connection
        .prepare_cached(
            "-- setting_version_get
             SELECT settings_version FROM meta",
        )?
        .query_row([], |row| row.get(0))?;
    let mut settings = Settings { version: version as u64, ..Settings::default() };
    if seen == Some(settings.version) {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(
        "-- setting_list
         SELECT queue, key, value FROM setting",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let queue: String = row.get(0)?;
        let queue = if queue.is_empty() { None } else { Some(queue_name(queue)?) };
        settings.values.insert((queue, row.get(1)?), row.get(2)?);
    }
    Ok(Some(settings))
}

/// One value that is in force for a queue, if someone set it.
pub fn load_setting(
    connection: &Connection,
    queue: &str,
    key: &'static Key,
) -> Result<Option<String>, Failure> {
    Ok(connection
        .prepare_cached(
            "-- setting_get
             SELECT value FROM setting WHERE queue IN ('', ?) AND key = ? ORDER BY queue DESC LIMIT 1",
        )?
        .query_row((queue, key.name), |row| row.get(0))
        .optional()?)
}
