//! The table of errors, their hints, and what follows.

use super::Follow::{self, Add, By, Export, LeaveOut, Run, Set, Type};

/// A configuration, commands before the failing one, the failing command, its error code, what the user does, and the
/// error code after that, or `""` for success.
pub(super) type Row = (&'static str, &'static str, &'static str, &'static str, Follow, &'static str);

const CLIENT: &str = "kind = \"oauth2\"\nflow = \"client_credentials\"\ntoken_url = \"{url}/token\"\n\
                      client_id = \"standin-client\"\nclient_secret = { env = \"LAB_SECRET\" }\n";
const BARE: &str = "kind = \"oauth2\"\nflow = \"client_credentials\"\ntoken_url = \"{url}/token\"\n\
                    client_id = \"standin-client\"\n";
pub(super) const REFRESH: &str = "kind = \"oauth2\"\nflow = \"refresh_token\"\ntoken_url = \"{url}/token\"\n\
                       revocation_url = \"{url}/revoke\"\nclient_id = \"c\"\n";
const PASSWORD: &str =
    "kind = \"oauth2\"\nflow = \"password\"\ntoken_url = \"{url}/token\"\nclient_id = \"c\"\n";
const ADA: &str = "kind = \"oauth2\"\nflow = \"password\"\ntoken_url = \"{url}/token\"\nclient_id = \"c\"\n\
                   username = \"ada\"\n";
pub(super) const STATIC: &str = "kind = \"static\"\ntoken = \"a-long-token\"\n";
const AWS: &str = "kind = \"exec\"\ncommand = [\"sh\", \"{home}/keys.sh\"]\nspeaks = \"aws\"\n";
const PROGRAM: &str = "kind = \"exec\"\nspeaks = \"text\"\ncommand = [\"sh\", \"{home}/program.sh\"]\n";
const EARTHSCOPE: &str = "[providers.earthscope]\ndomain = \"{earthscope}\"\n";
const CARBONMAPPER: &str = "[providers.carbonmapper]\nbase_url = \"{carbonmapper}\"\n";
const ADA_S: &str = "export CARBONMAPPER_EMAIL=ada@example.org";
const CM_LOGIN: &str = "export CARBONMAPPER_EMAIL=ada@example.org CARBONMAPPER_PASSWORD=standin-password; \
                        broker login carbonmapper";
const PLUGIN: &str = "kind = \"exec\"\ncommand = [\"sh\", \"{home}/program.sh\"]\n";
const LOGIN: &str = "printf right-token | broker login lab --refresh-token-stdin";
const KUBECTL: &str = "export KUBERNETES_EXEC_INFO='{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\
                       \"spec\":{\"cluster\":{\"server\":\"https://k8s.example.org\"},\"interactive\":false}}'";
const KEY_FILE: &str = "unset BROKER_STORE; head -c 32 /dev/urandom | base64 > key; chmod 600 key; \
                        (echo \"store = { key = { file = \\\"$HOME/key\\\" } }\"; cat .config/broker/providers.toml) > new; \
                        mv new .config/broker/providers.toml; chmod 600 .config/broker/providers.toml; broker store migrate; \
                        printf right-token | broker login lab --refresh-token-stdin";
const SEALED: &str = "cp .config/broker/providers.toml plain; head -c 32 /dev/urandom | base64 > key; chmod 600 key; \
                      (echo \"store = { key = { file = \\\"$HOME/key\\\" } }\"; cat plain) > .config/broker/providers.toml; \
                      printf right-token | broker login lab --refresh-token-stdin; cp plain .config/broker/providers.toml";
const TOKEN: &str = "export LAB_SECRET=standin-secret; broker token lab";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // Flags that a provider does not support.
    (CLIENT, "", "LAB_SECRET=standin-secret broker token lab --name n", "request_unsupported", LeaveOut, ""),
    (CLIENT, "", "LAB_SECRET=standin-secret broker token lab --expires 7d", "request_unsupported", LeaveOut, ""),
    (CLIENT, "", "LAB_SECRET=standin-secret broker token lab --format cookies", "request_unsupported", LeaveOut, ""),
    (CLIENT, "", "LAB_SECRET=standin-secret broker token lab --format aws --role r", "request_unsupported", LeaveOut, ""),
    (CLIENT, TOKEN, "broker inspect lab --introspect", "request_unsupported", LeaveOut, ""),
    (STATIC, "", "broker token lab --scope a", "scope_unsupported", LeaveOut, ""),
    (CLIENT, "", "echo x | LAB_SECRET=standin-secret broker login lab --password-stdin", "login_unsupported", LeaveOut, ""),
    (CLIENT, "", "echo x | LAB_SECRET=standin-secret broker login lab --refresh-token-stdin", "login_unsupported", LeaveOut, ""),
    (AWS, "", "broker token lab", "request_unsupported", Add, ""),
    (AWS, "", "broker token lab --format aws --role r", "request_unsupported", LeaveOut, ""),
    // Output formats.
    (STATIC, "", "broker token lab --format template", "usage_invalid", By("broker token lab --format template --template 'X-Token: {token}'"), ""),
    (STATIC, "", "broker token lab --format netrc", "config_missing_key", Set("hosts", "[\"api.example.org\"]"), ""),
    ("kind = \"static\"\ntoken = \"a b\"\nhosts = [\"e.org\"]\n", "", "broker token lab --format netrc", "format_unsuitable", Add, ""),
    ("kind = \"static\"\ntoken = \"t\"\nheader = \"X-T\"\nhosts = [\"e.org\"]\n", "", "broker token lab --format netrc", "format_unsuitable", Add, ""),
    ("kind = \"static\"\ntoken = \"a'$`b\"\n", "", "broker token lab --format dotenv", "format_unsuitable", Add, ""),
    // Logins.
    (REFRESH, "", "broker token lab", "login_required", Type("right-token"), ""),
    (REFRESH, "", "broker login lab", "login_unsupported", Type("right-token"), ""),
    (PASSWORD, "", "broker token lab", "login_required", Run, "prompt_unavailable"),
    (PASSWORD, "", "broker login lab", "prompt_unavailable", Set("username", "\"ada\""), "prompt_unavailable"),
    (ADA, "", "broker login lab", "prompt_unavailable", Set("password", "\"standin-password\""), ""),
    (ADA, "", "broker login lab", "prompt_unavailable", By("echo standin-password | broker login lab --password-stdin"), ""),
    (ADA, "", "echo wrong-word | broker login lab --password-stdin", "password_refused", By("echo standin-password | broker login lab --password-stdin"), ""),
    (REFRESH, LOGIN, "broker logout lab", "service_unavailable", Run, ""),
    (REFRESH, "", "broker inspect lab", "login_required", Run, "login_required"),
    (CLIENT, "export LAB_SECRET=standin-secret", "broker inspect lab", "login_required", Run, ""),
    // Secrets and other keys.
    (CLIENT, "", "broker token lab", "secret_unreadable", Export("LAB_SECRET", "standin-secret"), ""),
    (CLIENT, "", "broker token lab", "secret_unreadable", Set("client_secret", "\"standin-secret\""), ""),
    (BARE, "", "broker token lab", "config_invalid", Set("client_secret", "\"standin-secret\""), ""),
    (CLIENT, "", "LAB_SECRET=wrong broker token lab", "client_refused", Set("client_secret", "\"standin-secret\""), ""),
    ("kind = \"exec\"\nspeaks = \"text\"\ncommand = [\"no-such-program\"]\n", "", "broker token lab", "program_not_found", Set("command", "[\"sh\", \"-c\", \"echo t\"]"), ""),
    (PROGRAM, "echo 'echo the reason >&2; exit 3' > program.sh", "broker token lab", "program_failed", By("sh program.sh || echo 'echo t' > program.sh; broker token lab"), ""),
    (PLUGIN, "echo 'echo the reason >&2; exit 3' > program.sh", "broker token lab", "program_failed", By("broker token lab -v 2>&1 | grep 'the reason'"), ""),
    ("kind = \"static\"\ntoken = { file = \"/nowhere/token\" }\n", "", "broker token lab", "secret_unreadable", Set("token", "\"t\""), ""),
    ("kind = \"oauth2\"\nflow = \"token_exchange\"\nfrom = \"other\"\ntoken_url = \"{url}/token\"\nclient_id = \"c\"\n", "", "broker token lab", "config_invalid_value", Set("from", "\"lab\""), "config_invalid"),
    // The built-in providers.
    (EARTHSCOPE, "", "broker token earthscope", "login_required", Run, ""),
    (EARTHSCOPE, "broker login earthscope", "broker token earthscope --expires 7d", "request_unsupported", LeaveOut, ""),
    (EARTHSCOPE, "", "echo x | broker login earthscope --password-stdin", "login_unsupported", LeaveOut, ""),
    (EARTHSCOPE, "echo x > .earthscope", "broker login earthscope", "store_unwritable", Set("share", "false"), ""),
    (EARTHSCOPE, "broker login earthscope", "broker inspect earthscope --introspect", "request_unsupported", LeaveOut, ""),
    (CARBONMAPPER, "", "broker token carbonmapper", "login_required", Run, "prompt_unavailable"),
    (CARBONMAPPER, "", "broker login carbonmapper", "prompt_unavailable", Export("CARBONMAPPER_EMAIL", "ada@example.org"), "prompt_unavailable"),
    (CARBONMAPPER, "", "broker login carbonmapper", "prompt_unavailable", Set("email", "\"ada@example.org\""), "prompt_unavailable"),
    (CARBONMAPPER, ADA_S, "broker login carbonmapper", "prompt_unavailable", Export("CARBONMAPPER_PASSWORD", "standin-password"), ""),
    (CARBONMAPPER, ADA_S, "broker login carbonmapper", "prompt_unavailable", Set("password", "\"standin-password\""), ""),
    (CARBONMAPPER, ADA_S, "CARBONMAPPER_PASSWORD=wrong broker token carbonmapper", "password_refused", By("CARBONMAPPER_PASSWORD=standin-password broker login carbonmapper"), ""),
    (CARBONMAPPER, "", "echo x | broker login carbonmapper --refresh-token-stdin", "login_unsupported", LeaveOut, "prompt_unavailable"),
    (CARBONMAPPER, CM_LOGIN, "broker token carbonmapper --expires 7d", "request_unsupported", LeaveOut, ""),
    (CARBONMAPPER, CM_LOGIN, "broker token carbonmapper --name n", "request_unsupported", LeaveOut, ""),
    (CARBONMAPPER, CM_LOGIN, "broker token carbonmapper --scope typo", "scope_unsupported", By("broker token carbonmapper --scope stac"), ""),
    (CARBONMAPPER, CM_LOGIN, "broker token carbonmapper --format aws", "request_unsupported", LeaveOut, ""),
    // Discovery and other URLs.
    ("kind = \"oauth2\"\nflow = \"client_credentials\"\nclient_id = \"standin-client\"\nclient_secret = \"standin-secret\"\nissuer = \"{url}\"\n", "", "broker token lab", "config_invalid", Set("token_url", "\"{url}/token\""), ""),
    ("kind = \"oauth2\"\nflow = \"device\"\nclient_id = \"c\"\ntoken_url = \"{url}/token\"\n", "", "broker login lab", "config_invalid", Set("device_url", "\"{url}/nowhere\""), "bad_response"),
    // Configuration.
    (STATIC, "", "broker --config missing.toml list", "config_unreadable", By("broker --config .config/broker/providers.toml list"), ""),
    (STATIC, "", "BROKER_CONFIG=missing.toml broker list", "config_unreadable", By("BROKER_CONFIG=.config/broker/providers.toml broker list"), ""),
    (STATIC, "", "broker token lba", "provider_unknown", By("broker token lab"), ""),
    (STATIC, "", "broker token sentinelhub", "provider_unknown", Run, ""),
    (STATIC, "", "broker add xyz", "provider_unknown", Run, ""),
    (STATIC, "", "broker add nasa", "provider_unknown", By("broker add earthdata"), ""),
    (STATIC, "broker add cdse", "broker add cdse", "already_exists", Run, ""),
    (STATIC, "", "broker add cdse --as a/b", "usage_invalid", By("broker add cdse --as a-b"), ""),
    ("kind = \"statc\"\ntoken = \"t\"\n", "", "broker token lab", "config_unknown_kind", Set("kind", "\"static\""), ""),
    ("kind = \"static\"\ntokn = \"t\"\n", "", "broker token lab", "config_unknown_key", By("sed -i s/tokn/token/ .config/broker/providers.toml; broker token lab"), ""),
    (STATIC, KUBECTL, "broker helper kubectl lab", "host_not_allowed", Set("hosts", "[\"k8s.example.org\"]"), ""),
    // Encrypted records.
    (REFRESH, "export BROKER_STORE=keyring", LOGIN, "keyring_unavailable", By(KEY_FILE), ""),
    (REFRESH, SEALED, "broker token lab", "store_sealed", By( "printf 'store = { key = { file = \"key\" } }\\n' | cat - .config/broker/providers.toml > new; sed -i \"s|\\\"key\\\"|\\\"$HOME/key\\\"|\" new; mv new .config/broker/providers.toml; broker token lab", ), ""),
    // The state folder.
    (REFRESH, "mkdir -p .local/state/broker; chmod 777 .local/state/broker", LOGIN, "store_unwritable", Run, ""),
    (REFRESH, "touch blocked", "BROKER_STATE_DIR=blocked broker token lab", "store_unreadable", By("BROKER_STATE_DIR=free broker token lab"), "login_required"),
    // Other commands.
    (STATIC, "", "broker exec lab true", "usage_invalid", Run, ""),
    (STATIC, "", "broker exec lab, -- true", "usage_invalid", Run, ""),
    (STATIC, "", "broker exec lab -- 'true x'", "program_failed", By("broker exec lab -- sh -c 'true x'"), ""),
    (STATIC, "", "broker import 7", "usage_invalid", Run, ""),
    (STATIC, "echo x > words", "broker import words", "config_syntax", By("echo EDS_SECRET=x-long-secret > words; broker import words"), ""),
    (STATIC, "echo x > .local", "broker completions bash --install", "write_failed", Run, ""),
    (STATIC, "echo x > file", "broker man file", "write_failed", Run, ""),
    (STATIC, "", "broker new-provider a/b", "usage_invalid", By("broker new-provider my-service"), ""),
    (STATIC, "mkdir broker-my-service; touch broker-my-service/x", "broker new-provider my-service", "already_exists", By( "broker new-provider my-service --into new || (mkdir new; broker new-provider my-service --into new)", ), ""),
];
