//! The requests that the test `fault_table` tests, each with its command and initial state.

use std::ops::Deref;

use broker_e2e::Sandbox;
use broker_testkit::{
    CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions,
    Rotation, Server,
};
use chrono::TimeDelta;

use super::hitch::Hitch;

/// A request that a provider sends to its service, and the command that causes the request.
pub(crate) struct Request {
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    pub(crate) route: &'static str,
    /// The `broker` arguments that cause the request.
    pub(crate) words: &'static [&'static str],
    /// Starts the service and creates the home folder before the command.
    pub(crate) stage: fn() -> Stage,
    /// Whether each fault affects only the first request, and not later requests of the same command.
    pub(crate) once: bool,
    /// Whether a lost response can end the login, because the refresh token rotates.
    pub(crate) unrepeatable: bool,
    /// Whether the request makes the login unusable, so that each test needs a new login.
    pub(crate) spends_the_login: bool,
}

impl Request {
    /// Returns whether the request is tested with this fault.
    pub(crate) fn has(&self, hitch: &Hitch) -> bool {
        let has_expires_in = self.kind != "carbonmapper" || !hitch.name.starts_with("expires_in");
        let field = has_expires_in && (!hitch.edits() || self.words[0] != "logout");
        // A test with `Retry-After: 2` takes 2 s, so only three requests are tested with that fault.
        let waits = hitch.name.contains("Retry-After: 2");
        let is_tested = [FIRST_POLL, "refresh", "client credentials"].contains(&self.name);
        // A status without the service's own words is a refusal of a bearer token, but not of a login.
        let by_gateway = !hitch.is_of_gateway() || ["token", "refresh", "pair"].contains(&self.route);
        field
            && by_gateway
            && (!waits || is_tested)
            && match self.name {
                // This case would be slow: the first poll of a login waits for `Retry-After` instead of failing.
                FIRST_POLL if hitch.asks_for_a_pause() => false,
                FIRST_POLL => !hitch.once || waits,
                LAST_POLL => ["429, Retry-After: 120", "503", "no response, not done", "web page, 200"]
                    .contains(&hitch.name),
                name if name.contains("rotating") => hitch.acts() && !(self.once && hitch.once),
                _ => true,
            }
    }
}

const FIRST_POLL: &str = "first poll";
const LAST_POLL: &str = "polls until the code expires";
const LOGIN: &[&str] = &["login", "earthscope", "--no-browser"];
const STAC: &[&str] = &["token", "carbonmapper", "--scope", "stac"];

/// Returns the requests to test: those that built-in providers send to their services.
pub(crate) fn requests() -> Vec<Request> {
    let request = |name, route, words: &'static [&str], stage| Request {
        kind: words[1],
        name,
        route,
        words,
        stage,
        once: false,
        unrepeatable: false,
        spends_the_login: false,
    };
    let spending = |request| Request { spends_the_login: true, ..request };
    let rotating = |request| Request { unrepeatable: true, ..spending(request) };
    let (seismic, methane) = (&["token", "earthscope"], &["token", "carbonmapper"]);
    let methane_logout = &["logout", "carbonmapper"];
    vec![
        request("device code", "device", LOGIN, no_login as fn() -> Stage),
        Request { once: true, unrepeatable: true, ..request(FIRST_POLL, "token", LOGIN, no_login) },
        request(LAST_POLL, "token", LOGIN, no_login_short_code),
        request("refresh", "token", seismic, || logged_in(Rotation::Keep, 0)),
        Request {
            once: true,
            ..spending(request("refresh, rotating, one grace", "token", seismic, || {
                logged_in(Rotation::Rotate, 1)
            }))
        },
        rotating(request("refresh, rotating, no grace", "token", seismic, || logged_in(Rotation::Rotate, 0))),
        request("client credentials", "token", seismic, machine),
        spending(request("revoke", "revoke", &["logout", "earthscope"], || logged_in(Rotation::Keep, 0))),
        request("client credentials", "token", &["token", "earthdaily"], imagery),
        request("pair", "pair", methane, password),
        request("refresh", "refresh", methane, || methane_login(false, true)),
        rotating(request("refresh, rotating", "refresh", methane, || methane_login(true, true))),
        request("create-stac", "create-stac", STAC, || methane_login(false, false)),
        spending(request("list", "list", methane_logout, minted)),
        spending(request("delete", "delete", methane_logout, minted)),
    ]
}

pub(crate) enum Service {
    EarthScope(EarthScope),
    EarthDaily(EarthDaily),
    CarbonMapper(CarbonMapper),
}

impl Service {
    /// Returns whether the service accepts this access token now.
    pub(crate) fn is_live(&self, access: &str) -> bool {
        match self {
            Self::EarthScope(service) => service.access_is_live(access),
            Self::EarthDaily(service) => service.access_is_live(access),
            Self::CarbonMapper(service) => service.access_is_live(access),
        }
    }
}

impl Deref for Service {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::EarthScope(service) => service,
            Self::EarthDaily(service) => service,
            Self::CarbonMapper(service) => service,
        }
    }
}

