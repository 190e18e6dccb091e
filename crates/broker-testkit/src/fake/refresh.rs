//! The refresh tokens an authorization server holds, and what it does when one is used (RFC 6749 section 6).

use std::collections::{BTreeMap, BTreeSet};

use super::random;

/// What the answer to a refresh says about the refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// It repeats the one that was sent.
    #[default]
    Keep,
    /// Nothing: the one that was sent stays good.
    Omit,
    /// A new one each time; the one that was sent is spent.
    Rotate,
    /// As `Rotate`, and a spent one revokes all that came from the same login (RFC 9700 section 4.14.2).
    RotateDetectReuse,
}

/// What a refresh token stands for.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) scope: String,
    pub(super) audience: String,
}

struct Held {
    grant: Grant,
    family: usize,
    spent: bool,
    grace: usize,
}

/// All refresh tokens, spent and revoked ones too.
pub(super) struct Book {
    rotation: Rotation,
    grace: usize,
    tokens: BTreeMap<String, Held>,
    dead: BTreeSet<usize>,
    families: usize,
    pub(super) refreshes: usize,
    pub(super) reuses: usize,
    pub(super) revoked: Vec<String>,
}

impl Book {
    pub(super) fn new(rotation: Rotation, grace: usize) -> Self {
        Self {
            rotation,
            grace,
            tokens: BTreeMap::new(),
            dead: BTreeSet::new(),
            families: 0,
            refreshes: 0,
            reuses: 0,
            revoked: Vec::new(),
        }
    }

    /// A first refresh token, of a new login.
    pub(super) fn issue(&mut self, grant: Grant) -> String {
        self.families += 1;
        self.add(grant, self.families)
    }

    fn add(&mut self, grant: Grant, family: usize) -> String {
        let token = random::opaque("v1.");
        let held = Held { grant, family, spent: false, grace: self.grace };
        self.tokens.insert(token.clone(), held);
        token
    }

    /// What a token that would be taken now stands for.
    pub(super) fn peek(&self, token: &str) -> Option<Grant> {
        let held = self.tokens.get(token).filter(|held| self.takes(held))?;
        Some(held.grant.clone())
    }

    fn takes(&self, held: &Held) -> bool {
        !self.dead.contains(&held.family) && (!held.spent || held.grace > 0)
    }

    /// Uses a token that [`peek`](Self::peek) found: the refresh token for the answer, if it has one.
    pub(super) fn renew(&mut self, token: &str) -> Option<String> {
        self.refreshes += 1;
        match self.rotation {
            Rotation::Omit => return None,
            Rotation::Keep => return Some(token.to_owned()),
            Rotation::Rotate | Rotation::RotateDetectReuse => {}
        }
        let held = self.tokens.get_mut(token).unwrap();
        if held.spent {
            held.grace -= 1;
        }
        held.spent = true;
        let (grant, family) = (held.grant.clone(), held.family);
        Some(self.add(grant, family))
    }

    /// Takes note of a token that was refused: a spent one is reuse.
    pub(super) fn refuse(&mut self, token: &str) {
        let Some(held) = self.tokens.get(token).filter(|held| held.spent) else {
            return;
        };
        self.reuses += 1;
        if self.rotation == Rotation::RotateDetectReuse {
            self.dead.insert(held.family);
        }
    }

    /// Ends the login a token came from; an unknown one is no error (RFC 7009 section 2.2).
    pub(super) fn revoke(&mut self, token: &str) {
        if let Some(held) = self.tokens.get(token) {
            self.dead.insert(held.family);
            self.revoked.push(token.to_owned());
        }
    }

    pub(super) fn revoke_all(&mut self) {
        self.dead.extend(1..=self.families);
    }
}
