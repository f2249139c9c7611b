//! The limits of this machine and this user that programs of Strait meet.

use rustix::fs;
use rustix::process::{Resource, getrlimit};

use super::{Finding, Level};

const LIMITS: &str = "limits";
/// Less free memory than this in /dev/shm is worth a warning, in MiB.
const FREE_MIB_WARN: u64 = 64;
/// What most distributions give: half of a process's descriptors can be handles, then.
const DESCRIPTORS_WARN: u64 = 256;

/// Descriptors, maps and memory.
pub(super) fn all(findings: &mut Vec<Finding>) {
    findings.push(descriptors());
    findings.push(maps());
    findings.push(memory());
}

fn descriptors() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    let shown =
        |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let text = format!(
        "{} descriptors (up to {}): a named or shared object takes one",
        shown(limit.current),
        shown(limit.maximum)
    );
    if limit
        .current
        .is_some_and(|current| current < DESCRIPTORS_WARN)
    {
        return Finding::new(LIMITS, Level::Warning, text).cure("`ulimit -n 1024`, or more");
    }
    Finding::new(LIMITS, Level::Fine, text)
}

fn maps() -> Finding {
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    match most.trim() {
        "" => Finding::new(LIMITS, Level::Note, "maps of a process: unknown, no /proc"),
        most => Finding::new(
            LIMITS,
            Level::Fine,
            format!("{most} maps in a process: an object takes one"),
        ),
    }
}

fn memory() -> Finding {
    match fs::statvfs("/dev/shm") {
        Ok(stat) => {
            let mib = |blocks: u64| blocks.saturating_mul(stat.f_frsize) >> 20;
            let (size, free) = (mib(stat.f_blocks), mib(stat.f_bavail));
            let text = format!("/dev/shm has {size} MiB, {free} MiB of them free");
            if free < FREE_MIB_WARN {
                return Finding::new(LIMITS, Level::Warning, text)
                    .cure("`sudo mount -o remount,size=1G /dev/shm`, or remove files from it");
            }
            Finding::new(LIMITS, Level::Fine, text)
        }
        Err(errno) => Finding::new(
            LIMITS,
            Level::Problem,
            format!("/dev/shm cannot be looked at: {errno}"),
        )
        .cure("mount a tmpfs there"),
    }
}
