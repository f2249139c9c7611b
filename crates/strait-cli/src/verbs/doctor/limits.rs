//! The limits of this machine and this user that programs of Strait meet.

use rustix::fs;
use rustix::process::{Resource, geteuid, getrlimit};

use strait::unix::{msg, sem, shm, signal};

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
    findings.push(system_v());
    findings.push(signals());
    findings.extend(logout());
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

fn system_v() -> Finding {
    let limits = || {
        let (msg, sem, shm) = (msg::limits()?, sem::limits()?, shm::limits()?);
        Ok::<_, strait::Error>(format!(
            "System V: {} queues of {} bytes, messages up to {}; {} sets of up to {} semaphores; \
             {} segments",
            msg.queues, msg.queue_bytes, msg.message_bytes, sem.sets, sem.per_set, shm.segments
        ))
    };
    match limits() {
        Ok(text) => Finding::new(LIMITS, Level::Fine, text),
        Err(error) => Finding::new(LIMITS, Level::Note, format!("System V: {error}")),
    }
}

fn signals() -> Finding {
    match signal::queue() {
        Ok(queue) => {
            let most = queue
                .limit
                .map_or("any number of".into(), |limit| limit.to_string());
            let text = format!(
                "{most} signals may be queued for this user: {} are",
                queue.queued
            );
            Finding::new(LIMITS, Level::Fine, text)
        }
        Err(error) => Finding::new(LIMITS, Level::Note, format!("queued signals: {error}")),
    }
}

/// The first user that logind(8) takes for a person.
const PERSONS: u32 = 1000;

/// What logind(8) removes behind a user, logind.conf(5).
fn logout() -> Option<Finding> {
    if !std::path::Path::new("/run/systemd/system").exists() || geteuid().as_raw() < PERSONS {
        return None;
    }
    let conf = std::fs::read_to_string("/etc/systemd/logind.conf").unwrap_or_default();
    let kept = conf.lines().any(|line| line.trim() == "RemoveIPC=no");
    (!kept).then(|| {
        let text = "System V objects and POSIX queues of this user go when the user has logged out";
        Finding::new(LIMITS, Level::Note, text).cure("RemoveIPC=no in /etc/systemd/logind.conf")
    })
}
