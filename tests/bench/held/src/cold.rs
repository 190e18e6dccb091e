//! A thousand tasks that ask at once for a token that is not there, beside one.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use broker::TokenRequest;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::rounds::{median, print};
use crate::service::{PROVIDERS, World};

/// How long the service takes, as one that is near does.
const EXCHANGE: Duration = Duration::from_millis(50);

const CROWDS: [usize; 2] = [1, 1000];

/// Rows of one caller and of a thousand, in turns.
pub fn measure(runtime: &Runtime, quick: bool) -> Vec<Value> {
    let rounds = if quick { 3 } else { 21 };
    let mut taken = CROWDS.map(|_| Vec::new());
    let mut exchanges = [0; 2];
    for _ in 0..rounds {
        for (nth, tasks) in CROWDS.into_iter().enumerate() {
            let (time, asked) = ask(runtime, tasks);
            taken[nth].push(time.as_secs_f64() * 1e3);
            exchanges[nth] = exchanges[nth].max(asked);
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

/// Whether a thousand make one exchange.
pub fn exchanges_once(runtime: &Runtime) -> bool {
    let (_, exchanges) = ask(runtime, 1000);
    println!("1000 tasks: {exchanges} exchange");
    exchanges == 1
}

/// How long it takes until the last of so many has the token, and how often the service was asked.
fn ask(runtime: &Runtime, tasks: usize) -> (Duration, usize) {
    let world = World::new(EXCHANGE);
    let began = Instant::now();
    let asking: Vec<_> = (0..tasks)
        .map(|_| {
            let broker = world.broker.clone();
            runtime.spawn(async move { broker.token(PROVIDERS[0], &TokenRequest::new()).await })
        })
        .collect();
    for task in asking {
        let token = runtime.block_on(task).expect("a task");
        assert!(!token.expect("a token").secret().expose().is_empty());
    }
    (began.elapsed(), world.service.exchanges.load(Ordering::SeqCst))
}
