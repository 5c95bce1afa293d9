//! The variables that travel with a job from its enqueuer; stored once per distinct set.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::limits::ENVIRONMENT_BYTES_MAX;

/// Names and values, any bytes but NUL; a name has no `=` and is not empty. Very many jobs share one: a clone is cheap.
#[derive(Clone, Default)]
pub struct Environment(Arc<Set>);

#[derive(Default)]
struct Set {
    variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Once it was asked for.
    digest: OnceLock<[u8; 32]>,
}

/// To be changed, so its digest is not taken along.
impl Clone for Set {
    fn clone(&self) -> Set {
        Set { variables: self.variables.clone(), digest: OnceLock::new() }
    }
}

impl PartialEq for Environment {
    fn eq(&self, other: &Environment) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.variables == other.0.variables
    }
}

impl Eq for Environment {}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.0.variables).finish()
    }
}

/// Why a variable cannot travel with a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    #[error("`{0}` is not the name of an environment variable")]
    Name(String),
    #[error("the value of `{0}` holds a NUL byte")]
    Nul(String),
    #[error("the environment has {0} bytes; at most {ENVIRONMENT_BYTES_MAX} travel with a job")]
    TooLong(usize),
}

impl Environment {
    /// Sets a variable, replacing one of that name.
    pub fn set(
        &mut self,
        name: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Result<(), EnvironmentError> {
        let (name, value) = (name.into(), value.into());
        let shown = || String::from_utf8_lossy(&name).into_owned();
        if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
            return Err(EnvironmentError::Name(shown()));
        }
        if value.contains(&0) {
            return Err(EnvironmentError::Nul(shown()));
        }
        let set = Arc::make_mut(&mut self.0);
        set.digest = OnceLock::new();
        set.variables.insert(name, value);
        let total = set.variables.iter().map(|(name, value)| name.len() + value.len()).sum();
        if total > ENVIRONMENT_BYTES_MAX { Err(EnvironmentError::TooLong(total)) } else { Ok(()) }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.variables.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.variables.is_empty()
    }

    /// SHA-256 over the sorted set; equal exactly for equal environments.
    pub fn digest(&self) -> [u8; 32] {
        *self.0.digest.get_or_init(|| {
            let mut hash = Sha256::new();
            for part in self.iter().flat_map(|(name, value)| [name, value]) {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            hash.finalize().into()
        })
    }
}
