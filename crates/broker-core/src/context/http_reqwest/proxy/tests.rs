//! Tests of proxy settings.

#![allow(clippy::expect_used, reason = "tests")]

use super::*;

fn settings(variables: &[(&str, &str)]) -> ProxySettings {
    ProxySettings::read(|name| {
        variables.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value))
    })
}

/// Returns the proxy's address and its user and password.
fn read(value: &str) -> (String, Option<String>) {
    let settings = settings(&[("HTTPS_PROXY", value)]);
    let proxy = settings.proxy().expect(value).expect(value);
    let pair = proxy
        .authorization
        .as_ref()
        .and_then(|value| STANDARD.decode(value.as_bytes().strip_prefix(b"Basic ")?).ok());
    let pair = pair.map(|pair| String::from_utf8_lossy(&pair).into_owned());
    (format!("{}://{}:{}", proxy.url.scheme(), proxy.host(), proxy.port()), pair)
}

#[test]
fn proxy_urls_are_read_as_users_write_them() {
    let address = "http://proxy.example:3128";
    for value in [
        "http://proxy.example:3128", " http://proxy.example:3128\r\n", "\"http://proxy.example:3128\"",
        "'http://proxy.example:3128/' ", "proxy.example:3128", "HTTP://PROXY.example:3128/",
        "\u{feff}http://proxy.example:3128",
    ] {
        assert_eq!(read(value), (address.to_owned(), None), "{value:?}");
    }
    for (user, pair) in [
        ("ada:pw", "ada:pw"),
        ("CORP\\ada:pw", "CORP\\ada:pw"),
        ("ada:p w", "ada:p w"),
        ("ada:p@s/s#w?d", "ada:p@s/s#w?d"),
        ("a%40b:c%3Ad", "a@b:c:d"),
        ("ada:100%", "ada:100%"),
        ("ada:%zz%e9", "ada:%zz\u{fffd}"),
        ("ada", "ada:"),
        ("adä:ü", "adä:ü"),
    ] {
        for scheme in ["http://", ""] {
            let value = format!("{scheme}{user}@proxy.example:3128");
            assert_eq!(read(&value), (address.to_owned(), Some(pair.to_owned())), "{value}");
        }
    }
    assert_eq!(read("https://[::1]").0, "https://[::1]:443");
    assert_eq!(read("http://10.0.0.1").0, "http://10.0.0.1:80");
}

