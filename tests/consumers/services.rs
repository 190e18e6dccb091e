//! A program that runs the fake servers, for tests in other languages. `services [--rotation rotate] [--life 3600] …`
//! prints a JSON line with the URLs. For each line on stdin, the program prints the request counts of the `EarthScope`
//! fake server. When stdin is closed, the program exits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "test support panics at once, and prints to stdout"
)]

use std::io::Write;

use broker_testkit::{
    CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, Rotation,
};
use serde_json::{Value, json};

fn main() {
    let earthscope = EarthScope::start(options(std::env::args().skip(1)));
    earthscope.approve_all();
    let earthdaily = EarthDaily::start(EarthDailyOptions::default());
    let carbonmapper = CarbonMapper::start(CarbonMapperOptions::default());
    print(&json!({
        "earthscope": earthscope.url(),
        "earthdaily": earthdaily.url(),
        "auth_url": earthdaily.auth_url(),
        "carbonmapper": carbonmapper.base_url(),
    }));
    for line in std::io::stdin().lines() {
        line.expect("a line");
        print(&counts(&earthscope));
    }
}

fn options(mut words: impl Iterator<Item = String>) -> EarthScopeOptions {
    let mut options = EarthScopeOptions { interval: Some(1), ..Default::default() };
    while let Some(flag) = words.next() {
        let value = words.next().expect("a value after each flag");
        match flag.as_str() {
            "--rotation" => {
                options.rotation = match value.as_str() {
                    "keep" => Rotation::Keep,
                    "omit" => Rotation::Omit,
                    "rotate" => Rotation::Rotate,
                    "detect-reuse" => Rotation::RotateDetectReuse,
                    other => panic!("unknown rotation {other}"),
                }
            }
            "--life" => options.token_life = value.parse().expect("seconds"),
            "--aws-life" => options.aws_life = value.parse().expect("seconds"),
            "--subject" => options.user_subject = value,
            "--client-secret" => options.client_secret = Some(value),
            other => panic!("unknown flag {other}"),
        }
    }
    options
}

fn counts(earthscope: &EarthScope) -> Value {
    let seen = earthscope.seen();
    let of_aws = seen.iter().filter(|seen| seen.route == "aws");
    let queries: Vec<_> = of_aws.map(|seen| format!("{}?{}", seen.path, seen.query)).collect();
    json!({
        "device": earthscope.count("device"),
        "token": earthscope.count("token"),
        "profile": earthscope.count("profile"),
        "aws": queries,
        "refreshes": earthscope.refreshes(),
        "reuses": earthscope.reuse_events(),
        "revoked": earthscope.revoked().len(),
    })
}

fn print(answer: &Value) {
    println!("{answer}");
    std::io::stdout().flush().expect("a reader");
}