/// A service, and a prepared home folder that is copied for each test of a fault.
pub(crate) struct Stage {
    pub(crate) service: Service,
    config: String,
    env: &'static [(&'static str, &'static str)],
    before: Sandbox,
}

impl Stage {
    fn new(service: Service, config: String, env: &'static [(&'static str, &'static str)]) -> Self {
        let before = home(&config, env);
        Self { service, config, env, before }
    }

    /// Returns a copy of the home folder, with `timeout` as the broker's request timeout.
    pub(crate) fn copy(&self, timeout: &str) -> Sandbox {
        use std::os::unix::fs::DirBuilderExt;
        let copy = home(&format!("{}timeout = \"{timeout}\"\n", self.config), self.env);
        if self.before.state().exists() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(copy.state()).expect("a folder");
        }
        for file in std::fs::read_dir(self.before.state()).into_iter().flatten().flatten() {
            let to = copy.state().join(file.file_name());
            std::fs::copy(file.path(), &to).expect("a copy");
            // The copied record must name EarthScope's login file in the copied home folder, not in the original.
            let text = std::fs::read_to_string(&to).expect("text");
            let (from, home) = (self.before.home().display().to_string(), copy.home().display().to_string());
            std::fs::write(&to, text.replace(&from, &home)).expect("a copy");
        }
        if self.before.tokens_path().exists() {
            let to = copy.tokens_path();
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            std::fs::copy(self.before.tokens_path(), to).expect("a copy");
        }
        copy
    }
}

fn home(config: &str, env: &[(&str, &str)]) -> Sandbox {
    env.iter().fold(Sandbox::new().with_config(config), |home, (name, value)| home.with_env(name, value))
}

fn seismic(options: EarthScopeOptions) -> Stage {
    let options = EarthScopeOptions { interval: Some(1), user_subject: "ada".into(), ..options };
    let service = EarthScope::start(options);
    service.approve_all();
    let config = format!("[providers.earthscope]\ndomain = \"{}\"\n", service.url());
    Stage::new(Service::EarthScope(service), config, &[])
}

fn no_login() -> Stage {
    seismic(EarthScopeOptions::default())
}

fn no_login_short_code() -> Stage {
    seismic(EarthScopeOptions { code_life: 2, ..EarthScopeOptions::default() })
}

/// Starts EarthScope's fake server and creates a home folder with a login whose access token has expired.
fn logged_in(rotation: Rotation, refresh_grace: usize) -> Stage {
    let stage = seismic(EarthScopeOptions { rotation, refresh_grace, ..EarthScopeOptions::default() });
    let Service::EarthScope(service) = &stage.service else { unreachable!("it was made above") };
    let words = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = stage.before.broker_reading(&words, &service.issue_refresh_token()).ends(0);
    stage.before.age("earthscope", TimeDelta::days(2));
    stage
}

fn machine() -> Stage {
    let client_secret = Some("m2m-KANARIE".to_owned());
    let service = EarthScope::start(EarthScopeOptions { client_secret, ..EarthScopeOptions::default() });
    let config = format!(
        "[providers.earthscope]\ndomain = \"{}\"\nclient_secret = {{ env = \"A_SECRET\" }}\n",
        service.url()
    );
    Stage::new(Service::EarthScope(service), config, &[("A_SECRET", "m2m-KANARIE")])
}

fn imagery() -> Stage {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let config = format!("[providers.earthdaily]\nauth_url = \"{}\"\n", service.auth_url());
    Stage::new(Service::EarthDaily(service), config, &[("EDS_SECRET", "standin-api-token")])
}

fn methane(options: CarbonMapperOptions, env: &'static [(&'static str, &'static str)]) -> Stage {
    let service = CarbonMapper::start(options);
    let config = format!(
        "[providers.carbonmapper]\nbase_url = \"{}\"\nemail = \"ada@example.org\"\n\
         token_list_path = \"account/tokens\"\ntoken_delete_path = \"account/tokens/{{id}}\"\n",
        service.base_url()
    );
    Stage::new(Service::CarbonMapper(service), config, env)
}

/// Starts Carbon Mapper's fake server and creates a home folder with a configured password, but no login.
fn password() -> Stage {
    methane(CarbonMapperOptions::default(), &[("CARBONMAPPER_PASSWORD", "standin-password")])
}

fn methane_login(rotate_refresh: bool, expired: bool) -> Stage {
    let stage = methane(CarbonMapperOptions { rotate_refresh, ..CarbonMapperOptions::default() }, &[]);
    let words = ["login", "carbonmapper", "--password-stdin"];
    let _ = stage.before.broker_reading(&words, "standin-password").ends(0);
    if expired {
        stage.before.age("carbonmapper", TimeDelta::minutes(6));
    }
    stage
}

/// Starts Carbon Mapper's fake server and creates a home folder with a scoped token, which a logout can delete.
fn minted() -> Stage {
    let stage = methane_login(false, false);
    let _ = stage.before.broker(STAC).ends(0);
    stage
}
