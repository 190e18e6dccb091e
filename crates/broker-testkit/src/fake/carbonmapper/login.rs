//! Issues the access and refresh token of each login, like the Python library django-ninja-jwt.

use serde_json::{Map, Value, json};

use super::super::http::{Reply, Seen};
use super::super::tokens::Issuer;
use super::State;

/// The account's email address.
const EMAIL: &str = "ada@example.org";

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
        let answer = json!({"email": email, "refresh": self.refresh_token(), "access": self.access_token()});
        Ok(Reply::json(200, &answer))
    }

    pub(super) fn refresh(&mut self, call: &Seen) -> Result<Reply, Reply> {
        let body = object(call)?;
        let Some(presented) = text(&body, "refresh") else {
            return Err(invalid_input(json!({"refresh": "token is required"})));
        };
        if !self.refresh_tokens.accepts(presented) {
            let body = json!({"detail": "Token is invalid or expired", "code": "token_not_valid"});
            return Err(Reply::json(401, &body));
        }
        self.refreshes += 1;
        let mut answer = json!({"access": self.access_token()});
        if self.options.return_refresh_on_refresh {
            let refresh = if self.options.rotate_refresh {
                self.refresh_tokens.tokens.remove(presented);
                self.refresh_token()
            } else {
                presented.to_owned()
            };
            answer["refresh"] = refresh.into();
        }
        Ok(Reply::json(200, &answer))
    }

    fn access_token(&mut self) -> String {
        issue(&mut self.issuer, "access", 300)
    }

    fn refresh_token(&mut self) -> String {
        issue(&mut self.refresh_tokens, "refresh", 86_400)
    }

    pub(super) fn has_access_token(&self, call: &Seen) -> bool {
        call.bearer().is_some_and(|token| self.issuer.accepts(token))
    }
}

fn issue(issuer: &mut Issuer, token_type: &str, lifetime: u64) -> String {
    let expiry = issuer.clock.after(lifetime);
    let token = issuer.jwt(json!({"token_type": token_type, "user_id": 7}), expiry);
    issuer.add(&token, expiry);
    token
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
