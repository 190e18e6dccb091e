//! Tests of the patterns for hosts that accept tokens.

use broker_core::host_matches;

#[test]
fn host_pattern_matches_only_the_hosts_it_describes() {
    let matching = [
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
    for (pattern, host) in matching {
        assert!(host_matches(pattern, host), "{pattern} {host}");
    }
    let others = [
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
    for (pattern, host) in others {
        assert!(!host_matches(pattern, host), "{pattern} {host}");
    }
}
