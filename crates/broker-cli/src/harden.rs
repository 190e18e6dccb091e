//! Protects the memory of this process: no core dumps, and on Linux no access by other processes of the same user
//! (`PR_SET_DUMPABLE`: no debugger, no `/proc/PID/mem`, no `/proc/PID/environ`). This cannot be switched off.

/// Hardens this process as far as the system permits, with at most three system calls.
pub(crate) fn harden() {
    system::harden();
}

/// Starts a command of the user with the core dump limit that this process was started with. The kernel resets
/// `PR_SET_DUMPABLE` itself.
pub(crate) fn with_original_limits<T>(start: impl FnOnce() -> T) -> T {
    system::restore();
    let started = start();
    // Only reached where this process goes on, or where the start failed.
    system::harden();
    started
}

#[cfg(all(unix, not(portable)))]
mod system {
    use std::sync::OnceLock;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// The original limit on core dumps.
    static BEFORE: OnceLock<Rlimit> = OnceLock::new();

    pub(super) fn harden() {
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
        let before = BEFORE.get_or_init(|| getrlimit(Resource::Core));
        if before.current != Some(0) {
            let none = Rlimit { current: Some(0), maximum: before.maximum };
            let _ = setrlimit(Resource::Core, none);
        }
    }

    pub(super) fn restore() {
        if let Some(before) = BEFORE.get().filter(|before| before.current != Some(0)) {
            let _ = setrlimit(Resource::Core, *before);
        }
    }
}

#[cfg(not(all(unix, not(portable))))]
mod system {
    pub(super) fn harden() {}

    pub(super) fn restore() {}
}