#[test]
fn unusable_proxy_is_an_error_without_its_value() {
    for value in [
        "socks5://hush:1080",
        "ftp://hush",
        "http://",
        "http://:8080",
        "http://hush:99999",
        "http:hush:80",
        "http//hush:80",
        "http:///hush",
        "http://hu sh",
        "http://hush:80\n80",
        "http://[::1",
        "http://ada:hush@",
        "${hush}",
        "{hush}:3128",
        "http://${hush}:3128",
        "http://hush}:9",
        "http://$hush:9",
        "\"http://hush:9",
        "http://hush:9'",
        "\"http://hush:9'",
        "`http://hush:9`",
        "http://\"hush\":9",
        "http://ada:pw@hu\"sh:9",
        "http://hu`sh",
        "http://hu%22sh",
        "http://hu%7bsh",
        "http://(hush)",
        "http://*:9",
        "http://hush;9",
        "http://hu~sh!",
        &format!("http://{}hush", "a.".repeat(200)),
    ] {
        let fault = settings(&[("ALL_PROXY", value)]).proxy().expect_err(value);
        let text = format!("{fault} {}", fault.hint.clone().unwrap_or_default());
        assert!(fault.code == ErrorCode::ProxyInvalid && text.contains("ALL_PROXY"), "{value}: {text}");
        assert!(!text.contains("hush"), "{text}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        let value = OsString::from_vec(b"http://\xff".to_vec());
        let settings = ProxySettings::read(|name| (name == "HTTPS_PROXY").then(|| value.clone()));
        assert!(settings.proxy().is_err(), "not UTF-8");
    }
}

#[test]
fn variables_have_the_precedence_of_curl() {
    let all = [("https_proxy", "a"), ("HTTPS_PROXY", "b"), ("all_proxy", "c"), ("ALL_PROXY", "d")];
    for first in 0..all.len() {
        let settings = settings(&all[first..]);
        let proxy = settings.proxy().expect("valid").expect("a proxy");
        assert_eq!((proxy.variable(), proxy.host()), all[first]);
    }
    let blank = [("https_proxy", ""), ("HTTPS_PROXY", " \"\" "), ("all_proxy", "c")];
    assert_eq!(settings(&blank).proxy().expect("valid").expect("a proxy").host(), "c");
    assert!(settings(&[("http_proxy", "a"), ("HTTP_PROXY", "b")]).proxy().expect("valid").is_none());
}

#[test]
fn no_proxy_lists_names_ports_and_networks() {
    let direct = |no_proxy: &str, url: &str| {
        let settings = settings(&[("HTTPS_PROXY", "http://proxy"), ("NO_PROXY", no_proxy)]);
        settings.of(&ServiceUrl::parse(url).expect(url)).expect("valid").is_none()
    };
    for (no_proxy, url) in [
        ("a.example", "https://a.example"),
        ("a.example", "https://b.a.example:8443"),
        (".a.example", "https://a.example"),
        ("*.a.example", "https://b.a.example"),
        ("A.Example.", "https://a.example"),
        ("x, a.example", "https://a.example"),
        ("x a.example\r\n", "https://a.example"),
        ("\"x,a.example\"", "https://a.example"),
        ("a.example:8443", "https://a.example:8443"),
        ("a.example:443", "https://a.example"),
        ("*", "https://a.example"),
        (" '*' ", "https://10.0.0.1"),
        ("10.1.2.3", "https://10.1.2.3"),
        ("10.1.2.3:8443", "https://10.1.2.3:8443"),
        ("10.1.0.0/16", "https://10.1.2.3"),
        ("0.0.0.0/0", "https://10.1.2.3"),
        ("::1", "https://[::1]"),
        ("[::1]", "https://[::1]"),
        ("[::1]:8443", "https://[::1]:8443"),
        ("[fd00::]/8", "https://[fd12::1]"),
        ("fd00::/8", "https://[fd12::1]"),
        ("", "http://127.0.0.1:8080"),
    ] {
        assert!(direct(no_proxy, url), "{no_proxy:?} {url}");
    }
    for (no_proxy, url) in [
        ("", "https://a.example"),
        ("a.example", "https://ba.example"),
        ("a.example:8443", "https://a.example"),
        ("https://a.example", "https://a.example"),
        ("10.1.0.0/16", "https://10.2.0.1"),
        ("10.1.0.0/99", "https://10.1.0.1"),
        ("1.2.3", "https://10.1.2.3"),
        ("::/0", "https://10.1.2.3"),
        (".", "https://a.example"),
        (",,", "https://a.example"),
        ("x,*", "https://a.example"),
        ("*,x", "https://10.0.0.1"),
        ("*.", "https://a.example"),
        ("[a.example,x]", "https://a.example"),
        ("[x a.example]", "https://a.example"),
        ("[a.example]", "https://a.example"),
        ("[a.example]:443", "https://a.example"),
        ("[10.1.2.3]", "https://10.1.2.3"),
        ("[10.1.2.3", "https://10.1.2.3"),
        ("[::1", "https://[::1]"),
    ] {
        assert!(!direct(no_proxy, url), "{no_proxy:?} {url}");
    }
    let settings = settings(&[("HTTPS_PROXY", "socks5://x"), ("no_proxy", "a.example")]);
    assert!(settings.of(&ServiceUrl::parse("https://a.example").expect("a URL")).is_ok());
}
