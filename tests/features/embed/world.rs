//! Replaces the HTTP client and the environment of an embedded broker.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use earthbroker::{Env, Http, HttpFault, Secret};
use http::{Request, Response};

/// An HTTP client that answers like EarthDaily, with a new token in each response.
#[derive(Default)]
pub(crate) struct Service(AtomicUsize);

impl Service {
    pub(crate) fn exchanges(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Http for Service {
    async fn send(&self, request: Request<Bytes>, _timeout: Duration) -> Result<Response<Bytes>, HttpFault> {
        assert!(request.headers().contains_key("authorization"), "a request without the API token");
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let body =
            format!("{{\"access_token\":\"token-{number}\",\"token_type\":\"Bearer\",\"expires_in\":3600}}");
        Ok(Response::new(body.into()))
    }
}

/// An environment that has only these variables, no folders, and no files.
pub(crate) struct Variables(pub(crate) &'static [(&'static str, &'static str)]);

#[async_trait]
impl Env for Variables {
    fn var(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    fn vars(&self, prefix: &str) -> Vec<(String, String)> {
        let own = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }

    fn host_name(&self) -> String {
        "here".to_owned()
    }

    fn read_secret(&self, _path: &Path) -> std::io::Result<Secret> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    async fn run_secret(&self, command: &[String], without: &[String]) -> std::io::Result<Secret> {
        // Returns an error, because the cargo feature `command` is disabled.
        earthbroker::SystemEnv.run_secret(command, without).await
    }
}
