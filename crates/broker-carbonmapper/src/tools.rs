//! Imports and checks Carbon Mapper's environment variables.

use broker_core::tools::{Finding, ServiceTools, ToolLogin, ToolLoginContent, ToolSettings};
use broker_core::{Env, Secret, Settings};

use crate::config::{Config, EMAIL_VARIABLE, PASSWORD_VARIABLE};
use crate::{KIND, env_token};

/// The variables `CARBONMAPPER_…` of the service's tutorials.
#[derive(Debug)]
pub(crate) struct Tools;

impl ServiceTools for Tools {
    fn secret_variable(&self) -> &'static str {
        PASSWORD_VARIABLE
    }

    fn find(&self, env: &dyn Env) -> Vec<ToolLogin> {
        let password = env.var(PASSWORD_VARIABLE).map(|password| {
            let email = env.var(EMAIL_VARIABLE);
            let has = email.iter().map(|_| EMAIL_VARIABLE).chain([PASSWORD_VARIABLE]).collect();
            let secret = Some(("password", Secret::cleaned(&password)));
            let settings = ToolSettings { secret, texts: vec![("email", email)], ..ToolSettings::default() };
            let content = ToolLoginContent::Settings(settings);
            let mut login = ToolLogin::in_variable(KIND.name, PASSWORD_VARIABLE, env, content);
            login.has = has;
            login
        });
        let token = env.var(env_token::VARIABLE).map(|_| {
            let why = "the broker uses this token without a login, and cannot renew it".to_owned();
            ToolLogin::in_variable(KIND.name, env_token::VARIABLE, env, ToolLoginContent::Nothing(why))
        });
        password.into_iter().chain(token).collect()
    }

    /// Checks that an email address is set if a password is set.
    fn check_variables(&self, providers: &[Settings<'_>], env: &dyn Env) -> Vec<Finding> {
        let id = "tools.carbonmapper_variables";
        let is_configured = |it: &Settings<'_>| it.parse().is_ok_and(|it: Config| it.email.is_some());
        let has_email = env.var(EMAIL_VARIABLE).is_some() || providers.iter().any(is_configured);
        if has_email || env.var(PASSWORD_VARIABLE).is_none() {
            return vec![Finding::ok(id, "the variables CARBONMAPPER_… that are set are complete")];
        }
        let what = format!("{PASSWORD_VARIABLE} is set, but not {EMAIL_VARIABLE}");
        let fix = format!("set {EMAIL_VARIABLE}, or `email` in [providers.{}]", KIND.name);
        vec![Finding::warning(id, what, fix)]
    }
}
