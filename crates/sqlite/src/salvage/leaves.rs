//! The rows on the pages of a database file, read page by page without the trees above them: what SQLite cannot reach
//! since a page of the way is damaged. The names are those of SQLite's description of its file format.
//!
//! Nothing that a job printed can pose as a page of rows: in a file it fills pages of overflow only, which begin with the
//! number of the next one, and that is never as large as to read as the kind of a page.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::types::Value;

/// Every database of ours has pages of this size, and nothing reserved at their ends.
pub const PAGE: usize = 4096;
/// Pages that one page of the pointer map tells of, and itself.
const MAP_SPAN: u32 = PAGE as u32 / 5 + 1;
/// The page of SQLite's lock bytes holds nothing.
const LOCK_PAGE: u32 = 0x4000_0000 / PAGE as u32 + 1;

/// Where rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A table by rowid.
    Rowid,
    /// An index, or a table `WITHOUT ROWID`.
    Index,
}

/// What the pointer map says of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Of a tree.
    InUse,
    /// Free, or a part of a long row: what it holds is no page of rows, whatever it looks like.
    Other,
    /// The map is damaged here: what looks like rows may be what was there once.
    Unknown,
}

/// One row as it is stored; the alias of a rowid is NULL in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub rowid: Option<i64>,
    pub values: Vec<Value>,
}

/// The pages of a file.
pub struct Pages {
    file: File,
    count: u32,
}

impl Pages {
    pub fn open(path: &Path) -> io::Result<Pages> {
        let file = File::open(path)?;
        let count = u32::try_from(file.metadata()?.len() / PAGE as u64).unwrap_or(u32::MAX);
        Ok(Pages { file, count })
    }

    /// The numbers of all pages that can hold rows of ours: the first holds the list of tables.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        2..=self.count
    }

    fn read(&self, number: u32) -> Option<[u8; PAGE]> {
        let mut page = [0; PAGE];
        if number == 0 || number > self.count {
            return None;
        }
        self.file.read_exact_at(&mut page, u64::from(number - 1) * PAGE as u64).ok()?;
        Some(page)
    }

    /// By the pointer map, which databases of ours have since they give free pages back.
    pub fn standing(&self, number: u32) -> Standing {
        let mut map = (number - 2) / MAP_SPAN * MAP_SPAN + 2;
        map += u32::from(map == LOCK_PAGE);
        if number <= map || number == LOCK_PAGE {
            return Standing::Other;
        }
        let at = 5 * (number - map - 1) as usize;
        match self.read(map).and_then(|map| map.get(at).copied()) {
            Some(1 | 5) => Standing::InUse,
            Some(2..=4) => Standing::Other,
            _ => Standing::Unknown,
        }
    }

    /// The rows of a page that can be read; none if it is no page of rows.
    pub fn rows(&self, number: u32) -> Option<(Kind, Vec<Record>)> {
        let page = self.read(number)?;
        // A page inside of an index holds rows as well, each behind the number of a page.
        let (kind, header, child) = match page[0] {
            0x0d => (Kind::Rowid, 8, 0),
            0x0a => (Kind::Index, 8, 0),
            0x02 => (Kind::Index, 12, 4),
            _ => return None,
        };
        let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
        let pointers = page.get(header..header + 2 * cells)?;
        let record = |pointer: &[u8]| {
            let at = usize::from(u16::from_be_bytes([pointer[0], pointer[1]]));
            self.record(kind, page.get(at + child..).filter(|_| at >= header + 2 * cells)?)
        };
        Some((kind, pointers.chunks_exact(2).filter_map(record).collect()))
    }

    /// The row whose cell begins here.
    fn record(&self, kind: Kind, mut cell: &[u8]) -> Option<Record> {
        let length = usize::try_from(varint(&mut cell)?).ok()?;
        let rowid = match kind {
            Kind::Rowid => Some(varint(&mut cell)?),
            Kind::Index => None,
        };
        let payload = self.payload(kind, length, cell)?;
        Some(Record { rowid, values: values(&payload)? })
    }

    /// All of a row's bytes: what does not fit on its page follows on others.
    fn payload(&self, kind: Kind, length: usize, cell: &[u8]) -> Option<Vec<u8>> {
        const NEXT: usize = 4;
        if length > self.count as usize * PAGE {
            return None;
        }
        let most = match kind {
            Kind::Rowid => PAGE - 35,
            Kind::Index => (PAGE - 12) * 64 / 255 - 23,
        };
        let least = (PAGE - 12) * 32 / 255 - 23;
        let local = match least + length.saturating_sub(least) % (PAGE - NEXT) {
            _ if length <= most => length,
            fitting if fitting <= most => fitting,
            _ => least,
        };
        let mut payload = cell.get(..local)?.to_vec();
        if local == length {
            return Some(payload);
        }
        let mut next = number(cell.get(local..local + NEXT)?);
        while payload.len() < length {
            let page = self.read(next)?;
            let part = (length - payload.len()).min(PAGE - NEXT);
            payload.extend_from_slice(&page[NEXT..NEXT + part]);
            next = number(&page[..NEXT]);
        }
        Some(payload)
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Takes a number of one to nine bytes off the front.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for taken in 1..=9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if taken == 9 {
            return Some((value << 8 | u64::from(*byte)) as i64);
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value as i64)
}

