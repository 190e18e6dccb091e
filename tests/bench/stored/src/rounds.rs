//! Measures all token caches in alternating rounds, because other load on the machine should affect all alike.

use std::sync::Barrier;
use std::time::Instant;

use allocation_counter::AllocationInfo;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::contenders::{self, Contender};

/// How many threads call a cache, and whether each thread has its own token.
struct Callers {
    name: &'static str,
    threads: usize,
    apart: bool,
}

const CALLERS: [Callers; 3] = [
    Callers { name: "1 thread", threads: 1, apart: false },
    Callers { name: "2 threads, one token", threads: 2, apart: false },
    Callers { name: "2 threads, a token each", threads: 2, apart: true },
];

/// Warm-up calls of each thread before the measurement.
const FIRST: u32 = 200;

pub fn measure(runtime: &Runtime, quick: bool) -> Vec<Value> {
    let contenders = contenders::all(runtime);
    let (rounds, calls) = if quick { (9, 5_000) } else { (101, 20_000) };
    let mut taken = vec![vec![Vec::new(); contenders.len()]; CALLERS.len()];
    for _ in 0..rounds {
        for (callers, taken) in CALLERS.iter().zip(&mut taken) {
            for (contender, taken) in contenders.iter().zip(taken) {
                taken.push(round(contender.as_ref(), callers, calls));
            }
        }
    }
    let allocations: Vec<_> = contenders.iter().map(|each| allocations(each.as_ref()).count_total).collect();
    let mut rows = Vec::new();
    for (callers, taken) in CALLERS.iter().zip(&mut taken) {
        println!("\n{:<34} {:>12} {:>12} {:>12}", callers.name, "median ns", "min ns", "allocations");
        for ((contender, taken), allocations) in contenders.iter().zip(taken).zip(&allocations) {
            let (median, min) = median(taken);
            #[expect(clippy::cast_precision_loss, reason = "few")]
            let per_call = *allocations as f64 / f64::from(FIRST);
            print(contender.name(), median, min, per_call);
            rows.push(json!({
                "row": "stored", "contender": contender.name(), "threads": callers.threads,
                "tokens": if callers.apart { callers.threads } else { 1 },
                "median_ns": median, "min_ns": min, "allocations_per_call": per_call,
            }));
        }
    }
    rows
}

/// Returns whether the broker returns a stored token without a heap allocation.
pub fn allocates_nothing(runtime: &Runtime) -> bool {
    contenders::ours(runtime).iter().all(|ours| {
        let (name, count) = (ours.name(), allocations(ours.as_ref()).count_total);
        println!("{name}: {count} heap allocations in {FIRST} calls");
        count == 0
    })
}

fn median(taken: &mut [f64]) -> (f64, f64) {
    taken.sort_by(f64::total_cmp);
    let tenths = |figure: f64| (figure * 10.0).round() / 10.0;
    (tenths(taken[taken.len() / 2]), tenths(taken[0]))
}

fn print(name: &str, median: f64, min: f64, count: f64) {
    println!("{name:<34} {median:>12.1} {min:>12.1} {count:>12}");
}

/// Returns the time of a call in nanoseconds, averaged over the threads.
fn round(contender: &dyn Contender, callers: &Callers, calls: u32) -> f64 {
    let barrier = Barrier::new(callers.threads);
    let each = |thread: usize| {
        let token = if callers.apart { thread } else { 0 };
        contender.get(token, FIRST);
        barrier.wait();
        let began = Instant::now();
        contender.get(token, calls);
        began.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    if callers.threads == 1 {
        return each(0);
    }
    let all: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers.threads).map(|thread| scope.spawn(move || each(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let threads = all.len() as f64;
    all.iter().sum::<f64>() / threads
}

/// Returns the lowest of several counts of heap allocations: once a second, the broker reads its record file.
fn allocations(contender: &dyn Contender) -> AllocationInfo {
    contender.get(0, FIRST);
    let several = (0..5).map(|_| allocation_counter::measure(|| contender.get(0, FIRST)));
    several.min_by_key(|info| info.count_total).expect("several")
}
