//! Fuzzes the parser of record files, which may be truncated, edited by hand, or of a newer version.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_core::{
    Broker, Entry, FileStore, Issuer, Loaded, Provider, ProviderInfo, Record, Store, TokenRequest,
};
use serde_json::{Map, Value};

use super::exchange::Idle;
use super::world::{World, block_on, in_folder};

const NAME: &str = "subject";

/// The fields of a record file that this version of the broker knows. A save preserves other fields.
const KNOWN: [&str; 11] = [
    "version", "provider", "issuer", "account", "grant", "tokens", "failures", "replaced", "parked",
    "revision", "details",
];
const KNOWN_OF_GRANT: [&str; 4] = ["secret", "issued_at", "refused_at", "sent_at"];
const KNOWN_OF_TOKEN: [&str; 6] = ["secret", "token_type", "scope", "issued_at", "expires_at", "clock_skew"];

/// Checks that a record file is parsed completely or rejected, that a save preserves unknown fields, and that a broker
/// can use the record.
pub fn record(data: &[u8]) {
    let loaded = in_folder(|folder| {
        let store = FileStore::new(folder);
        std::fs::write(store.record_path(NAME), data).unwrap();
        store.read(NAME, true).expect("a readable file").expect("a read that waits")
    });
    let read = match loaded {
        Loaded::Record(read) | Loaded::FromFallback(read) => *read,
        Loaded::Unreadable(why) => {
            assert!(why.contains("subject.json"), "the reason names the file: {why}");
            return;
        }
        Loaded::Nothing => panic!("there is a file"),
    };
    let written = read.to_json().expect("a record can be written");
    let after: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(after["version"], 1);
    assert_eq!(after["provider"], NAME);
    // Unlike `serde_json`, the record parser accepts invalid UTF-8 in unknown fields.
    if let Ok(before) = serde_json::from_slice::<Value>(data) {
        check_preserved(&before, &after);
    }
    let again: Record = serde_json::from_slice(&written).expect("a written record can be read");
    let twice: Value = serde_json::from_slice(&again.to_json().unwrap()).expect("JSON");
    assert!(twice == after || has_floats(&after), "a second write differs:\n{after}\n{twice}");
    check_broker(&read);
}

/// Returns whether the JSON contains floats, whose last bit a save may change. No known field is a float.
fn has_floats(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_floats),
        Value::Object(object) => object.values().any(has_floats),
        _ => false,
    }
}

fn check_preserved(before: &Value, after: &Value) {
    same_unknown(before, after, &KNOWN);
    same_unknown(&before["grant"], &after["grant"], &KNOWN_OF_GRANT);
    for (scope, token) in objects(&before["tokens"]) {
        same_unknown(token, &after["tokens"][scope], &KNOWN_OF_TOKEN);
    }
    for (index, parked) in before["parked"].as_array().into_iter().flatten().enumerate() {
        check_preserved(parked, &after["parked"][index]);
    }
}

fn same_unknown(before: &Value, after: &Value, known: &[&str]) {
    for (key, value) in objects(before).filter(|(key, _)| !known.contains(&key.as_str())) {
        assert!(value == &after[key] || has_floats(value), "`{key}` changed from {value} to {}", after[key]);
    }
}

fn objects(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// Checks that a broker uses a record only for the issuer that the record names.
fn check_broker(record: &Record) {
    let other = Issuer { endpoint: "https://other.example.org".to_owned(), ..record.issuer().clone() };
    for issuer in [record.issuer().clone(), other] {
        let own = &issuer == record.issuer();
        let world = World::new(std::iter::empty());
        let provider: Arc<dyn Provider> = Arc::new(Idle(ProviderInfo::new(issuer)));
        let providers = BTreeMap::from([(NAME.to_owned(), Entry::new(provider))]);
        let broker = in_folder(|folder| {
            Broker::builder(providers, Arc::new(FileStore::new(folder)), world.context.clone()).build()
        });
        let status = broker.status(NAME).expect("a status");
        assert!(own || !status.grant || has_parked_login(record), "another issuer has the grant");
        let stored = broker.stored(NAME, &TokenRequest::new()).expect("a result");
        assert!(stored.is_none_or(|token| !token.secret().expose().is_empty()), "an empty token");
        let ended = block_on(broker.token(NAME, &TokenRequest::new()));
        assert!(ended.is_err() || own || has_parked_login(record), "another issuer has the token");
    }
}

/// Returns whether a record also stores a login of another issuer, under the key `parked`.
fn has_parked_login(record: &Record) -> bool {
    let json: Value = serde_json::from_slice(&record.to_json().unwrap()).expect("JSON");
    json.get("parked").is_some()
}
