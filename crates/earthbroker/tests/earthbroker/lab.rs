//! Carbon Mapper's fake server, and a setup that uses it.

use broker_testkit::{CarbonMapper, CarbonMapperOptions};
use earthbroker::Setup;
use tempfile::TempDir;

pub(crate) const NAME: &str = "carbonmapper";

pub(crate) struct Lab {
    pub(crate) service: CarbonMapper,
    home: TempDir,
}

impl Lab {
    /// The configuration contains the password, so that no login is needed, or else only the email address.
    pub(crate) fn new(has_password: bool) -> Self {
        let service = CarbonMapper::start(CarbonMapperOptions::default());
        let home = tempfile::tempdir().expect("a folder");
        let password = if has_password { "password = \"standin-password\"\n" } else { "" };
        let table = format!(
            "[providers.{NAME}]\nbase_url = \"{}\"\nemail = \"ada@example.org\"\n",
            service.base_url()
        );
        std::fs::write(home.path().join("providers.toml"), table + password).expect("a configuration");
        Self { service, home }
    }

    pub(crate) fn setup(&self) -> Setup {
        Setup::new().config_file(self.home.path().join("providers.toml")).state_dir(self.home.path())
    }
}
