//! Guards: what can be done for middleware that does not speak `SESSION.*`, by the prefix of its keys.
//!
//! - *No resurrection*. A slow request writes its session back after a logout has deleted it, and the user is
//!   logged in again. Under this guard an id that was destroyed or has expired refuses writes for a grace
//!   period. It is remembered by a mark in [`store::Space::Mark`].
//! - *A lock guards data*. Middleware locks with a key beside the session (`SET <key>_LOCK v NX PX ms`), but
//!   its later write says nothing of the lock, so a request that was too slow overwrites what another has
//!   done since. Under this guard the lock key's life is a hold on the session: see `effects`.
//!
//! Both are off unless the operator names a prefix.

use alloc::vec::Vec;

/// What is done for the keys that begin with a prefix. Of several guards the first that fits applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// How the keys begin.
    pub prefix: Vec<u8>,
    /// For how long an id that is gone refuses writes, in milliseconds; `None` for not at all.
    pub no_resurrection_ms: Option<u64>,
    /// What is behind a session's id in the key of its lock; `None` if locks mean nothing. Not empty.
    pub lock_suffix: Option<Vec<u8>>,
}

/// What a key is to the guard that applies to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guarded<'a> {
    /// A session. For how long it refuses writes when it is gone, in milliseconds.
    Session { no_resurrection_ms: Option<u64> },
    /// The lock of this session.
    LockOf(&'a [u8]),
}

impl Guard {
    fn guarded<'a>(&self, key: &'a [u8]) -> Option<Guarded<'a>> {
        let rest = key.strip_prefix(&*self.prefix)?;
        let session = self
            .lock_suffix
            .as_ref()
            .filter(|suffix| !suffix.is_empty() && rest.len() > suffix.len())
            .and_then(|suffix| key.strip_suffix(&**suffix));
        Some(match session {
            Some(session) => Guarded::LockOf(session),
            None => Guarded::Session {
                no_resurrection_ms: self.no_resurrection_ms,
            },
        })
    }
}

/// What the key is to the first guard whose prefix it has.
pub(crate) fn guarded<'a>(guards: &[Guard], key: &'a [u8]) -> Option<Guarded<'a>> {
    guards.iter().find_map(|guard| guard.guarded(key))
}

/// The key of the session's lock, if its guard knows one.
pub(crate) fn lock_of(guards: &[Guard], session: &[u8]) -> Option<Vec<u8>> {
    let guard = guards
        .iter()
        .find(|guard| session.starts_with(&guard.prefix))?;
    let suffix = guard.lock_suffix.as_ref()?;
    Some([session, suffix].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_key_is_told_from_a_session() {
        let guard = Guard {
            prefix: b"P:".to_vec(),
            no_resurrection_ms: Some(5),
            lock_suffix: Some(b"_LOCK".to_vec()),
        };
        let of = |key| guarded(core::slice::from_ref(&guard), key);
        let session = Some(Guarded::Session {
            no_resurrection_ms: Some(5),
        });
        assert_eq!(of(b"P:a"), session);
        assert_eq!(of(b"P:a_LOCK"), Some(Guarded::LockOf(b"P:a")));
        assert_eq!(of(b"P:_LOCK"), session, "a lock of nothing is a key");
        assert_eq!(of(b"Q:a_LOCK"), None);
    }
}
