//! Rounds in turns: each contender once, then each again, so that what else the machine does falls on all.

use std::sync::Barrier;
use std::time::Instant;

use allocation_counter::AllocationInfo;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::contenders::{self, Contender};

/// Who asks: how many threads, and whether each for a token of its own.
struct Askers {
    name: &'static str,
    threads: usize,
    apart: bool,
}

const ASKERS: [Askers; 3] = [
    Askers { name: "1 thread", threads: 1, apart: false },
    Askers { name: "2 threads, one token", threads: 2, apart: false },
    Askers { name: "2 threads, a token each", threads: 2, apart: true },
];

/// Calls before a round is timed: each thread has been there once.
const FIRST: u32 = 200;

/// Rows of all contenders.
pub fn measure(runtime: &Runtime, quick: bool) -> Vec<Value> {
    let contenders = contenders::all(runtime);
    let (rounds, calls) = if quick { (9, 5_000) } else { (101, 20_000) };
    let mut taken = vec![vec![Vec::new(); contenders.len()]; ASKERS.len()];
    for _ in 0..rounds {
        for (askers, taken) in ASKERS.iter().zip(&mut taken) {
            for (contender, taken) in contenders.iter().zip(taken) {
                taken.push(round(contender.as_ref(), askers, calls));
            }
        }
    }
    let allocations: Vec<_> = contenders.iter().map(|each| allocations(each.as_ref()).count_total).collect();
    let mut rows = Vec::new();
    for (askers, taken) in ASKERS.iter().zip(&mut taken) {
        println!("\n{:<34} {:>12} {:>12} {:>12}", askers.name, "median ns", "min ns", "allocations");
        for ((contender, taken), allocations) in contenders.iter().zip(taken).zip(&allocations) {
            let (median, min) = median(taken);
            #[expect(clippy::cast_precision_loss, reason = "few")]
            let per_call = *allocations as f64 / f64::from(FIRST);
            print(contender.name(), median, min, per_call);
            rows.push(json!({
                "row": "held", "contender": contender.name(), "threads": askers.threads,
                "tokens": if askers.apart { askers.threads } else { 1 },
                "median_ns": median, "min_ns": min, "allocations_per_call": per_call,
            }));
        }
    }
    rows
}

/// Whether the broker's calls allocate nothing.
pub fn allocates_nothing(runtime: &Runtime) -> bool {
    contenders::ours(runtime).iter().all(|ours| {
        let info = allocations(ours.as_ref());
        println!("{}: {} allocations in {FIRST} calls", ours.name(), info.count_total);
        info.count_total == 0
    })
}

/// The median and the least.
pub fn median(taken: &mut [f64]) -> (f64, f64) {
    taken.sort_by(f64::total_cmp);
    let tenths = |figure: f64| (figure * 10.0).round() / 10.0;
    (tenths(taken[taken.len() / 2]), tenths(taken[0]))
}

/// A line of the table.
pub fn print(name: &str, median: f64, min: f64, count: f64) {
    println!("{name:<34} {median:>12.1} {min:>12.1} {count:>12}");
}

/// Nanoseconds of a call: the mean of the threads'.
fn round(contender: &dyn Contender, askers: &Askers, calls: u32) -> f64 {
    let barrier = Barrier::new(askers.threads);
    let each = |thread: usize| {
        let token = if askers.apart { thread } else { 0 };
        contender.ask(token, FIRST);
        barrier.wait();
        let began = Instant::now();
        contender.ask(token, calls);
        began.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    if askers.threads == 1 {
        return each(0);
    }
    let all: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..askers.threads).map(|thread| scope.spawn(move || each(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let threads = all.len() as f64;
    all.iter().sum::<f64>() / threads
}

/// Allocations of some calls. The least of several goes: once a second the broker looks at the file again.
fn allocations(contender: &dyn Contender) -> AllocationInfo {
    contender.ask(0, FIRST);
    let several = (0..5).map(|_| allocation_counter::measure(|| contender.ask(0, FIRST)));
    several.min_by_key(|info| info.count_total).expect("several")
}
