//! Tests every request of every provider with every fault, and compares the results with `fault-table.md`.

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

/// The number of threads that test requests, each with its own fake server and broker process.
const CONCURRENT: usize = 4;

/// The number of faults tested with one login, if the request does not change the login.
const FAULTS_PER_LOGIN: usize = 6;

/// `UPDATE=1 cargo test -p broker-e2e fault_table` rewrites `fault-table.md`. Review the difference.
#[test]
#[ignore = "takes a minute"]
fn each_request_with_each_fault_has_the_documented_result() {
    let (requests, hitches) = (requests(), hitches());
    let cells = run_all(&requests, &hitches);
    let rows: Vec<_> = cells.iter().map(|((r, h), cell)| (&requests[*r], &hitches[*h], cell)).collect();
    let observed = table::text(&rows);
    // Prints even if the test passes, unlike `println`.
    std::io::stdout().write_all(observed.as_bytes()).expect("stdout");

    let broken: String =
        rows.iter().filter_map(|(request, hitch, cell)| violations(request, hitch, cell)).collect();
    assert!(broken.is_empty(), "never allowed:\n{broken}");

    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/fault-table.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&stored, &observed).expect("written");
    }
    let expected = std::fs::read_to_string(&stored).unwrap_or_default();
    let others = table::differences(&expected, &observed);
    assert!(others.is_empty(), "the results differ from fault-table.md (- table, + result):\n{others}");
}

/// Formats the results that fail the test even if `fault-table.md` lists them, such as a lost login.
fn violations(request: &Request, hitch: &Hitch, cell: &Cell) -> Option<String> {
    let place = format!("{} | {} | {}", request.kind, request.name, hitch.name);
    let broken = cell.broken.join("; ");
    (!broken.is_empty()).then(|| format!("{place}: {broken}\n    {}\n", cell.stderr))
}

/// Faults of one request that are tested with the same login.
struct Job<'a> {
    request: usize,
    hitches: Vec<(usize, &'a Hitch)>,
}

fn run_all(requests: &[Request], hitches: &[Hitch]) -> BTreeMap<(usize, usize), Cell> {
    let jobs = requests.iter().enumerate().flat_map(|(number, request)| {
        let fitting = hitches.iter().enumerate().filter(|(_, hitch)| request.has(hitch));
        let size = if request.spends_the_login { 1 } else { FAULTS_PER_LOGIN };
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
        for _ in 0..CONCURRENT {
            scope.spawn(work);
        }
    });
    cells.into_inner().expect("the cells")
}
