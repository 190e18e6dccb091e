//! Protects the memory of this process. No setting switches the protection off. Core dumps are disabled. On Linux,
//! other processes of the same user have no access (`PR_SET_DUMPABLE`): no debugger, no `/proc/PID/mem`.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The original limit on core dumps, before this process lowered the limit.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Disables core dumps and memory access by other processes, with at most three system calls.
pub(crate) fn harden() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let before = BEFORE.get_or_init(|| getrlimit(Resource::Core));
    if before.current != Some(0) {
        let none = Rlimit { current: Some(0), maximum: before.maximum };
        let _ = setrlimit(Resource::Core, none);
    }
}

/// Starts a user's command with the original limit on core dumps. The system call exec resets `PR_SET_DUMPABLE`.
pub(crate) fn with_original_limits<T>(start: impl FnOnce() -> T) -> T {
    if let Some(before) = BEFORE.get().filter(|before| before.current != Some(0)) {
        let _ = setrlimit(Resource::Core, *before);
    }
    let started = start();
    harden();
    started
}
