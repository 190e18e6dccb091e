//! Issues the access and refresh token of each login, like the Python library django-ninja-jwt.

use serde_json::{Map, Value, json};

use super::super::http::{Reply, Seen};
use super::super::random;
use super::State;

/// The account's email address.
const EMAIL: &str = "ada@example.org";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Refresh,
}

impl State {
    pub(super) fn pair(&mut self, call: &Seen) -> Result<Reply, Reply> {
        let body = object(call)?;
        let (email, password) = (text(&body, "email"), text(&body, "password"));
        let (Some(email), Some(password)) = (email, password) else {
            let missing = ["email", "password"].into_iter().filter(|name| text(&body, name).is_none());
            let why = |name: &str| (name.to_owned(), Value::from(format!("{name} is required")));
            return Err(invalid_input(missing.map(why).collect()));
        };
        if email != EMAIL || password != self.options.password {
            let body = json!({"detail": "No active account found with the given credentials",
                "code": "authentication_failed"});
            return Err(Reply::json(401, &body));
        }
        self.pairs += 1;
        let (refresh, access) = (self.issue(Kind::Refresh), self.issue(Kind::Access));
        let answer = json!({"email": email, "refresh": refresh, "access": access});
        Ok(Reply::json(200, &answer))
    }

    pub(super) fn refresh(&mut self, call: &Seen) -> Result<Reply, Reply> {
        let body = object(call)?;
        let Some(presented) = text(&body, "refresh") else {
            return Err(invalid_input(json!({"refresh": "token is required"})));
        };
        if !self.is_valid(presented, Kind::Refresh) {
            let body = json!({"detail": "Token is invalid or expired", "code": "token_not_valid"});
            return Err(Reply::json(401, &body));
        }
        self.refreshes += 1;
        let mut answer = json!({"access": self.issue(Kind::Access)});
        if self.options.return_refresh_on_refresh {
            let refresh = if self.options.rotate_refresh {
                self.tokens.remove(presented);
                self.issue(Kind::Refresh)
            } else {
                presented.to_owned()
            };
            answer["refresh"] = refresh.into();
        }
        Ok(Reply::json(200, &answer))
    }

    fn issue(&mut self, kind: Kind) -> String {
        let (token_type, lifetime) = if kind == Kind::Access { ("access", 300) } else { ("refresh", 86_400) };
        let expiry = self.clock.after(lifetime);
        let token = random::jwt(json!({
            "token_type": token_type,
            "exp": expiry.timestamp(),
            "iat": self.clock.now().timestamp(),
            "user_id": 7,
        }));
        self.tokens.insert(token.clone(), (kind, expiry));
        token
    }

    pub(super) fn is_valid(&self, token: &str, wanted: Kind) -> bool {
        let stored = self.tokens.get(token);
        stored.is_some_and(|(kind, expiry)| *kind == wanted && *expiry > self.clock.now())
    }

    pub(super) fn has_access_token(&self, call: &Seen) -> bool {
        call.bearer().is_some_and(|token| self.is_valid(token, Kind::Access))
    }

    pub(super) fn revoke(&mut self, kind: Kind) {
        self.tokens.retain(|_, (stored, _)| *stored != kind);
    }
}

/// Parses a body as a JSON object.
pub(super) fn object(call: &Seen) -> Result<Map<String, Value>, Reply> {
    serde_json::from_str(&call.body)
        .map_err(|_| Reply::json(400, &json!({"detail": "Cannot parse request body"})))
}

/// Returns a field that is a non-empty string.
pub(super) fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let value = body.get(name).and_then(Value::as_str);
    value.filter(|value| !value.is_empty())
}

fn invalid_input(mut fields: Value) -> Reply {
    fields["detail"] = "Invalid input.".into();
    fields["code"] = "invalid".into();
    Reply::json(400, &fields)
}
