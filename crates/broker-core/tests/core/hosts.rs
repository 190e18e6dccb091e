//! To which hosts tokens are offered.

use broker_core::host_matches;

#[test]
fn a_token_is_offered_to_its_hosts_and_no_other() {
    let offered = [
        ("example.org", "example.org"),
        ("example.org", "EXAMPLE.org:8443"),
        ("example.org:443", "example.org"),
        ("example.org:443", "example.org:443"),
        ("example.org:8080", "example.org:8080"),
        ("*.example.org", "a.example.org"),
        ("*.example.org", "a.b.example.org:1"),
        ("*.example.org:8080", "a.example.org:8080"),
        ("[::1]:80", "[::1]:80"),
        ("[::1]", "[::1]"),
    ];
    for (pattern, host) in offered {
        assert!(host_matches(pattern, host), "{pattern} {host}");
    }
    let kept = [
        ("example.org", "example.org.evil.net"),
        ("example.org", "evil-example.org"),
        ("example.org", "a.example.org"),
        ("example.org:443", "example.org:80"),
        ("example.org:8080", "example.org"),
        ("*.example.org", "example.org"),
        ("*.example.org", ".example.org"),
        ("*.example.org", "evilexample.org"),
        ("*.example.org", "a.example.org.evil.net"),
        ("*.example.org:8080", "a.example.org"),
        ("[::1]", "[::2]"),
        ("example.org", ""),
    ];
    for (pattern, host) in kept {
        assert!(!host_matches(pattern, host), "{pattern} {host}");
    }
}
