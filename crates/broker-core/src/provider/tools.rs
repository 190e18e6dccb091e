//! What a service's own tools keep on this machine: logins that the broker can import, and causes of conflicts.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use crate::context::Env;
use crate::error::Result;
use crate::provider::Settings;
use crate::token::{Secret, sanitize};

/// The service's own tools, such as an SDK or a command, whose variables and files the broker knows.
pub trait ServiceTools: Debug + Sync {
    /// Returns the prefix of the tools' environment variables, in upper case, such as `LAB_`. A dotenv file sets all
    /// variables with this prefix or none of them. By default, the first word of [`ServiceTools::secret_variable`].
    fn prefix(&self) -> &'static str {
        self.secret_variable().split_inclusive('_').next().unwrap_or_default()
    }

    /// Returns the name of the variable that contains the login or secret.
    fn secret_variable(&self) -> &'static str;

    /// Finds the logins and secrets in the tools' variables and files, in order of precedence.
    fn find(&self, env: &dyn Env) -> Vec<ToolLogin>;

    /// Reads the logins in a file that the user names; `None` if the file does not have a format of these tools.
    fn read(&self, _env: &dyn Env, _path: &Path, _text: &Secret) -> Result<Option<Vec<ToolLogin>>> {
        Ok(None)
    }

    /// Checks the tools' files for damage and for conflicts with these providers.
    fn check_files(&self, _providers: &[Settings<'_>], _env: &dyn Env) -> Vec<Finding> {
        Vec::new()
    }

    /// Checks that the tools' variables are complete, and override nothing that these providers use.
    fn check_variables(&self, _providers: &[Settings<'_>], _env: &dyn Env) -> Vec<Finding> {
        Vec::new()
    }
}

/// A login or secret of a service's own tools.
#[derive(Debug)]
#[non_exhaustive]
pub struct ToolLogin {
    /// The provider type that can use it.
    pub kind: &'static str,
    /// The name of the file or environment variable, for messages.
    pub place: String,
    /// What contains the login or secret.
    pub origin: ToolLoginOrigin,
    /// The names of the fields or variables that contain it.
    pub has: Vec<&'static str>,
    /// Whether a provider without settings reads it from its place.
    pub is_default: bool,
    /// Whether its file contains nothing else, so that an import makes the file unnecessary.
    pub is_whole_file: bool,
    /// What the broker can import.
    pub content: ToolLoginContent,
}

/// What contains a [`ToolLogin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolLoginOrigin {
    /// A file of the tools.
    File,
    /// A variable of the process environment.
    Environment,
    /// A variable in a dotenv file that the user named.
    Dotenv,
}

/// What the broker can import from a [`ToolLogin`].
#[derive(Debug)]
pub enum ToolLoginContent {
    /// Settings of a provider.
    Settings(ToolSettings),
    /// A refresh token.
    RefreshToken {
        /// The refresh token.
        token: Secret,
        /// The configuration key of a new provider whose value must be the provider's own name.
        name_key: Option<&'static str>,
    },
    /// Nothing, for this reason.
    Nothing(String),
}

/// Settings of a provider that uses a [`ToolLogin`].
#[derive(Debug, Default)]
pub struct ToolSettings {
    /// A suggested name of the provider. By default, that of the provider type.
    pub name: Option<String>,
    /// The configuration key and value of the secret. Without a secret, the provider uses the tools' file in place.
    pub secret: Option<(&'static str, Secret)>,
    /// Other configuration keys that belong to the secret. `None` if the key must have its default.
    pub texts: Vec<(&'static str, Option<String>)>,
    /// What the user should know before the secret is used.
    pub notes: Vec<String>,
}

impl ToolLogin {
    /// Creates a login of a file.
    #[must_use]
    pub fn new(kind: &'static str, place: &str, content: ToolLoginContent) -> Self {
        let (place, origin) = (sanitize(place), ToolLoginOrigin::File);
        Self { kind, place, origin, has: Vec::new(), is_default: false, is_whole_file: false, content }
    }

    /// Creates a login of an environment variable, which a dotenv file may set.
    #[must_use]
    pub fn in_variable(
        kind: &'static str,
        name: &'static str,
        env: &dyn Env,
        content: ToolLoginContent,
    ) -> Self {
        let origin = ToolLoginOrigin::of(name, env);
        let new = Self::new(kind, &env.describe(name), content);
        Self { origin, has: vec![name], is_whole_file: true, ..new }
    }
}

impl ToolLoginOrigin {
    /// Returns the origin of a login in an environment variable, which a dotenv file may set.
    #[must_use]
    pub fn of(variable: &str, env: &dyn Env) -> Self {
        if env.file_of(variable).is_some() { Self::Dotenv } else { Self::Environment }
    }
}

/// A result of [`ServiceTools::check_files`] or [`ServiceTools::check_variables`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The name of the check, such as `tools.lab_variables`.
    pub id: &'static str,
    /// What is wrong, or that nothing is wrong.
    pub message: String,
    /// How the user fixes the problem; `None` if nothing is wrong.
    pub fix: Option<String>,
    /// The file that no program can use. Other problems are warnings.
    pub invalid_file: Option<PathBuf>,
}

impl Finding {
    /// Creates the finding that nothing is wrong.
    #[must_use]
    pub fn ok(id: &'static str, message: impl Into<String>) -> Self {
        Self { id, message: message.into(), fix: None, invalid_file: None }
    }

    /// Creates a warning.
    #[must_use]
    pub fn warning(id: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..Self::ok(id, message) }
    }
}
