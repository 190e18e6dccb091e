//! What must not be interrupted: from the moment a request goes out until its answer is saved (rule 5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Counts the operations that are between a request and its save.
#[derive(Debug, Clone)]
pub(crate) struct Sections(Arc<watch::Sender<usize>>);

impl Sections {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// A section that has not begun.
    pub(crate) fn section(&self) -> Section {
        Section {
            sections: self.clone(),
            begun: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        }
    }

    /// Waits until none has begun.
    pub(crate) async fn settled(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|begun| *begun == 0).await;
    }
}

/// One operation's section. It ends when dropped, which is after the save.
#[derive(Debug)]
pub(crate) struct Section {
    sections: Sections,
    begun: AtomicBool,
    /// Whether a request of this exchange may have been acted on without an answer that says so.
    lost: AtomicBool,
    /// Whether one was answered with success.
    answered: AtomicBool,
}

impl Section {
    /// A request goes out: what comes back may be worth keeping.
    pub(crate) fn begin(&self) {
        if !self.begun.swap(true, Ordering::SeqCst) {
            self.sections.0.send_modify(|begun| *begun += 1);
        }
    }

    /// What came back, if anything, was nothing to keep, or it is saved.
    pub(crate) fn end(&self) {
        if self.begun.swap(false, Ordering::SeqCst) {
            self.sections.0.send_modify(|begun| *begun -= 1);
        }
    }
}

/// How far the requests of one exchange came: for the journal of a grant that was sent.
impl Section {
    /// A new exchange: nothing was sent yet.
    pub(crate) fn start_exchange(&self) {
        self.lost.store(false, Ordering::SeqCst);
        self.answered.store(false, Ordering::SeqCst);
    }

    /// A request may have been acted on, and its answer will not come.
    pub(crate) fn lose_answer(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    /// A request was answered with success, sensibly or not.
    pub(crate) fn answer(&self) {
        self.answered.store(true, Ordering::SeqCst);
    }

    pub(crate) fn lost_answer(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.end();
    }
}
