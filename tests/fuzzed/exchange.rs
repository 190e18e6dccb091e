//! Fuzzes whole commands with arbitrary responses of the service, and checks the record after each command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker_core::ProviderRegistry;
use broker_core::{
    Broker, Derived, Entry, Error, FileStore, Lifetime, Loaded, Login, Operation, Provider, ProviderInfo,
    Record, RecordUpdate, Result, Secret, Store, Token, TokenRequest, sanitize,
};
use earthbroker::Setup;

use super::answer::{SENT, check_token};
use super::cookie::check_cookie;
use super::world::{PART, World, WorldEnv, block_on, in_folder};

const CONFIG: &str = r#"
[providers.machine]
kind = "earthscope"
client_secret = "s3cret-that-was-sent"
[providers.earthdaily]
client_secret = "s3cret-that-was-sent"
[providers.carbonmapper]
email = "someone@example.org"
password = "s3cret-that-was-sent"
token_list_path = "account/tokens"
token_delete_path = "account/tokens/{id}"
"#;

/// Runs broker commands. The first part of the input names provider and commands (`carbonmapper login stac force
/// logout`), the other parts are the service's responses.
pub fn exchange(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == PART);
    let commands = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let mut words = commands.split_whitespace();
    let Some(name) = words.next() else { return };
    let entries = entries();
    let Some(entry) = entries.get(name) else { return };
    let world = World::new(parts);
    in_folder(|folder| {
        let store = Arc::new(FileStore::new(folder));
        drop(std::fs::remove_file(store.record_path(name)));
        let providers = BTreeMap::from([(name.to_owned(), entry.clone())]);
        let broker = Broker::builder(providers, store.clone(), world.context.clone()).build();
        let shell = Shell { world, broker, store, name };
        for word in words.take(6) {
            block_on(shell.run(word));
            shell.check();
        }
    });
}

/// Returns the configured providers, created once per thread.
fn entries() -> BTreeMap<String, Entry> {
    thread_local! {
        static ENTRIES: BTreeMap<String, Entry> = in_folder(|folder| {
            let path = folder.join("exchange.toml");
            std::fs::write(&path, CONFIG).unwrap();
            let config = Setup::new().config_file(&path).env(Arc::new(WorldEnv::default())).config().unwrap();
            config.names().into_iter().map(|name| { let entry = config.entry(&name).unwrap(); (name, entry) }).collect()
        });
    }
    ENTRIES.with(Clone::clone)
}

/// A broker with one provider, for which the fuzz target runs commands.
struct Shell<'a> {
    world: World,
    broker: Broker,
    store: Arc<FileStore>,
    name: &'a str,
}

impl Shell<'_> {
    async fn run(&self, word: &str) {
        match word {
            "login" => self.login(Login::Usual).await,
            "with" => self.login(Login::RefreshToken(Secret::new(SENT))).await,
            "logout" => match self.world.clock.bounded(self.broker.logout(self.name)).await {
                Ok(ended) => self.check_words(&ended.at_service.note.unwrap_or_default()),
                Err(error) => self.check_error(&error),
            },
            "later" => self.world.clock.advance(chrono::TimeDelta::hours(3)),
            "token" => self.token(TokenRequest::new()).await,
            "cookie" => self.token(TokenRequest::new().derived(Derived::cookie())).await,
            "force" => self.token(TokenRequest::new().force()).await,
            "stac" => {
                let life = Lifetime::For(Duration::from_hours(50));
                self.token(TokenRequest::new().scope("stac").expires(life)).await;
            }
            _ => {}
        }
        self.broker.wait_idle().await;
    }

    async fn token(&self, request: TokenRequest) {
        match self.world.clock.bounded(self.broker.token(self.name, &request)).await {
            Ok(token) => {
                self.check_issued(&token);
                if request.asked_derived().is_some() {
                    check_cookie(&token);
                }
            }
            Err(error) => self.check_error(&error),
        }
    }

    async fn login(&self, login: Login) {
        match self.world.clock.bounded(self.broker.login(self.name, login)).await {
            Ok(login) => {
                self.check_words(&login.account.unwrap_or_default());
                if let Some(token) = login.token {
                    self.check_issued(&token);
                }
            }
            Err(error) => self.check_error(&error),
        }
    }

    fn check_issued(&self, token: &Token) {
        check_token(token);
        let Loaded::Record(record) = self.peek() else { panic!("a token without a record") };
        let mut stored = record.tokens();
        assert!(
            stored.any(|(_, stored)| stored.secret().same_as(token.secret())),
            "the token is not on disk"
        );
    }

    fn peek(&self) -> Loaded {
        self.store.read(self.name, true).expect("a readable store").expect("a read that waits")
    }

    /// Checks that the record on disk is readable, whatever the service has sent.
    fn check(&self) {
        match self.peek() {
            Loaded::Unreadable(why) => panic!("the broker's own record cannot be read: {why}"),
            Loaded::Record(record) | Loaded::FromFallback(record) => {
                record.tokens().for_each(|(_, token)| check_token(token));
            }
            Loaded::Nothing => {}
        }
        for notice in self.world.prompt.0.lock().unwrap().drain(..) {
            assert!(!notice.contains(SENT), "the sent secret is in a message: {notice}");
        }
        let status = self.broker.status(self.name).expect("a status");
        self.check_words(&status.account.unwrap_or_default());
        self.check_words(&status.last_failure.map_or_else(String::new, |failure| failure.message));
    }

    fn check_error(&self, error: &Error) {
        assert!(!error.message().contains("broke off"), "an operation panicked");
        self.check_words(error.message());
        self.check_words(&error.hint().map(ToString::to_string).unwrap_or_default());
    }

    fn check_words(&self, words: &str) {
        // Only these providers send the secret `SENT` in every request, so only their messages are checked.
        let sent = matches!(self.name, "machine" | "earthdaily");
        assert!(!(sent && words.contains(SENT)), "the sent secret is in a message: {words}");
        assert_eq!(words, sanitize(words), "control characters in a message");
    }
}

/// A provider that sends no request.
pub(super) struct Idle(pub(super) ProviderInfo);

#[async_trait]
impl Provider for Idle {
    fn info(&self) -> &ProviderInfo {
        &self.0
    }

    async fn exchange(&self, _: &Operation, _: &Record, _: &TokenRequest) -> Result<RecordUpdate> {
        Err(Error::login_required("not logged in"))
    }
}
