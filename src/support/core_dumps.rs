//! No core dumps: the memory of the process holds the API token, the database password and customers' records.
//!
//! This file owns the two switches of the operating system for that. It knows nothing of the rest of the program.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Switches core dumps off for this process, and for the commands it starts.
///
/// The soft and the hard limit on the size of a core file become 0. On Linux the process is made non-dumpable too:
/// where `kernel.core_pattern` names a program instead of a file, the kernel ignores that limit.
///
/// Returns what the operating system refused, one sentence each. The caller logs it and goes on.
pub fn switch_off() -> Vec<String> {
    let mut refused = Vec::new();
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        refused.push(format!(
            "core dumps could not be switched off: a crash may write secrets to a core file ({error})"
        ));
    }
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        refused.push(format!(
            "the process could not be made non-dumpable: a crash may hand secrets to the system's crash handler ({error})"
        ));
    }
    refused
}
