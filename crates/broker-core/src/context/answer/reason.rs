//! Finds the error code and the service's explanation in the shapes that services use.

use serde_json::{Map, Value};

use super::bounded;

/// The names of fields with an error code, beside `error` (RFC 6749 section 5.2).
const CODES: [&str; 11] = [
    "type", "errorType", "code", "status", "errorCode", "error_code", "errorcode", "ErrorCode", "Code",
    "__type", "reason",
];

/// The names of fields with an explanation, best first: RFC 6749, Okta, Google, Apigee, RFC 9457 and others.
const TEXTS: [&str; 18] = [
    "error_description", "errorSummary", "errorMessage", "error_message", "faultstring", "message",
    "ExceptionMessage", "MessageDetail", "Message", "detail", "details", "msg", "description", "title",
    "reason", "hint", "errorCauses", "Error",
];

/// Parts of the names of fields with an explanation, in lower case. Other names are shown, as those of invalid fields.
const REASONS: [&str; 9] =
    ["error", "message", "msg", "detail", "reason", "description", "text", "string", "title"];

/// The names of fields that contain the error as an object or as a list.
const NESTED: [&str; 4] = ["error", "errors", "fault", "Error"];

/// The names of other fields that may contain an error code, in lower case.
const CODES_ELSEWHERE: [&str; 9] =
    ["error", "errors", "error_type", "detail", "message", "messages", "title", "name", "cause"];

/// The number of nested levels of a response that are searched for error codes and sentences.
pub(super) const DEEPEST: usize = 5;

/// At most this many errors of a list are read.
const MOST_ERRORS: usize = 5;

/// Returns the error code that RFC 6749 section 5.2 defines, if the response has one.
pub(super) fn standard_code(object: &Map<String, Value>) -> Option<&str> {
    object.get("error").and_then(Value::as_str).filter(|code| !code.is_empty())
}

/// Returns all error codes of a response, the most specific one first.
pub(super) fn codes(object: &Map<String, Value>) -> Vec<String> {
    let mut codes = Vec::new();
    codes.extend(standard_code(object));
    for item in nested(object) {
        codes.extend(standard_code(item));
        codes.extend(own_codes(item));
        codes.extend(item.get("detail").and_then(Value::as_object).into_iter().flat_map(own_codes));
        // Google Identity Platform sends its codes as messages.
        codes.extend(item.get("message").and_then(Value::as_str));
    }
    codes.extend(own_codes(object));
    let mut codes: Vec<_> = codes.into_iter().filter(|code| is_code(code)).map(str::to_owned).collect();
    codes.extend(nested(object).filter_map(field_code));
    codes
}

/// Adds the error codes anywhere in a response: in objects, lists, texts such as `invalid_grant: expired`, and JSON in
/// texts. Searches this many `levels`.
pub(super) fn add_codes(codes: &mut Vec<String>, object: &Map<String, Value>, levels: usize) {
    for_texts(object, levels, &mut |key, text, levels| {
        if CODES.contains(&key) || CODES_ELSEWHERE.iter().any(|own| key.eq_ignore_ascii_case(own)) {
            match serde_json::from_str(text) {
                Ok(Value::Object(inner)) if levels > 0 => add_codes(codes, &inner, levels - 1),
                _ => codes.extend(code_of(text)),
            }
        }
    });
}

/// Calls `visit` with each text in an object and its lists, with the field's name and the number of levels left.
fn for_texts(object: &Map<String, Value>, levels: usize, visit: &mut dyn FnMut(&str, &str, usize)) {
    for (key, value) in object {
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for item in items.iter().take(MOST_ERRORS) {
            match item {
                Value::Object(inner) if levels > 0 => for_texts(inner, levels - 1, visit),
                Value::String(text) => visit(key, text, levels),
                _ => {}
            }
        }
    }
}

/// Returns a text that is a code, or the code before a colon.
fn code_of(text: &str) -> Option<String> {
    let code = text.split(": ").next()?.trim();
    is_code(code).then(|| code.to_owned())
}

/// Whether a response with a 2xx status contains an error object or list, or says that it failed.
pub(super) fn has_error(object: &Map<String, Value>) -> bool {
    let is_list = |value: &&Value| value.as_array().is_some_and(|items| !items.is_empty());
    nested(object).next().is_some()
        || NESTED.iter().filter_map(|key| object.get(*key)).any(|value| is_list(&value))
        || ["success", "ok"].iter().any(|key| object.get(*key) == Some(&Value::Bool(false)))
}

fn own_codes(object: &Map<String, Value>) -> impl Iterator<Item = &str> {
    CODES.into_iter().filter_map(|key| object.get(key)?.as_str())
}

