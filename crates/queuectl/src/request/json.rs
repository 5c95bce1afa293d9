//! Requests in JSON: one object, an array of them, or one after the other (one a line).

use std::fmt;

use queuectl_core::limits::{ENQUEUE_ARRAY_JOBS_MAX, ENQUEUE_BYTES_MAX};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::fields::{Field, find};
use super::values::read;
use super::{JobRequest, RequestError};

/// A request, and what to tell the enqueuer about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub request: JobRequest,
    pub notes: Vec<String>,
}

impl JobRequest {
    /// Reads exactly one JSON object.
    pub fn from_json(text: &str) -> Result<Parsed, RequestError> {
        check_size(text.len())?;
        if text.trim().is_empty() {
            return Err(RequestError::NoJob);
        }
        let input: Input = serde_json::from_str(text).map_err(|error| syntax(&error))?;
        input.into_job()
    }
}

/// Reads one object, an array of objects, or one object after the other with any white space between them, such as
/// one a line. An empty array is no job, and no mistake; empty text is one.
pub fn parse_many(input: impl AsRef<[u8]>) -> Result<Vec<Parsed>, RequestError> {
    let bytes = input.as_ref();
    check_size(bytes.len())?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut inputs = Vec::new();
    let mut ends = vec![0];
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Input>();
    while let Some(input) = stream.next() {
        inputs.push(input.map_err(|error| syntax(&error))?);
        ends.push(stream.byte_offset());
        if inputs.len() > ENQUEUE_ARRAY_JOBS_MAX {
            return Err(RequestError::TooManyJobs);
        }
    }
    let line_of = |index: usize| Some(line_after(bytes, ends[index]));
    match <[Input; 1]>::try_from(inputs) {
        Ok([Input::Array { total, .. }]) if total > ENQUEUE_ARRAY_JOBS_MAX => Err(RequestError::TooManyJobs),
        Ok([Input::Array { first, .. }]) => into_jobs(first, |_| None),
        Ok([input]) => Ok(vec![input.into_job()?]),
        Err(inputs) if inputs.is_empty() => Err(RequestError::NoJob),
        Err(inputs) => into_jobs(inputs, line_of),
    }
}

fn into_jobs(
    inputs: Vec<Input>,
    line_of: impl Fn(usize) -> Option<usize>,
) -> Result<Vec<Parsed>, RequestError> {
    let parse = |(index, input): (usize, Input)| {
        let within =
            |error| RequestError::InJob { number: index + 1, line: line_of(index), error: Box::new(error) };
        input.into_job().map_err(within)
    };
    inputs.into_iter().enumerate().map(parse).collect()
}

/// The line, from 1, of what follows an offset and white space.
fn line_after(bytes: &[u8], offset: usize) -> usize {
    let blanks = bytes[offset..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    bytes[..offset + blanks].split(|byte| *byte == b'\n').count()
}

fn check_size(bytes: usize) -> Result<(), RequestError> {
    if bytes > ENQUEUE_BYTES_MAX { Err(RequestError::TooManyBytes(bytes)) } else { Ok(()) }
}

fn syntax(error: &serde_json::Error) -> RequestError {
    let text = error.to_string();
    let (line, column) = (error.line(), error.column());
    let what = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text).to_owned();
    RequestError::Json { line, column, what }
}

/// One JSON value as far as it matters here. Unlike [`Value`] it keeps a field that is there twice.
enum Input {
    Object(Vec<(String, Value)>),
    /// The first elements, as many as may be jobs, and how many there are.
    Array {
        first: Vec<Input>,
        total: usize,
    },
    Other(&'static str),
}

impl Input {
    fn into_job(self) -> Result<Parsed, RequestError> {
        let members = match self {
            Input::Object(members) => members,
            Input::Array { .. } => return Err(RequestError::NotAnObject { given: "an array" }),
            Input::Other(given) => return Err(RequestError::NotAnObject { given }),
        };
        let mut request = JobRequest::default();
        let mut seen: Vec<(&'static str, String)> = Vec::new();
        let mut ignored = Vec::new();
        for (given, value) in members {
            let field = find(&given)?;
            let name = match field {
                Field::Asked(name) => name,
                Field::Told(told) => told.name,
            };
            if let Some((_, first)) = seen.iter().find(|(field, _)| *field == name) {
                return Err(RequestError::Repeated { field: name, first: first.clone(), second: given });
            }
            match field {
                Field::Asked(name) => read(&mut request, name, &value)?,
                Field::Told(told) => {
                    told.check(&value)?;
                    ignored.push(format!("`{name}`"));
                }
            }
            seen.push((name, given));
        }
        request.check()?;
        Ok(Parsed { request, notes: note(&ignored).into_iter().collect() })
    }
}

fn note(ignored: &[String]) -> Option<String> {
    let fields = ignored.join(", ");
    (!ignored.is_empty()).then(|| format!("ignored {fields}: queuectl sets this of a new job by itself"))
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Input, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Input, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Input::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Input, A::Error> {
        let mut first = Vec::new();
        while first.len() < ENQUEUE_ARRAY_JOBS_MAX {
            match seq.next_element()? {
                Some(element) => first.push(element),
                None => return Ok(Input::Array { total: first.len(), first }),
            }
        }
        let mut total = first.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            total += 1;
        }
        Ok(Input::Array { first, total })
    }

    fn visit_str<E>(self, _: &str) -> Result<Input, E> {
        Ok(Input::Other("a string"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Input, E> {
        Ok(Input::Other("true or false"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Input, E> {
        Ok(Input::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Input, E> {
        Ok(Input::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Input, E> {
        Ok(Input::Other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Input, E> {
        Ok(Input::Other("null"))
    }
}
