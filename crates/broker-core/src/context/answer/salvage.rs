//! Finds a new refresh token in an answer that is malformed, or complete but of another shape.

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{decode, reason, redact};
use crate::context::HttpResponse;
use crate::token::Secret;
use crate::token::value_at;

/// The number of nested levels of a complete response that are searched.
const DEEPEST: usize = 2;

/// Reads a text field of a response, even if other parts of the response are malformed or missing. The service may
/// have replaced the refresh token, and the new one must not be lost. `path` is the path of the field in a complete
/// response. Elsewhere in it, the path's last name counts beside an access token; in malformed JSON, it counts anywhere.
/// Names are compared without case and underscores. A response with another status than 2xx counts only if it is
/// complete, has an access token, and names no error. Sentences do not count, because pages and error messages contain
/// the same names.
pub fn salvage(response: &HttpResponse, path: &str) -> Option<Secret> {
    let key = path.rsplit('.').next()?;
    let whole = decode::json(response).filter(|value| value.is_object() || value.is_array());
    let found = match whole.or_else(|| decode::object(response).map(Value::Object)) {
        Some(Value::Object(whole)) if !response.is_success() => {
            let names_error = whole.keys().any(|key| same_name(key, "error") || same_name(key, "errors"));
            beside_access_token(&whole, key).filter(|_| !names_error)?.to_owned()
        }
        _ if !response.is_success() => return None,
        // A JSON body is read even if its content type is HTML.
        Some(whole) => {
            let own = value_at(&whole, path).or_else(|| whole.get(path));
            let own = own.or_else(|| named(whole.as_object()?, key)).and_then(Value::as_str);
            own.map(str::to_owned).or_else(|| elsewhere(&whole, key, DEEPEST))?
        }
        None => in_malformed(response, key)?,
    };
    is_token(&found).then(|| Secret::new(found))
}

/// Like [`salvage`], for a request that contained the refresh token `sent`: returns only another one. `None` is the
/// request of a login, before which no refresh token can be lost: a complete response with an error or a message but
/// without an access token then has no refresh token.
pub fn salvage_new(response: &HttpResponse, path: &str, sent: Option<&Secret>) -> Option<Secret> {
    let found = salvage(response, path)?;
    if let Some(sent) = sent {
        return (!found.same_as(sent)).then_some(found);
    }
    let whole = decode::object(response).filter(|_| response.cut.is_none());
    let names_problem =
        |object: &Map<String, Value>| reason::has_error(object) || reason::explanation(object).is_some();
    let key = path.rsplit('.').next()?;
    let is_message = whole.is_some_and(|object| {
        names_problem(&object) && elsewhere(&Value::Object(object), key, DEEPEST).is_none()
    });
    (!is_message).then_some(found)
}

/// Whether a text can be a token: printable ASCII (RFC 6749 appendix A.17) without blanks, and no placeholder.
fn is_token(text: &str) -> bool {
    let is_placeholder =
        ["null", "undefined", "None", "string"].contains(&text) || !text.contains(char::is_alphanumeric);
    !is_placeholder && text.chars().all(|c| c.is_ascii_graphic())
}

fn in_malformed(response: &HttpResponse, key: &str) -> Option<String> {
    let text = decode::text(response);
    let packed: String = text.split_whitespace().collect();
    let packed = redact::from_base64(packed.trim_end_matches('='));
    let text = packed.and_then(|bytes| String::from_utf8(bytes).ok()).map_or(text, Into::into);
    let is_html = response.is_html() && !text.trim_start().starts_with(['{', '[']);
    // Plain JSON; JSON in a JSON string, in a web page, or as a Python dict.
    let spellings: [&[(&str, &str)]; 5] = [
        &[],
        &[("\\\"", "\""), ("\\\\", "\\")],
        &[("&quot;", "\""), ("&#34;", "\""), ("&#x22;", "\""), ("&amp;", "&")],
        &[("\\u0022", "\"")],
        &[("'", "\"")],
    ];
    let read = |spelling: &&[(&str, &str)]| {
        let text = spelling.iter().fold(text.clone().into_owned(), |text, (from, to)| text.replace(from, to));
        if is_html { in_web_page(&text, key) } else { in_json(&text, key) }
    };
    // In plain JSON, the other spellings of a quotation mark are part of a value, which may be cut after it.
    let is_plain = !is_html && after_name(&text, key).any(|after| after.starts_with('"'));
    let mut usable = spellings.iter().take(if is_plain { 1 } else { spellings.len() });
    let found = usable.find_map(read).or_else(|| in_xml(&text, key));
    // The last line of an incomplete answer may be cut.
    let found = found.or_else(|| in_lines(&text, key).filter(|_| !is_html && response.cut.is_none()));
    found.or_else(|| in_form(&text, key).filter(|_| !is_html))
}

