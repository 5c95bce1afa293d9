//! Byte strings as the kernel takes them: each with a NUL byte behind it, all in one piece of memory. So a job's
//! environment crosses the wire and reaches its process without being taken apart.

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use std::ffi::c_char;
use std::fmt;
use std::ptr;

/// A list of byte strings. On the wire each is its length and its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Texts {
    /// Adds a text that consists of these parts.
    pub fn push(&mut self, parts: &[&[u8]]) {
        self.starts.push(self.bytes.len());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
    }

    /// Each of them, without the NUL byte behind it.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.bytes.len()]);
        self.starts.iter().zip(ends).map(|(&start, end)| &self.bytes[start..end - 1])
    }

    /// Each of them as a variable of an environment: what is before the first `=`, and what is behind it.
    pub fn variables(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter().map(|text| {
            let at = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
            (&text[..at], text.get(at + 1..).unwrap_or_default())
        })
    }

    /// Whether one of them holds the byte that is to end it, so that the kernel would see another one.
    pub(crate) fn hold_nul(&self) -> bool {
        // Behind the last end there is an empty piece.
        self.bytes.split(|byte| *byte == 0).count() != self.starts.len() + 1
    }

    /// Where each of them is, and a null pointer. They hold until something is added, or all is dropped.
    pub(crate) fn pointers(&self) -> Vec<*const c_char> {
        let pointers = self.starts.iter().map(|&start| self.bytes[start..].as_ptr().cast());
        pointers.chain([ptr::null()]).collect()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Texts {
        let mut all = Texts::default();
        texts.into_iter().for_each(|text| all.push(&[text.as_ref()]));
        all
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.starts.len()))?;
        self.iter().try_for_each(|text| list.serialize_element(Bytes::new(text)))?;
        list.end()
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("byte strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Texts::default();
                while let Some(text) = list.next_element::<&Bytes>()? {
                    texts.push(&[text]);
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// An environment on the wire: pairs of names and values.
pub(crate) mod variables {
    use super::{Bytes, Deserializer, SeqAccess, SerializeSeq, Serializer, Texts, Visitor, fmt};

    pub(crate) fn serialize<S: Serializer>(texts: &Texts, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(texts.starts.len()))?;
        let pairs = texts.variables().map(|(name, value)| (Bytes::new(name), Bytes::new(value)));
        pairs.into_iter().try_for_each(|pair| list.serialize_element(&pair))?;
        list.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pairs of byte strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Texts::default();
                while let Some((name, value)) = list.next_element::<(&Bytes, &Bytes)>()? {
                    texts.push(&[name, b"=", value]);
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_seq(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn each_text_ends_where_the_next_begins() {
        let texts: Texts = [&b"A=one"[..], b"", b"two"].into_iter().collect();
        assert_eq!(texts.iter().collect::<Vec<_>>(), [&b"A=one"[..], b"", b"two"]);
        let pointers = texts.pointers();
        let (last, pointed) = pointers.split_last().unwrap();
        assert!(last.is_null());
        let from = |text: &*const c_char| &texts.bytes[text.addr() - texts.bytes.as_ptr().addr()..];
        let read: Vec<_> =
            pointed.iter().map(|text| CStr::from_bytes_until_nul(from(text)).unwrap()).collect();
        assert_eq!(read, [c"A=one", c"", c"two"]);
    }

    #[test]
    fn a_nul_byte_is_seen_in_whichever_text_it_is() {
        let texts = |last: &'static [u8]| [&b"x"[..], last].into_iter().collect::<Texts>();
        assert!(!texts(b"y").hold_nul());
        assert!(texts(b"\0").hold_nul());
        assert!(texts(b"y\0z").hold_nul());
    }

    #[test]
    fn they_are_on_the_wire_what_lists_of_bytes_are() {
        #[derive(Serialize, Deserialize)]
        struct Compact {
            words: Texts,
            #[serde(with = "variables")]
            environment: Texts,
        }
        let words = vec![b"sh".to_vec(), Vec::new(), vec![0, 255]];
        let pairs = vec![(b"A".to_vec(), b"1=2".to_vec()), (b"EMPTY".to_vec(), Vec::new())];
        let plain = postcard::to_allocvec(&(&words, &pairs)).unwrap();
        let read: Compact = postcard::from_bytes(&plain).unwrap();
        assert!(read.words.iter().eq(words.iter().map(Vec::as_slice)));
        assert!(read.environment.iter().eq([&b"A=1=2"[..], b"EMPTY="]));
        assert_eq!(postcard::to_allocvec(&read).unwrap(), plain);
    }
}
