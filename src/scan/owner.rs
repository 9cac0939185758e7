//! Who holds a lease: `host:pid:start`, so that another process can tell whether its holder still lives.

use std::fs;

/// This process, as it signs its leases.
pub fn this_process() -> String {
    let pid = std::process::id();
    format!("{}:{pid}:{}", host(), started(pid).unwrap_or_default())
}

/// The process that signed so runs no more. Of processes on other machines nothing is known, so they count as alive.
pub fn is_dead(owner: &str) -> bool {
    let mut parts = owner.rsplitn(3, ':');
    let (start, pid, machine) = (parts.next(), parts.next(), parts.next());
    let (Some(start), Some(pid), Some(machine)) = (start, pid.and_then(|pid| pid.parse().ok()), machine) else {
        return false;
    };
    machine == host() && started(pid).as_deref() != Some(start)
}

/// The process id in an owner's signature, for messages.
pub fn pid(owner: &str) -> Option<&str> {
    owner.rsplit(':').nth(1)
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// When a process began, in ticks since the machine did: tells it from a later one with the same id.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_gone_are_dead() {
        let me = this_process();
        assert!(!is_dead(&me));
        assert_eq!(pid(&me), Some(std::process::id().to_string().as_str()));
        assert!(
            is_dead(&format!("{}:{}:1", host(), std::process::id())),
            "another process with our id"
        );
        assert!(is_dead(&format!("{}:4194305:77", host())), "no such process");
        assert!(!is_dead("elsewhere:4194305:77"), "another machine");
        assert!(!is_dead("nonsense"));
    }
}
