//! Texts as the kernel takes them: each with a NUL byte behind it, all in one piece of memory.

use std::ffi::c_char;
use std::ptr;

#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

/// A text must not hold the byte that ends it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HoldsNul;

impl Texts {
    /// Adds a text that consists of these parts.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) -> Result<(), HoldsNul> {
        if parts.iter().any(|part| part.contains(&0)) {
            return Err(HoldsNul);
        }
        self.starts.push(self.bytes.len());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
        Ok(())
    }

    /// Where each of them is, and a null pointer. They hold until something is added, or all is dropped.
    pub(super) fn pointers(&self) -> Vec<*const c_char> {
        let pointers = self.starts.iter().map(|&start| self.bytes[start..].as_ptr().cast());
        pointers.chain([ptr::null()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn each_text_ends_where_the_next_begins() {
        let mut texts = Texts::default();
        texts.push(&[b"A", b"=", b"one"]).unwrap();
        texts.push(&[b""]).unwrap();
        assert_eq!(texts.push(&[b"x", b"\0"]), Err(HoldsNul));
        texts.push(&[b"two"]).unwrap();
        let pointers = texts.pointers();
        let (last, texts) = pointers.split_last().unwrap();
        assert!(last.is_null());
        // SAFETY: they point to what `texts` holds, each with a NUL byte behind it.
        let read: Vec<&CStr> = texts.iter().map(|&text| unsafe { CStr::from_ptr(text) }).collect();
        assert_eq!(read, [c"A=one", c"", c"two"]);
    }
}
