//! Creates tokens from responses.

use chrono::{DateTime, TimeDelta, Utc};

use crate::context::HttpResponse;
use crate::token::{Claims, Expiry, Secret, Token, bounds};

impl Token {
    /// Creates a bearer token from a response. The token expires at the earliest of the `stated` expiries and the JWT's
    /// `exp` claim (converted to this machine's clock), else after `default_lifetime`. Without any of them, it does not
    /// expire. The issuer's clock is that of the header `Date`, unless the token contradicts it.
    #[must_use]
    pub fn from_response(
        response: &HttpResponse,
        secret: Secret,
        stated: impl IntoIterator<Item = impl Into<Expiry>>,
        default_lifetime: impl Into<Option<TimeDelta>>,
    ) -> Self {
        let issuer_ahead = |at: DateTime<Utc>| {
            let skew = (at - response.sent_at).clamp(-bounds::LONGEST, bounds::LONGEST);
            // A small difference is not clock skew, because `Date` has whole seconds and the response took time.
            if skew.abs() < bounds::CLOCK_TOLERANCE { TimeDelta::zero() } else { skew }
        };
        // Services also return cached JWTs, so `iat` is the earliest time that the issuer's clock can say.
        let claims = Claims::read(&Self::bare(secret.clone()));
        let by_iat = claims.and_then(|claims| claims.issued_at()).map(issuer_ahead);
        let by_date = response.date().map(issuer_ahead);
        let by_date = by_date.filter(|date| by_iat.is_none_or(|iat| *date > iat - bounds::CLOCK_TOLERANCE));
        let skew = match by_iat.filter(|iat| *iat >= TimeDelta::zero()) {
            Some(iat) if iat.is_zero() => by_iat,
            by_iat => by_date.or(by_iat),
        };
        Self::issued(secret, response.sent_at, skew, stated, default_lifetime.into())
    }
}
