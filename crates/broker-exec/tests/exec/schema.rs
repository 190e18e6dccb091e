//! Tests that messages of the broker and of plugins match the JSON schema of the plugin protocol.

use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use broker_core::{Login, TokenRequest};
use broker_testkit::{TestPrompt, World};
use serde_json::{Value, json};

use crate::{SERIAL, build, world};

/// The JSON schema, with one part for the broker's messages and one for the plugin's.
struct Protocol {
    schemas: Schemas,
    from_broker: SchemaIndex,
    from_plugin: SchemaIndex,
}

impl Protocol {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugin-protocol.schema.json");
        let schema: Value = serde_json::from_slice(&std::fs::read(path).expect("the schema")).expect("JSON");
        let id = schema["$id"].as_str().expect("an id").to_owned();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource(&id, schema).expect("a schema");
        let mut side = |name: &str| {
            compiler
                .compile(&format!("{id}#/$defs/{name}"), &mut schemas)
                .expect("a schema of JSON Schema 2020-12")
        };
        let (from_broker, from_plugin) = (side("from_broker"), side("from_plugin"));
        Self { schemas, from_broker, from_plugin }
    }

    fn accepts(&self, side: SchemaIndex, message: &Value) -> bool {
        self.schemas.validate(message, side).is_ok()
    }
}

#[tokio::test]
async fn plugin_messages_match_the_json_schema() {
    let _serial = SERIAL.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("talkative.sh");
    std::fs::write(&script, include_str!("talkative.sh")).expect("a plugin");
    let mut world = world();
    world.person = TestPrompt::default().answering("ada").answering("the-password");
    let table = json!({
        "command": ["sh", script.display().to_string()],
        "settings": { "url": "https://api.example.org" }, "secrets": { "key": "the-key" },
    });
    let broker = world.broker(build(table, &world));
    let logged_in = broker.login(World::NAME, Login::Usual).await.expect("a login");
    assert_eq!(logged_in.account.as_deref(), Some("ada"));
    let token = broker.token(World::NAME, &TokenRequest::new().force()).await.expect("a token");
    assert_eq!(token.secret().expose(), "the-token");
    assert!(token.expires_at().is_some());
    let stac = broker.token(World::NAME, &TokenRequest::new().scope("stac")).await.expect("a token");
    assert_eq!((stac.secret().expose(), stac.expires_at()), ("stac-token", None));
    let logout = broker.logout(World::NAME).await.expect("a logout");
    assert_eq!(logout.at_service.note.as_deref(), Some("all of it"));
    let told = world.person.told();
    assert_eq!(told, ["good morning", "Name", "Password", "code ABCD"]);

    let protocol = Protocol::read();
    let mut actions = Vec::new();
    for (side, name) in [(protocol.from_broker, "from_broker"), (protocol.from_plugin, "from_plugin")] {
        let lines =
            std::fs::read_to_string(folder.path().join(format!("talkative.sh.{name}"))).expect("lines");
        for line in lines.lines() {
            let message: Value = serde_json::from_str(line).expect("JSON");
            protocol
                .schemas
                .validate(&message, side)
                .unwrap_or_else(|error| panic!("{name}: {line}: {error}"));
            actions.extend(message["action"].as_str().map(str::to_owned));
        }
    }
    let one_of_each = ["login", "exchange", "revoke"];
    assert!(one_of_each.iter().all(|action| actions.iter().any(|seen| seen == action)), "{actions:?}");
}

#[test]
fn json_schema_rejects_invalid_messages() {
    let protocol = Protocol::read();
    for message in [
        json!({ "v": 1 }),
        json!({ "ok": {} }),
        json!({ "ok": { "tokens": [{ "secret": "" }] } }),
        json!({ "err": { "kind": "sad", "message": "" } }),
        json!({ "ask": {} }),
        json!({ "answer": "none" }),
        json!({ "show_page": { "url": "file:///etc/passwd" } }),
    ] {
        assert!(!protocol.accepts(protocol.from_plugin, &message), "{message}");
    }
    let base = json!({ "v": 1, "provider": "p", "now": "2026-11-22T12:00:00Z", "settings": {} });
    for fields in [
        json!({ "action": "dance" }),
        json!({ "action": "describe", "secrets": { "key": "k" } }),
        json!({ "action": "exchange" }),
        json!({ "action": "login", "login": { "with": "usual" } }),
        json!({ "action": "login", "login": { "with": "luck" } }),
    ] {
        let mut message = base.clone();
        message.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        assert!(!protocol.accepts(protocol.from_broker, &message), "{message}");
    }
}
