//! The answers with which services end a login or refuse a password. Other answers are transient, because a gateway,
//! proxy or sign-in page may have sent them.

use super::Refusal;

/// The credential in a request that a service refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A refresh token, or the stored login of a service.
    RefreshToken,
    /// A password, or another secret with which a user logs in.
    Password,
}

/// The group of services that send an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// RFC 6749.
    Standard,
    /// Authorization servers with codes of their own.
    OAuth,
    /// Login APIs of Django and the like, which are no OAuth.
    LoginApi,
}

/// One row of the table: a final answer.
#[derive(Debug)]
pub(super) struct FinalAnswer {
    family: Family,
    of: &'static [Credential],
    code: &'static str,
    /// The HTTP statuses with which the service sends the code. Empty: any status that is not transient.
    statuses: &'static [u16],
    /// A part of the explanation, in lower case, if other answers have the same code.
    saying: &'static str,
    /// A part of the explanation with which the code does not concern the credential.
    not_saying: &'static str,
}

const REFRESH_TOKEN: &[Credential] = &[Credential::RefreshToken];
const PASSWORD: &[Credential] = &[Credential::Password];
const BOTH: &[Credential] = &[Credential::RefreshToken, Credential::Password];

const fn row(
    family: Family,
    of: &'static [Credential],
    code: &'static str,
    statuses: &'static [u16],
    saying: &'static str,
) -> FinalAnswer {
    FinalAnswer { family, of, code, statuses, saying, not_saying: "" }
}

impl FinalAnswer {
    const fn not_saying(mut self, words: &'static str) -> Self {
        self.not_saying = words;
        self
    }

    /// Whether a response matches the row. Codes are compared without case. `explanation` is in lower case.
    fn matches(&self, status: u16, codes: &[String], explanation: &str) -> bool {
        (self.code.is_empty() || codes.iter().any(|code| code.eq_ignore_ascii_case(self.code)))
            && (self.statuses.is_empty() || self.statuses.contains(&status))
            && explanation.contains(self.saying)
            && (self.not_saying.is_empty() || !explanation.contains(self.not_saying))
    }
}

