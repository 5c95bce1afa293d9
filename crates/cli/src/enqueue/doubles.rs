//! Which given ids stand on more than one line, found in memory that does not grow with the lines.
//!
//! A first pass keeps 64 bits of each id, in sorted runs on disk. Bits that occur twice make their ids suspects; a
//! second pass, needed only if there are any, looks at those alone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use queuectl::core::limits::ENQUEUE_IDS_IN_MEMORY_MAX;

/// Looks for ids that come twice.
pub struct Doubles {
    keys: (RandomState, RandomState),
    pass: Pass,
}

enum Pass {
    Gather(Runs),
    Judge {
        suspects: HashSet<u64>,
        /// Of suspects, 128 bits: so that none is taken for another.
        seen: HashSet<(u64, u64)>,
    },
}

impl Doubles {
    /// Begins the first pass.
    pub fn gather() -> Doubles {
        let keys = (RandomState::new(), RandomState::new());
        Doubles { keys, pass: Pass::Gather(Runs::default()) }
    }

    /// Ends a pass; the next one judges. True if there is anything to judge.
    pub fn suspects(&mut self) -> io::Result<bool> {
        let suspects = match &mut self.pass {
            Pass::Gather(runs) => std::mem::take(runs).doubles()?,
            Pass::Judge { suspects, .. } => std::mem::take(suspects),
        };
        let any = !suspects.is_empty();
        self.pass = Pass::Judge { suspects, seen: HashSet::new() };
        Ok(any)
    }

    /// True if this id is known to have come before. The first pass knows of none.
    pub fn is_double(&mut self, id: &str) -> io::Result<bool> {
        let bits = self.keys.0.hash_one(id);
        match &mut self.pass {
            Pass::Gather(runs) => runs.add(bits).map(|()| false),
            Pass::Judge { suspects, seen } => {
                Ok(suspects.contains(&bits) && !seen.insert((bits, self.keys.1.hash_one(id))))
            }
        }
    }
}

/// Numbers, the last of them in memory, the rest in sorted runs in a file without a name.
#[derive(Default)]
struct Runs {
    last: Vec<u64>,
    file: Option<File>,
    /// Length of each run in the file, in numbers; all are full, so their places follow.
    full: u64,
}

const NUMBER: u64 = size_of::<u64>() as u64;
const RUN: u64 = ENQUEUE_IDS_IN_MEMORY_MAX as u64;

impl Runs {
    fn add(&mut self, number: u64) -> io::Result<()> {
        if self.last.len() == ENQUEUE_IDS_IN_MEMORY_MAX {
            self.spill()?;
        }
        self.last.push(number);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.last.sort_unstable();
        let mut file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        for part in self.last.chunks(8 * 1024) {
            let bytes: Vec<u8> = part.iter().flat_map(|number| number.to_le_bytes()).collect();
            file.write_all(&bytes)?;
        }
        self.file = Some(file);
        self.full += 1;
        self.last.clear();
        Ok(())
    }

    /// The numbers that were added more than once.
    fn doubles(mut self) -> io::Result<HashSet<u64>> {
        self.last.sort_unstable();
        let mut found: HashSet<u64> =
            self.last.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        let Some(file) = &self.file else { return Ok(found) };
        let mut runs: Vec<Run> = (0..self.full).map(|at| Run::new(file, at)).collect();
        let mut rest = self.last.iter().copied();
        let mut heads = BinaryHeap::new();
        let in_memory = runs.len();
        heads.extend(rest.next().map(|number| Reverse((number, in_memory))));
        for (at, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next()?.map(|number| Reverse((number, at))));
        }
        let mut before = None;
        while let Some(Reverse((number, at))) = heads.pop() {
            if before == Some(number) {
                found.insert(number);
            }
            before = Some(number);
            let next = if at == in_memory { rest.next() } else { runs[at].next()? };
            heads.extend(next.map(|number| Reverse((number, at))));
        }
        Ok(found)
    }
}

/// Reads one run from the file.
struct Run<'a> {
    file: &'a File,
    /// In numbers.
    at: u64,
    end: u64,
    buffer: std::vec::IntoIter<u64>,
}

impl<'a> Run<'a> {
    fn new(file: &'a File, at: u64) -> Run<'a> {
        Run { file, at: at * RUN, end: (at + 1) * RUN, buffer: Vec::new().into_iter() }
    }

    fn next(&mut self) -> io::Result<Option<u64>> {
        const PART: u64 = 4 * 1024;
        if let Some(number) = self.buffer.next() {
            return Ok(Some(number));
        }
        if self.at == self.end {
            return Ok(None);
        }
        let numbers = PART.min(self.end - self.at);
        let mut bytes = vec![0; (numbers * NUMBER) as usize];
        self.file.read_exact_at(&mut bytes, self.at * NUMBER)?;
        self.at += numbers;
        let (words, _) = bytes.as_chunks::<{ NUMBER as usize }>();
        self.buffer = words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>().into_iter();
        Ok(self.buffer.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than two runs, with doubles within a run, across runs, and in what is in memory.
    #[test]
    fn doubles_are_found_wherever_they_stand() {
        let many = 2 * ENQUEUE_IDS_IN_MEMORY_MAX + 1_000;
        let ids = || (0..many).map(|at| format!("job-{at}"));
        let again = ["job-1", "job-524288", &format!("job-{}", many - 1)].map(str::to_owned);
        let mut doubles = Doubles::gather();
        for id in ids().chain(again.clone()) {
            assert!(!doubles.is_double(&id).expect("a temporary file"));
        }
        assert!(doubles.suspects().expect("a temporary file"));
        let found: Vec<String> =
            ids().chain(again.clone()).filter(|id| doubles.is_double(id).expect("in memory")).collect();
        assert_eq!(found, again);
        assert!(doubles.suspects().expect("in memory"), "a third pass judges the same ones");
        assert!(!doubles.is_double("job-1").expect("in memory"), "and begins anew");

        let mut none = Doubles::gather();
        for id in ids() {
            assert!(!none.is_double(&id).expect("a temporary file"));
        }
        assert!(!none.suspects().expect("a temporary file"));
    }
}
