//! Tests of errors in the settings of `kind = "login"`.

use broker_testkit::World;

use crate::build;

const LOGIN: &str = "[login]\nurl = \"https://a.example/login\"\n";

#[test]
fn settings_error_names_the_configuration_key() {
    let refresh = "[refresh]\nurl = \"https://a.example/r\"\n";
    let mint = "[mint]\nurl = \"https://a.example/m\"\n";
    for (toml, key) in [
        ("username = \"x\"".to_owned(), "login"),
        ("[login]\nmethod = \"POST\"".to_owned(), "login.url"),
        ("[login]\nurl = \"http://a.example/login\"".to_owned(), "login.url"),
        ("[login]\nurl = \"https://{username}.example/login\"".to_owned(), "login.url"),
        ("[login]\nurl = \"https://a.example:{username}/\"".to_owned(), "login.url"),
        ("[login]\nurl = \"{username}\"".to_owned(), "login.url"),
        ("[login]\nurl = \"https://a.example/{password}\"".to_owned(), "login.url"),
        ("[login]\nurl = \"https://a.example/{usrname}\"".to_owned(), "login.url"),
        (format!("{LOGIN}method = \"GET\"\njson = {{ a = \"b\" }}"), "login.method"),
        (format!("{LOGIN}method = \"PUT\""), "login.method"),
        (format!("{LOGIN}form = {{ a = \"b\" }}\njson = {{ a = \"b\" }}"), "login.form"),
        (format!("{LOGIN}form = {{ a = [\"b\"] }}"), "login.form.a"),
        (format!("{LOGIN}json = {{ a = {{ b = \"{{refresh_token}}\" }} }}"), "login.json.a.b"),
        (format!("{LOGIN}json = {{ a = \"{{\" }}"), "login.json.a"),
        (format!("{LOGIN}query = {{ a = \"{{secrets.key}}\" }}"), "login.query.a"),
        (format!("{LOGIN}headers = {{ \"a b\" = \"c\" }}"), "login.headers.a b"),
        (format!("{LOGIN}headers = {{ Host = \"c\" }}"), "login.headers.Host"),
        (
            format!("{LOGIN}auth = \"basic\"\nheaders = {{ authorization = \"c\" }}"),
            "login.headers.authorization",
        ),
        (format!("{LOGIN}auth = \"bearer\""), "login.auth"),
        (format!("{LOGIN}scopes = [\"a\"]"), "login.scopes"),
        (format!("{LOGIN}expires_as = \"epoch\""), "login.expires_as"),
        (format!("{LOGIN}expires = \"e\"\nexpires_as = \"someday\""), "login.expires_as"),
        (format!("{LOGIN}expires = \"e\"\nexpires_as = \"YYYY-QQ\""), "login.expires_as"),
        (format!("{LOGIN}expires = \"e..f\""), "login.expires"),
        (format!("{LOGIN}token = \"a..b\""), "login.token"),
        (format!("{LOGIN}error = \".a\""), "login.error"),
        (format!("username = \"a:b\"\n{LOGIN}auth = \"basic\""), "username"),
        (format!("{LOGIN}life = \"long\""), "login.life"),
        (format!("{LOGIN}life = \"10000000000d\""), "login.life"),
        (format!("{LOGIN}life = 30"), "login.life"),
        (format!("{LOGIN}refused = [500]"), "login.refused"),
        (format!("{LOGIN}{refresh}"), "refresh"),
        (format!("{LOGIN}{refresh}auth = \"basic\""), "refresh.auth"),
        (format!("{LOGIN}{mint}form = {{ p = \"{{password}}\" }}"), "mint.form.p"),
        (format!("{LOGIN}{mint}refresh_token = \"r\""), "mint.refresh_token"),
        (format!("{LOGIN}{mint}scopes = []"), "mint.scopes"),
    ] {
        let error = build(&World::new(), &toml).map(drop).expect_err(&toml);
        assert_eq!(error.key, key, "{toml}: {}", error.message);
    }
}

#[test]
fn settings_accept_lists_and_tables_written_as_strings() {
    let toml = format!(
        "{LOGIN}json = '{{\"user\":{{\"name\":\"{{username}}\"}}}}'\nrefused = \"400, 404\"\nheaders = '{{\"A\":\"b\"}}'\n\
         [mint]\nurl = \"https://a.example/m\"\nscopes = \"stac catalog:read\"\n"
    );
    build(&World::new(), &toml).map(drop).expect("settings");
}