/// Returns what follows each occurrence of the name `key` in a text.
fn after_name<'t>(text: &'t str, key: &str) -> impl Iterator<Item = &'t str> {
    let lower = text.to_ascii_lowercase();
    let names = [key.to_ascii_lowercase(), letters(key).collect()];
    let is_inside = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let ends: Vec<_> = names
        .iter()
        .flat_map(|name| lower.match_indices(name.as_str()))
        .filter(|(at, _)| !lower.get(..*at).is_some_and(|before| before.ends_with(is_inside)))
        .map(|(at, name)| at + name.len())
        .filter(|end| !lower.get(*end..).is_some_and(|after| after.starts_with(is_inside)))
        .collect();
    ends.into_iter().filter_map(move |end| text.get(end..))
}

/// Returns the first complete string value of `key` in malformed JSON.
fn in_json(text: &str, key: &str) -> Option<String> {
    after_name(text, key).find_map(|after| {
        let after = after.strip_prefix('"').unwrap_or(after).trim_start();
        let value = after.strip_prefix(':')?.trim_start();
        let found = serde_json::Deserializer::from_str(value).into_iter::<String>().next()?.ok()?;
        is_token(&found).then_some(found)
    })
}

/// Returns `key` of the JSON object at the end of a web page, if the object also has an access token. Sign-in pages of
/// networks have scripts with all kinds of names.
fn in_web_page(text: &str, key: &str) -> Option<String> {
    text.match_indices('{').take(100).find_map(|(at, _)| {
        let rest = text.get(at..)?;
        let mut objects = serde_json::Deserializer::from_str(rest).into_iter::<Map<String, Value>>();
        let object = objects.next()?.ok()?;
        let mut after = rest.get(objects.byte_offset()..)?.split('<');
        let is_end = after.all(|tag| tag.split_once('>').map_or(tag, |(_, text)| text).trim().is_empty());
        beside_access_token(&object, key).filter(|_| is_end).map(str::to_owned)
    })
}

/// Returns the text of the XML element `key`, if there is also an element of an access token.
fn in_xml(text: &str, key: &str) -> Option<String> {
    ACCESS_TOKENS.iter().find_map(|name| xml_element(text, name))?;
    xml_element(text, key)
}

fn xml_element(text: &str, key: &str) -> Option<String> {
    after_name(text, key).find_map(|after| {
        let (attributes, rest) = after.split_once('>')?;
        let (value, end) = rest.split_once("</")?;
        let end = end.split('>').next()?.rsplit(':').next()?;
        let is_open = attributes.is_empty() || attributes.starts_with(char::is_whitespace);
        let value = value.trim().trim_start_matches("<![CDATA[").trim_end_matches("]]>");
        (is_open && same_name(end, key) && is_token(value) && !value.contains(['<', '&']))
            .then(|| value.to_owned())
    })
}

/// Returns the value of a line such as `refresh_token: …`, if there is also a line of an access token.
fn in_lines(text: &str, key: &str) -> Option<String> {
    let fields = || text.lines().filter_map(|line| line.split_once([':', '=']));
    fields().find(|(name, _)| is_access_token(name.trim()))?;
    fields().find_map(|(name, value)| {
        let value = value.trim();
        let is_value = is_token(value) && !value.contains(|c: char| "\"'<{,".contains(c));
        let is_name = same_name(name, key) && !name.contains(|c| "\"'<{".contains(c));
        (is_name && is_value).then(|| value.to_owned())
    })
}

/// Returns the text `key` of an object inside a JSON value, if the object also has an access token. Gateways put a
/// response as a text into their own. Objects in deeper `levels` are examples in documents.
fn elsewhere(value: &Value, key: &str, levels: usize) -> Option<String> {
    match value {
        Value::Array(items) => items.iter().find_map(|item| elsewhere(item, key, levels)),
        Value::Object(object) => beside_access_token(object, key).map(str::to_owned).or_else(|| {
            let below = levels.checked_sub(1)?;
            object.values().find_map(|value| elsewhere(value, key, below))
        }),
        Value::String(text) if text.trim_start().starts_with('{') => {
            elsewhere(&serde_json::from_str(text).ok()?, key, levels)
        }
        _ => None,
    }
}

fn beside_access_token<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    let found = named(object, key)?.as_str().filter(|text| is_token(text))?;
    let is_access_token = |(name, value): (&String, &Value)| {
        is_access_token(name) && value.as_str().is_some_and(|text| is_token(text) && text != found)
    };
    object.iter().any(is_access_token).then_some(found)
}

/// The names of access tokens, without case and underscores.
const ACCESS_TOKENS: [&str; 5] = ["access_token", "access", "token", "id_token", "jwt"];

fn is_access_token(name: &str) -> bool {
    ACCESS_TOKENS.iter().any(|own| same_name(own, name))
}

fn named<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    let similar = || Some(object.iter().find(|(name, _)| same_name(name, key))?.1);
    object.get(key).or_else(similar)
}

fn same_name(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// Returns the field `key` of form data with an access token. The value ends at `&`, because the end of the text may be
/// cut off.
fn in_form(text: &str, key: &str) -> Option<String> {
    let text = text.trim();
    let fields = |text: &str| form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
    if text.contains(char::is_whitespace) || !fields(text).iter().any(|(name, _)| is_access_token(name)) {
        return None;
    }
    let (whole, _) = text.rsplit_once('&')?;
    fields(whole).into_iter().find_map(|(name, value)| same_name(&name, key).then_some(value))
}
