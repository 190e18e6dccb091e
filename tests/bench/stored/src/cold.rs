//! Measures how long a thousand concurrent tasks wait for a token that is not stored, compared with one task.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use broker::TokenRequest;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::rounds::{median, print};
use crate::service::{PROVIDERS, World};

/// The response time of the token service.
const EXCHANGE: Duration = Duration::from_millis(50);

const CROWDS: [usize; 2] = [1, 1000];

/// Measures one task and a thousand tasks in alternating rounds. Returns the rows of the result table.
pub fn measure(runtime: &Runtime, quick: bool) -> Vec<Value> {
    let rounds = if quick { 3 } else { 21 };
    let mut taken = CROWDS.map(|_| Vec::new());
    let mut exchanges = [0; 2];
    for _ in 0..rounds {
        for (nth, tasks) in CROWDS.into_iter().enumerate() {
            let (time, count) = request(runtime, tasks);
            taken[nth].push(time.as_secs_f64() * 1e3);
            exchanges[nth] = exchanges[nth].max(count);
        }
    }
    println!("\n{:<34} {:>12} {:>12} {:>12}", "cold, tasks at once", "median ms", "min ms", "exchanges");
    let rows = CROWDS.into_iter().zip(&mut taken).zip(exchanges).map(|((tasks, taken), exchanges)| {
        let (median, min) = median(taken);
        print(&tasks.to_string(), median, min, f64::from(u32::try_from(exchanges).expect("few")));
        json!({ "row": "cold tasks", "contender": "broker", "tasks": tasks, "service_ms": 50,
                "median_ms": median, "min_ms": min, "exchanges": exchanges })
    });
    rows.collect()
}

/// Returns whether a thousand concurrent tasks cause only one exchange.
pub fn exchanges_once(runtime: &Runtime) -> bool {
    let (_, exchanges) = request(runtime, 1000);
    println!("1000 tasks: {exchanges} exchange");
    exchanges == 1
}

/// Returns the time until the last task has the token, and the number of exchanges.
fn request(runtime: &Runtime, tasks: usize) -> (Duration, usize) {
    let world = World::new(EXCHANGE);
    let began = Instant::now();
    let requests: Vec<_> = (0..tasks)
        .map(|_| {
            let broker = world.broker.clone();
            runtime.spawn(async move { broker.token(PROVIDERS[0], &TokenRequest::new()).await })
        })
        .collect();
    for task in requests {
        let token = runtime.block_on(task).expect("a task");
        assert!(!token.expect("a token").secret().expose().is_empty());
    }
    (began.elapsed(), world.service.exchanges.load(Ordering::SeqCst))
}
