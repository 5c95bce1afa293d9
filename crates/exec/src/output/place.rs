//! Where kept bytes lie: in memory while they are few, then in a file.

use super::tail::{Room, Tail};
use crate::protocol::Body;
use queuectl_core::limits::OUTPUT_INLINE_BYTES_MAX;
use queuectl_points::point;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::rc::Rc;

/// The directory of the output files, made when the first is, and the room in memory for what need not be in them yet.
#[derive(Debug)]
pub(crate) struct OutputDir(PathBuf, Rc<Room>);

impl OutputDir {
    pub(crate) fn new(path: PathBuf) -> OutputDir {
        OutputDir(path, Rc::default())
    }

    /// With room in memory for so many bytes.
    #[cfg(test)]
    pub(super) fn with_room(path: PathBuf, bytes: usize) -> OutputDir {
        OutputDir(path, Rc::new(Room::of(bytes)))
    }

    /// Room for so many bytes, if there is any.
    pub(super) fn tail(&self, len: usize) -> Option<Tail> {
        Tail::take(len, &self.1)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        match self.create_file(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
                self.create_file(name)
            }
            result => result,
        }
    }

    /// `create_new` follows no link and takes no file that is there.
    fn create_file(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.0.join(name))
    }
}

#[derive(Debug)]
pub(super) struct Place {
    bytes: Bytes,
    name: String,
    dir: Rc<OutputDir>,
}

#[derive(Debug)]
enum Bytes {
    Memory(Vec<u8>),
    /// `None` once it is closed; later reads open it again.
    File(Option<File>),
}

impl Place {
    pub(super) fn new(name: String, dir: &Rc<OutputDir>) -> Place {
        Place { bytes: Bytes::Memory(Vec::new()), name, dir: dir.clone() }
    }

    pub(super) fn dir(&self) -> &OutputDir {
        &self.dir
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.bytes, Bytes::File(_))
    }

    /// Writes over what is there, or right behind it.
    pub(super) fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if let Bytes::Memory(memory) = &mut self.bytes {
            let start = at as usize;
            let end = start + bytes.len();
            if end <= OUTPUT_INLINE_BYTES_MAX {
                memory.resize(memory.len().max(end), 0);
                memory[start..end].copy_from_slice(bytes);
                return Ok(());
            }
            let file = self.dir.create(&self.name)?;
            point!("output.created");
            if let Err(error) = file.write_all_at(memory, 0) {
                drop(file);
                let _ = std::fs::remove_file(self.dir.0.join(&self.name));
                return Err(error);
            }
            self.bytes = Bytes::File(Some(file));
        }
        match &self.bytes {
            Bytes::File(Some(file)) => {
                point!("output.write");
                file.write_all_at(bytes, at)
            }
            Bytes::File(None) | Bytes::Memory(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    pub(super) fn read_at(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        match &self.bytes {
            Bytes::Memory(memory) => bytes.copy_from_slice(&memory[at as usize..at as usize + len]),
            Bytes::File(Some(file)) => file.read_exact_at(&mut bytes, at)?,
            Bytes::File(None) => File::open(self.dir.0.join(&self.name))?.read_exact_at(&mut bytes, at)?,
        }
        Ok(bytes)
    }

    /// Forgets what lies behind. If the file does not obey, its recorded length still says what counts.
    pub(super) fn truncate(&mut self, len: u64) {
        match &mut self.bytes {
            Bytes::Memory(memory) => memory.truncate(len as usize),
            Bytes::File(Some(file)) => drop(file.set_len(len)),
            Bytes::File(None) => {}
        }
    }

    pub(super) fn body(&self, len: u64) -> Body {
        match &self.bytes {
            Bytes::Memory(memory) => Body::Inline(memory.clone()),
            Bytes::File(_) => Body::File { name: self.name.clone(), len },
        }
    }

    /// Lets the descriptor go. Nothing more is written.
    pub(super) fn close(&mut self) {
        if let Bytes::File(file) = &mut self.bytes {
            *file = None;
        }
    }
}