/// Returns the code of an error that names a field, such as `RefreshToken.invalid`.
fn field_code(item: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| item.get(key)?.as_str();
    Some(format!("{}.{}", text("resource")?, text("code")?))
}

fn is_code(text: &str) -> bool {
    // RFC 9457 has a URL as the type.
    !text.is_empty() && text.len() <= 100 && !text.contains(|c: char| c.is_whitespace() || c == ':')
}

/// Iterates over the error objects inside a response.
fn nested(object: &Map<String, Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let items = NESTED.iter().filter_map(|key| object.get(*key)).flat_map(|value| match value {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    });
    items.filter_map(Value::as_object).filter(|item| !item.is_empty()).take(MOST_ERRORS)
}

/// Returns the service's explanation and the error code, without the text's control characters.
pub(super) fn words(object: &Map<String, Value>, codes: &[String]) -> Option<String> {
    let code = codes.first().filter(|_| standard_code(object).is_none_or(is_code));
    match (explanation_anywhere(object), code) {
        (Some(text), Some(code)) if text.contains(code.as_str()) => Some(text),
        (Some(text), Some(code)) => Some(format!("{text} ({code})")),
        (Some(text), None) => Some(text),
        (None, code) => code.cloned(),
    }
}

/// Returns the service's explanation from the usual fields, else the sentences in all other fields.
pub(super) fn explanation_anywhere(object: &Map<String, Value>) -> Option<String> {
    let found = explanation(object);
    if found.as_ref().is_some_and(|text| text.contains(char::is_whitespace)) {
        return found;
    }
    let mut sentences = Vec::new();
    for_texts(object, DEEPEST, &mut |key, text, _| {
        let is_shown = !matches!(key, "scope" | "scopes") && is_sentence(text);
        if is_shown && sentences.len() < MOST_ERRORS {
            let key_says_so = REASONS.iter().any(|own| key.to_ascii_lowercase().contains(own));
            let text = if key_says_so { text.to_owned() } else { format!("{key}: {text}") };
            if !sentences.contains(&text) {
                sentences.push(text);
            }
        }
    });
    let texts: Vec<_> =
        found.into_iter().chain((!sentences.is_empty()).then(|| sentences.join("; "))).collect();
    (!texts.is_empty()).then(|| bounded(&texts.join(": ")))
}

/// Whether a text is not a code, name, time or token.
pub(super) fn is_sentence(text: &str) -> bool {
    let is_token = |word: &&str| word.len() > 40 && !word.contains("://");
    let is_credential = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [scheme, _] => scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("basic"),
        words => words.iter().any(is_token),
    };
    if is_credential {
        return false;
    }
    let count = |is: fn(char) -> bool| text.chars().filter(|c| is(*c)).count();
    let is_foreign = text.contains(|c: char| c.is_alphabetic() && !c.is_ascii());
    let words = text.split_whitespace().count();
    (words > 1 || is_foreign) && count(char::is_alphabetic) > count(|c| c.is_ascii_digit())
}

/// Returns the service's explanation from the usual fields.
pub(super) fn explanation(object: &Map<String, Value>) -> Option<String> {
    let own = |key: &str| object.get(key).map(text).filter(|text| !text.is_empty());
    let problem = || {
        let (title, detail) = (own("title")?, own("detail")?);
        Some(if detail.contains(&title) { detail } else { format!("{title}: {detail}") })
    };
    let summary = || {
        let summary = own("errorSummary")?;
        Some(own("errorCauses").map_or_else(|| summary.clone(), |causes| format!("{summary}: {causes}")))
    };
    let inside =
        || NESTED.into_iter().filter(|key| !object.get(*key).is_some_and(Value::is_string)).find_map(own);
    let beside = || TEXTS.into_iter().find_map(own);
    let as_code = || own("error").filter(|text| text.contains(char::is_whitespace));
    let found = own("error_description").or_else(summary).or_else(problem).or_else(inside).or_else(beside);
    found.or_else(as_code).map(|text| bounded(&text))
}

/// Returns the text of a value: of an error object, or of a list of errors such as `[{"loc": […], "msg": "…"}]`.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => bounded(text.trim()),
        Value::Array(items) => {
            let texts = items.iter().take(MOST_ERRORS).map(text).filter(|text| !text.is_empty());
            texts.collect::<Vec<_>>().join("; ")
        }
        Value::Object(object) => {
            let words =
                TEXTS.into_iter().find_map(|key| Some(plain(object.get(key)?)).filter(|t| !t.is_empty()));
            let words = words.unwrap_or_default();
            match object.get("loc").and_then(Value::as_array) {
                Some(loc) => format!("{}: {words}", loc.iter().map(plain).collect::<Vec<_>>().join(".")),
                None => words,
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => bounded(text.trim()),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}