/// The values of a record, if they fill it.
fn values(payload: &[u8]) -> Option<Vec<Value>> {
    let mut header = payload;
    let length = usize::try_from(varint(&mut header)?).ok()?;
    let mut body = payload.get(length..)?;
    let mut header = header.get(..header.len().checked_sub(body.len())?)?;
    let mut values = Vec::new();
    while !header.is_empty() {
        values.push(value(varint(&mut header)?, &mut body)?);
    }
    body.is_empty().then_some(values)
}

/// Takes a value of this serial type off the front.
fn value(serial_type: i64, body: &mut &[u8]) -> Option<Value> {
    let length = match serial_type {
        0 | 8 | 9 => 0,
        1..=4 => serial_type as usize,
        5 => 6,
        6 | 7 => 8,
        12.. => usize::try_from((serial_type - 12) / 2).ok()?,
        _ => return None,
    };
    let bytes = body.get(..length)?;
    *body = &body[length..];
    let integer = || {
        let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
        bytes.iter().fold(sign, |value: i64, byte| value << 8 | i64::from(*byte))
    };
    Some(match serial_type {
        0 => Value::Null,
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        1..=6 => Value::Integer(integer()),
        7 => Value::Real(f64::from_bits(integer() as u64)),
        _ if serial_type % 2 == 0 => Value::Blob(bytes.to_vec()),
        _ => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::{Connection, params_from_iter};

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let length = prop_oneof![8 => 0..200_usize, 1 => 900..1100_usize, 1 => 3900..13_000_usize];
        prop_oneof![
            Just(Value::Null),
            (any::<i64>(), 0..64_u32).prop_map(|(number, bits)| Value::Integer(number >> bits)),
            any::<f64>().prop_filter("a number", |number| !number.is_nan()).prop_map(Value::Real),
            length.clone().prop_map(|length| Value::Text("ä".repeat(length / 2))),
            length.prop_map(|length| Value::Blob(vec![0x0d; length])),
        ]
    }

    /// All rows in the pages of a database that are in use.
    fn read(path: &Path) -> Vec<(Kind, Record)> {
        let pages = Pages::open(path).expect("readable");
        let in_use = pages.numbers().filter(|number| pages.standing(*number) == Standing::InUse);
        let found = in_use.filter_map(|number| pages.rows(number));
        found.flat_map(|(kind, records)| records.into_iter().map(move |record| (kind, record))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_sqlite_writes_is_read_from_the_pages_alone(
            rows in prop::collection::btree_map(any::<i64>(), prop::collection::vec(any_value(), 4), 1..120),
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("x.db");
            let connection = Connection::open(&path).expect("made");
            connection.execute_batch(
                "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA synchronous = OFF; BEGIN;
                 CREATE TABLE gone (a); CREATE TABLE r (k INTEGER PRIMARY KEY, a, b, c, d);
                 CREATE TABLE i (k, a, b, c, d, PRIMARY KEY (k)) WITHOUT ROWID",
            ).expect("made");
            for (key, values) in &rows {
                for table in ["r", "i"] {
                    let values = [Value::Integer(*key)].into_iter().chain(values.iter().cloned());
                    connection
                        .execute(&format!("INSERT INTO {table} VALUES (?, ?, ?, ?, ?)"), params_from_iter(values))
                        .expect("written");
                }
                connection.execute("INSERT INTO gone VALUES (zeroblob(500))", []).expect("written");
            }
            connection.execute_batch("COMMIT; DELETE FROM gone").expect("written");
            connection.close().expect("closed");
            let mut found = read(&path);
            found.retain(|(_, record)| record.values.len() == 5);
            let of = |kind| {
                let mut of: Vec<(i64, Vec<Value>)> = found.iter().filter(|(found, _)| *found == kind).map(|(_, record)| {
                    let key = match (record.rowid, &record.values[0]) {
                        (Some(rowid), Value::Null) => rowid,
                        (None, Value::Integer(key)) => *key,
                        other => panic!("{other:?}"),
                    };
                    (key, record.values[1..].to_vec())
                }).collect();
                of.sort_by_key(|(key, _)| *key);
                of
            };
            // An integral number may be stored as an integer where it is read as what it was.
            let plain = |value: &Value| match value {
                Value::Integer(number) => Value::Real(*number as f64),
                other => other.clone(),
            };
            let plainly = |rows: Vec<(i64, Vec<Value>)>| -> Vec<(i64, Vec<Value>)> {
                rows.into_iter().map(|(key, values)| (key, values.iter().map(plain).collect())).collect()
            };
            let expected = plainly(rows.into_iter().collect());
            prop_assert_eq!(plainly(of(Kind::Rowid)), expected.clone());
            prop_assert_eq!(plainly(of(Kind::Index)), expected);
        }

        #[test]
        fn no_page_makes_it_panic(
            kind in prop_oneof![Just(0x0d_u8), Just(0x0a), Just(0x02)],
            cells in 0..600_u16,
            mut bytes in prop::collection::vec(any::<u8>(), 3 * PAGE),
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("x.db");
            bytes[2 * PAGE] = kind;
            bytes[2 * PAGE + 3..][..2].copy_from_slice(&cells.to_be_bytes());
            std::fs::write(&path, bytes).expect("written");
            let _ = read(&path);
            let _ = Pages::open(&path).expect("readable").rows(3);
        }
    }
}