/// The final answers. Each row names where it was read. Cloud Foundry's UAA is missing: it sends the same answer for a
/// wrong password and for a wrong client secret (cloudfoundry/uaa#599 and #2545).
const FINAL_ANSWERS: &[FinalAnswer] = &[
    // RFC 6749 section 5.2. Fitbit sends it as `errorType` in a list: lukasolson/fitbit-node#14.
    row(Family::Standard, BOTH, "invalid_grant", &[], ""),
    // Spring Security OAuth, DefaultTokenServices.java: "Invalid refresh token (expired)"; Cloud Foundry UAA
    // (scribejava/scribejava#904): "The token expired, was revoked, …". Gateways use the code for access tokens (RFC 6750
    // section 3.1), so the words count.
    row(Family::OAuth, REFRESH_TOKEN, "invalid_token", &[401], "refresh token"),
    row(Family::OAuth, REFRESH_TOKEN, "invalid_token", &[401], "expired").not_saying("access token"),
    row(Family::OAuth, REFRESH_TOKEN, "invalid_token", &[401], "revoked").not_saying("access token"),
    // Spring Security OAuth with JWTs, also of a refresh token: RADAR-base/ManagementPortal#313.
    row(Family::OAuth, REFRESH_TOKEN, "invalid_token", &[401], "cannot convert access token to json"),
    // GitHub, with status 200: langchain-ai/open-swe#1491, interlink-hq/interLink#262. HubSpot, as `status` in upper case:
    // HGData/mk-node-hubspot#64, airbytehq/airbyte#79592.
    row(Family::OAuth, REFRESH_TOKEN, "bad_refresh_token", &[], ""),
    // Slack, with status 200: api.slack.com/methods/tooling.tokens.rotate, and the errors of oauth.v2.access in
    // slack-ruby/slack-api-ref, methods/oauth/oauth.v2.access.json. Firebase, as `error.message` in upper case:
    // firebase.google.com/docs/reference/rest/auth#section-refresh-token.
    row(Family::OAuth, REFRESH_TOKEN, "invalid_refresh_token", &[], ""),
    // Firebase, as `error.message`: awinogrodzki/next-firebase-auth-edge#21.
    row(Family::OAuth, REFRESH_TOKEN, "TOKEN_EXPIRED", &[400], ""),
    // IBM Cloud IAM: watson-developer-cloud/node-sdk#934, IBM-Cloud/bluemix-go#129.
    row(Family::OAuth, REFRESH_TOKEN, "BXNIM0408E", &[400], ""),
    // Strava, in its list of `errors`: dreeveapp/dreeve#1449.
    row(Family::OAuth, REFRESH_TOKEN, "RefreshToken.invalid", &[400], ""),
    // Supabase Auth, as `error_code` or `code`: @supabase/auth-js 2.95.3, src/lib/error-codes.ts. The status:
    // supabase/auth, internal/tokens/service.go.
    row(Family::OAuth, REFRESH_TOKEN, "refresh_token_not_found", &[400], ""),
    row(Family::OAuth, REFRESH_TOKEN, "refresh_token_already_used", &[400], ""),
    // Twitch has the explanation only: Teekeks/pyTwitchAPI#37, twitchdev/issues#1037.
    row(Family::OAuth, REFRESH_TOKEN, "", &[400], "invalid refresh token"),
    // Microsoft, errors of the token endpoint: MicrosoftDocs/azure-docs,
    // articles/active-directory/develop/v2-oauth2-auth-code-flow.md.
    row(Family::OAuth, REFRESH_TOKEN, "interaction_required", &[400], ""),
    // thephpleague/oauth2-server until version 8, OAuthServerException.php: invalidRefreshToken, invalidCredentials.
    row(Family::OAuth, REFRESH_TOKEN, "invalid_request", &[401], "the refresh token is invalid"),
    // Databricks: databricks/cli#667. Bitbucket: readthedocs/readthedocs.org#2992. LinkedIn ("… refresh token is invalid,
    // expired or revoked"): learn.microsoft.com/linkedin/shared/authentication/programmatic-refresh-tokens.
    row(Family::OAuth, REFRESH_TOKEN, "invalid_request", &[400], "refresh token is invalid"),
    row(Family::OAuth, REFRESH_TOKEN, "invalid_request", &[400], "invalid refresh_token"),
    // Atlassian: ParabolInc/parabol#11849.
    row(Family::OAuth, REFRESH_TOKEN, "unauthorized_client", &[403], "refresh_token is invalid"),
    // Zoho: Weble/ZohoBooksApi#84.
    row(Family::OAuth, REFRESH_TOKEN, "invalid_code", &[200], ""),
    // Amazon Cognito, as `__type`: aws-amplify/amplify-swift#3344.
    row(Family::OAuth, REFRESH_TOKEN, "NotAuthorizedException", &[400], "refresh token"),
    row(Family::OAuth, PASSWORD, "invalid_credentials", &[400, 401], ""),
    // Authlib before 0.11: lepture/authlib#112.
    row(Family::OAuth, REFRESH_TOKEN, "invalid_request", &[400], "invalid \"refresh_token\" in request"),
    // DeviantArt: wix-incubator/DeviantArt-API#58.
    row(Family::OAuth, REFRESH_TOKEN, "invalid_request", &[400], "the refresh_token is invalid"),
    // X: trypostit/trypost, tests/Feature/Services/Social/XPublisherTest.php.
    row(Family::OAuth, REFRESH_TOKEN, "invalid_request", &[400], "value passed for the token was invalid"),
    // djangorestframework-simplejwt and django-ninja-jwt: exceptions.py (InvalidToken, AuthenticationFailed).
    row(Family::LoginApi, REFRESH_TOKEN, "token_not_valid", &[], ""),
    row(Family::LoginApi, PASSWORD, "authentication_failed", &[], ""),
    row(Family::LoginApi, PASSWORD, "no_active_account", &[], ""),
];

/// Returns the rows of the table that match a response.
pub(super) fn matching(status: u16, codes: &[String], explanation: &str) -> Vec<&'static FinalAnswer> {
    let explanation = explanation.to_lowercase();
    FINAL_ANSWERS.iter().filter(|row| row.matches(status, codes, &explanation)).collect()
}

/// The error codes that end a login or refuse a password, by the type of provider.
#[derive(Debug, Clone, Copy)]
pub struct FinalCodes<'a> {
    families: &'static [Family],
    configured: &'a [String],
}

impl<'a> FinalCodes<'a> {
    /// Only `invalid_grant` (RFC 6749 section 5.2).
    pub const STANDARD: FinalCodes<'static> = FinalCodes { families: &[Family::Standard], configured: &[] };

    /// The codes of login APIs of Django (`token_not_valid`, `no_active_account`), which are no OAuth.
    pub const LOGIN_API: FinalCodes<'static> = FinalCodes { families: &[Family::LoginApi], configured: &[] };

    /// `invalid_grant` and the `configured` codes. Without configured codes, those of known authorization servers.
    #[must_use]
    pub fn oauth(configured: &'a [String]) -> Self {
        Self::or_known(configured, &[Family::Standard, Family::OAuth])
    }

    /// `invalid_grant` and the `configured` codes. Without configured codes, those of all known services.
    #[must_use]
    pub fn any(configured: &'a [String]) -> Self {
        Self::or_known(configured, &[Family::Standard, Family::OAuth, Family::LoginApi])
    }

    fn or_known(configured: &'a [String], known: &'static [Family]) -> Self {
        let families = if configured.is_empty() { known } else { &[Family::Standard] };
        Self { families, configured }
    }

    /// Whether the service itself says in a refusal that the credential of the request is invalid.
    pub fn end(&self, refusal: &Refusal, credential: Credential) -> bool {
        let by_table =
            |row: &&FinalAnswer| self.families.contains(&row.family) && row.of.contains(&credential);
        refusal.rows.iter().any(by_table) || self.configured.iter().any(|code| refusal.is(code))
    }
}
