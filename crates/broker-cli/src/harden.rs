//! What keeps others out of the memory of this process: no core dump, and on Linux no reading by other processes of the
//! same user (`PR_SET_DUMPABLE`: no debugger, no `/proc/PID/mem`, no `/proc/PID/environ`). There is no way around it
//! for developers: one who starts the process sees its calls, but only root its memory.

/// Two system calls; a third where core dumps were on. What cannot be had is done without.
pub(crate) fn harden() {
    system::harden();
}

/// Starts what a person runs, with the limit on core dumps that this process was started with. Whether a process can be
/// dumped it decides for itself: the kernel forgets ours when it becomes another program.
pub(crate) fn as_started<T>(start: impl FnOnce() -> T) -> T {
    system::restore();
    let started = start();
    // It did not become it.
    system::harden();
    started
}

#[cfg(all(unix, not(portable)))]
mod system {
    use std::sync::OnceLock;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// The limit on core dumps as it was.
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
