//! `--rejected`: the service that a token is for does not take it.

use broker_e2e::{Run, Sandbox, finish, spawn};
use broker_testkit::{CarbonMapper, CarbonMapperOptions, EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;

use crate::stage::logged_in;

fn seismic() -> (EarthScope, Sandbox, String) {
    let options = EarthScopeOptions {
        rotation: Rotation::RotateDetectReuse,
        interval: Some(1),
        ..EarthScopeOptions::default()
    };
    let (service, sandbox) = logged_in(options, "");
    let held = sandbox.broker(&["token", "earthscope"]).token();
    (service, sandbox, held)
}

fn reject(sandbox: &Sandbox, token: &str) -> Run {
    sandbox.broker_reading(&["token", "earthscope", "--rejected-stdin"], token)
}

#[test]
fn a_rejected_token_is_replaced_once_for_all() {
    let (service, sandbox, first) = seismic();
    let second = reject(&sandbox, &format!("{first}\n")).token();
    assert_ne!(second, first);
    // Who comes late with the same complaint gets what is held by now.
    assert_eq!(reject(&sandbox, &first).token(), second);
    assert_eq!(reject(&sandbox, "a token of long ago").token(), second);
    assert_eq!(service.count("token"), 1);
}

#[test]
fn a_token_made_for_a_complaint_is_not_replaced_at_once_again() {
    let (service, sandbox, first) = seismic();
    let second = reject(&sandbox, &first).token();
    let _ = reject(&sandbox, &second).ends(4).says("another would be no better");
    assert_eq!(service.count("token"), 1);
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), second, "it is still held");
    sandbox.age("earthscope", TimeDelta::seconds(31));
    assert_ne!(reject(&sandbox, &second).token(), second);
    assert_eq!((service.count("token"), service.reuse_events()), (2, 0));
}

#[test]
fn without_a_token_the_held_one_is_meant() {
    let (service, sandbox, first) = seismic();
    let second = sandbox.broker(&["token", "earthscope", "--rejected"]).token();
    assert_ne!(second, first);
    // Who asks at once again meant the first one.
    assert_eq!(sandbox.broker(&["token", "earthscope", "--rejected"]).token(), second);
    assert_eq!(service.count("token"), 1);
}

#[test]
fn a_crowd_with_one_complaint_makes_one_exchange() {
    let (service, sandbox, first) = seismic();
    let given = sandbox.home().join("given");
    sandbox.write(&given, &first);
    let all: Vec<_> = (0..16)
        .map(|_| {
            let words = ["token", "earthscope", "--rejected-stdin"];
            let mut command = sandbox.command(&words);
            command.stdin(std::fs::File::open(&given).expect("the file"));
            spawn(command, &words)
        })
        .collect();
    let all: Vec<_> = all.into_iter().map(|child| finish(child).token()).collect();
    assert!(all.iter().all(|token| *token == all[0] && *token != first), "{all:?}");
    assert_eq!((service.count("token"), service.reuse_events()), (1, 0));
}

#[test]
fn a_rejected_token_is_not_handed_out_again_even_offline() {
    let (service, sandbox, first) = seismic();
    service.fault_always("token", Fault::Status(503));
    let _ = reject(&sandbox, &first).ends(4);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    service.clear_faults();
    assert_ne!(sandbox.broker(&["token", "earthscope"]).token(), first);
}

#[test]
fn a_rejected_token_that_needs_a_login_stays_and_a_login_replaces_it() {
    let (service, sandbox, first) = seismic();
    service.revoke_everything();
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).ends(3);
    let _ = reject(&sandbox, &first).ends(3).says("broker login earthscope");
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), first, "it may do elsewhere");
    service.approve_all();
    let words = ["token", "earthscope", "--rejected-stdin", "--login"];
    let second = sandbox.broker_reading(&words, &first).says("logged in").token();
    assert!(second != first && service.access_is_live(&second));
}

#[test]
fn only_that_token_is_forgotten() {
    let service = CarbonMapper::start(CarbonMapperOptions::default());
    let config = format!(
        "[providers.carbonmapper]\nbase_url = \"{}\"\nemail = \"ada@example.org\"\n",
        service.base_url()
    );
    let sandbox = Sandbox::new().with_config(&config);
    let _ =
        sandbox.broker_reading(&["login", "carbonmapper", "--password-stdin"], "standin-password").ends(0);
    let access = sandbox.broker(&["token", "carbonmapper"]).token();
    let scoped = sandbox.broker(&["token", "carbonmapper", "--scope", "stac"]).token();
    let rejected = ["token", "carbonmapper", "--scope", "stac", "--rejected-stdin"];
    let other = sandbox.broker_reading(&rejected, &scoped).token();
    assert_ne!(other, scoped);
    assert_eq!(sandbox.broker(&["token", "carbonmapper"]).token(), access);
    // The one that was replaced still lives on the account.
    let run = sandbox.broker(&["logout", "carbonmapper"]).ends(0);
    assert_eq!(run.err.matches("broker-").count(), 2, "{}", run.err);
}

#[test]
fn rejected_and_force_exclude_each_other() {
    let (_service, sandbox, _) = seismic();
    let _ = sandbox.broker(&["token", "earthscope", "--rejected", "--force"]).ends(2);
}
