//! Every fault at every request of every kind. What comes of each stands in `fault-table.md`; what must never come of
//! one is checked beside it, whatever stands there.

mod cell;
mod hitch;
mod request;
mod table;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use cell::{Cell, run};
use hitch::{Hitch, hitches};
use request::{Request, requests};

/// How many cells run at a time: each has a service and a process of its own.
const AT_A_TIME: usize = 4;

/// How many faults one login serves, where they leave it as it is.
const A_LOGIN_SERVES: usize = 6;

/// To write the table anew after a change: `UPDATE=1 cargo test -p broker-e2e fault_table`, and read the difference.
#[test]
#[ignore = "takes a minute"]
fn every_fault_at_every_request_comes_to_what_the_table_says() {
    let (requests, hitches) = (requests(), hitches());
    let cells = run_all(&requests, &hitches);
    let rows: Vec<_> = cells.iter().map(|((r, h), cell)| (&requests[*r], &hitches[*h], cell)).collect();
    let observed = table::text(&rows);
    // Not `println`, which the test harness keeps to itself when a test passes.
    std::io::stdout().write_all(observed.as_bytes()).expect("stdout");

    let broken: String =
        rows.iter().filter_map(|(request, hitch, cell)| never(request, hitch, cell)).collect();
    assert!(broken.is_empty(), "what must never be:\n{broken}");

    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/fault-table.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&stored, &observed).expect("written");
    }
    let expected = std::fs::read_to_string(&stored).unwrap_or_default();
    let others = table::differences(&expected, &observed);
    assert!(others.is_empty(), "it is not as fault-table.md says (- is there, + was seen):\n{others}");
}

/// What must never be and is in a cell.
fn never(request: &Request, hitch: &Hitch, cell: &Cell) -> Option<String> {
    let place = format!("{} | {} | {}", request.kind, request.name, hitch.name);
    let broken = cell.broken.join("; ");
    (!broken.is_empty()).then(|| format!("{place}: {broken}\n    {}\n", cell.words))
}

/// The faults of one request that share a login.
struct Job<'a> {
    request: usize,
    hitches: Vec<(usize, &'a Hitch)>,
}

fn run_all(requests: &[Request], hitches: &[Hitch]) -> BTreeMap<(usize, usize), Cell> {
    let jobs = requests.iter().enumerate().flat_map(|(number, request)| {
        let fitting = hitches.iter().enumerate().filter(|(_, hitch)| request.meets(hitch));
        let size = if request.spends_the_login { 1 } else { A_LOGIN_SERVES };
        let fitting: Vec<_> = fitting.collect();
        let jobs = fitting.chunks(size).map(|some| Job { request: number, hitches: some.to_vec() });
        jobs.collect::<Vec<_>>()
    });
    let jobs = Mutex::new(jobs.collect::<Vec<_>>().into_iter());
    let cells = Mutex::new(BTreeMap::new());
    let work = || {
        let next = || jobs.lock().expect("the jobs").next();
        while let Some(job) = next() {
            let request = &requests[job.request];
            let stage = (request.stage)();
            for (number, hitch) in job.hitches {
                let cell = run(request, &stage, hitch);
                cells.lock().expect("the cells").insert((job.request, number), cell);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
    });
    cells.into_inner().expect("the cells")
}
