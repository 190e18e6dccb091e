//! Tests of the patterns for hosts that accept tokens.

use broker_core::host_matches;

/// A pattern, hosts that match the pattern, and hosts that do not.
const TABLE: [(&str, &[&str], &[&str]); 6] = [
    (
        "example.org",
        &["example.org", "EXAMPLE.org:8443"],
        &["example.org.evil.net", "evil-example.org", "a.example.org", ""],
    ),
    ("example.org:443", &["example.org", "example.org:443"], &["example.org:80"]),
    ("example.org:8080", &["example.org:8080"], &["example.org"]),
    (
        "*.example.org",
        &["a.example.org", "a.b.example.org:1"],
        &["example.org", ".example.org", "evilexample.org", "a.example.org.evil.net"],
    ),
    ("*.example.org:8080", &["a.example.org:8080"], &["a.example.org"]),
    ("[::1]", &["[::1]"], &["[::2]"]),
];

#[test]
fn host_pattern_matches_only_the_hosts_it_describes() {
    for (pattern, matching, others) in TABLE {
        for host in matching {
            assert!(host_matches(pattern, host), "{pattern} {host}");
        }
        for host in others {
            assert!(!host_matches(pattern, host), "{pattern} {host}");
        }
    }
    assert!(host_matches("[::1]:80", "[::1]:80"));
}
