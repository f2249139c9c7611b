//! The limits of this machine and this user that programs of Strait meet.

use rustix::fs;
use rustix::process::{Resource, geteuid, getrlimit};

use strait::ErrorKind;
use strait::unix::{mqueue, msg, sem, shm, signal};

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
    findings.extend(system_v());
    findings.push(posix_queues());
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

fn system_v() -> Vec<Finding> {
    let kinds: [fn() -> strait::Result<Finding>; 3] = [
        || {
            let (used, most) = (msg::usage()?, msg::limits()?);
            let more = format!(
                ", with {} messages; a new one takes {} bytes, a message has up to {}",
                used.messages, most.queue_bytes, most.message_bytes
            );
            Ok(filling(
                "msg",
                "message queues",
                (used.queues, most.queues),
                &more,
            ))
        },
        || {
            let (used, most) = (sem::usage()?, sem::limits()?);
            let more = format!(
                ", with {} semaphores; a set has up to {}, a call {} operations",
                used.semaphores, most.per_set, most.ops
            );
            let sets = (used.sets.into(), most.sets.into());
            Ok(filling("sem", "semaphore sets", sets, &more))
        },
        || {
            let (used, most) = (shm::usage()?, shm::limits()?);
            let more = format!(", with {} pages", used.pages);
            let segments = (used.segments.into(), most.segments);
            Ok(filling("shm", "shared memory segments", segments, &more))
        },
    ];
    let looked: Result<Vec<Finding>, _> = kinds.into_iter().map(|look| look()).collect();
    looked.unwrap_or_else(|error| {
        vec![Finding::new(
            LIMITS,
            Level::Note,
            format!("System V: {error}"),
        )]
    })
}

/// How many there are of how many there may be.
fn filling(verb: &str, things: &str, (used, most): (u64, u64), more: &str) -> Finding {
    let text = format!("System V: {used} of {most} {things}{more}");
    // The next tenth is soon gone where nobody removes what the dead have left.
    if used.saturating_mul(10) >= most.saturating_mul(9) {
        let cure = format!("`strait ls {verb}` shows them, `strait {verb} rm` removes");
        return Finding::new(LIMITS, Level::Warning, text).cure(cure);
    }
    Finding::new(LIMITS, Level::Fine, text)
}

fn posix_queues() -> Finding {
    let most = match mqueue::limits() {
        Ok(most) => most,
        Err(error) => return Finding::new(LIMITS, Level::Note, format!("POSIX queues: {error}")),
    };
    let user = most.user_bytes;
    let user = user.map_or("any number of".into(), |bytes| bytes.to_string());
    let room = format!(
        "a new one takes up to {} messages of {} bytes, all of this user's together {user} bytes \
         (`ulimit -q`)",
        most.messages, most.bytes
    );
    let text = |seen: &str| format!("POSIX queues: {seen}; {room}");
    match mqueue::list() {
        Ok(names) => {
            let seen = format!(
                "{} of {} (/dev/mqueue is mounted)",
                names.len(),
                most.queues
            );
            Finding::new(LIMITS, Level::Fine, text(&seen))
        }
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let seen = format!(
                "up to {}; /dev/mqueue is not mounted, and lists none",
                most.queues
            );
            let mount = "`sudo mkdir -p /dev/mqueue && sudo mount -t mqueue none /dev/mqueue`";
            Finding::new(LIMITS, Level::Note, text(&seen)).cure(mount)
        }
        Err(error) => Finding::new(LIMITS, Level::Note, text(&error.to_string())),
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
