//! Record files: torn, foreign, edited by hand, of a newer version.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_core::{Broker, Entry, FileStore, Issuer, Loaded, Provider, Record, Store, TokenRequest};
use serde_json::{Map, Value};

use super::exchange::Idle;
use super::world::{World, block_on, in_folder};

const NAME: &str = "subject";

/// Fields of a record file that this and the next versions know: all others are kept as they are.
const KNOWN: [&str; 11] = [
    "version", "provider", "issuer", "account", "grant", "tokens", "failures", "replaced", "parked",
    "revision", "details",
];
const KNOWN_OF_GRANT: [&str; 4] = ["secret", "issued_at", "refused_at", "sent_at"];
const KNOWN_OF_TOKEN: [&str; 6] = ["secret", "token_type", "scope", "issued_at", "expires_at", "clock_skew"];

/// A record file: it is read whole or not at all, keeps what it does not know, and can be lived with.
pub fn record(data: &[u8]) {
    let loaded = in_folder(|folder| {
        let store = FileStore::new(folder);
        std::fs::write(store.record_path(NAME), data).unwrap();
        store.peek(NAME).expect("a file can be read")
    });
    let read = match loaded {
        Loaded::Record(read) | Loaded::FromFallback(read) => *read,
        Loaded::Unreadable(why) => {
            assert!(why.contains("subject.json"), "it says which file: {why}");
            return;
        }
        Loaded::Nothing => panic!("there is a file"),
    };
    let written = serde_json::to_string_pretty(&read).expect("a record can be written");
    let after: Value = serde_json::from_str(&written).expect("it is JSON");
    assert_eq!(after["version"], 1);
    assert_eq!(after["provider"], NAME);
    // Text that is passed over is not looked at: a field of the issuer that nobody knows may be no UTF-8.
    if let Ok(before) = serde_json::from_slice::<Value>(data) {
        check_kept(&before, &after);
    }
    let again: Record = serde_json::from_str(&written).expect("it can be read again");
    let twice = serde_json::to_string_pretty(&again).unwrap();
    assert!(
        twice == written || has_floats(&after),
        "a second rewrite changes something:\n{written}\n{twice}"
    );
    live_with(&read);
}

/// Numbers with a fraction are read to the last bit or one beside it, and no field of ours has one.
fn has_floats(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_floats),
        Value::Object(object) => object.values().any(has_floats),
        _ => false,
    }
}

fn check_kept(before: &Value, after: &Value) {
    same_unknown(before, after, &KNOWN);
    same_unknown(&before["grant"], &after["grant"], &KNOWN_OF_GRANT);
    for (scope, token) in objects(&before["tokens"]) {
        same_unknown(token, &after["tokens"][scope], &KNOWN_OF_TOKEN);
    }
    for (index, parked) in before["parked"].as_array().into_iter().flatten().enumerate() {
        check_kept(parked, &after["parked"][index]);
    }
}

fn same_unknown(before: &Value, after: &Value, known: &[&str]) {
    for (key, value) in objects(before).filter(|(key, _)| !known.contains(&key.as_str())) {
        assert!(value == &after[key] || has_floats(value), "`{key}` was {value} and is {}", after[key]);
    }
}

fn objects(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// A broker over the file, of the record's issuer and of another: it decides, and shows, whatever stands there.
fn live_with(record: &Record) {
    let other = Issuer { endpoint: "https://other.example.org".to_owned(), ..record.issuer().clone() };
    for issuer in [record.issuer().clone(), other] {
        let own = &issuer == record.issuer();
        let world = World::new(std::iter::empty());
        let provider: Arc<dyn Provider> = Arc::new(Idle { issuer });
        let catalog = BTreeMap::from([(NAME.to_owned(), Entry::new(provider))]);
        let broker = in_folder(|folder| {
            Broker::builder(catalog, Arc::new(FileStore::new(folder)), world.context.clone()).build()
        });
        let status = broker.status(NAME).expect("a status");
        // What was given for another secret of the same client is not of this issuer either.
        assert!(own || !status.grant || record.has_parked_grant(), "another issuer is shown a grant");
        let held = broker.stored(NAME, &TokenRequest::new()).expect("an answer");
        assert!(held.is_none_or(|token| !token.secret().expose().is_empty()), "an empty token");
        let ended = block_on(broker.token(NAME, &TokenRequest::new()));
        assert!(ended.is_err() || own || record.has_parked_grant(), "another issuer's token");
    }
}

/// What cannot be asked from outside: whether a record holds anything of other issuers.
trait Parked {
    fn has_parked_grant(&self) -> bool;
}

impl Parked for Record {
    fn has_parked_grant(&self) -> bool {
        serde_json::to_value(self).is_ok_and(|record| record.get("parked").is_some())
    }
}
