//! An object that was seen, as text and as JSON.

use serde_json::{Value, json};
use strait::inspect::{Holder, Life, Ownership, Seen, Service, Sight, State};
use strait::{Namespace, Reset};

/// Who holds it, or why nobody can be named.
pub(crate) fn holders(seen: &Seen, sight: &Sight) -> String {
    held(&seen.holders, seen.life, sight)
}

/// Who serves it.
pub(crate) fn servers(service: &Service, sight: &Sight) -> String {
    held(&service.holders, service.life, sight)
}

fn held(holders: &[Holder], life: Life, sight: &Sight) -> String {
    if holders.is_empty() {
        return match life {
            Life::Held if sight.blind.is_some() => "unknown".into(),
            Life::Held if sight.unreadable > 0 => "another user's process".into(),
            Life::Held => "unknown".into(),
            Life::Leftover => "none: a leftover".into(),
            life => life.to_string(),
        };
    }
    let names = holders
        .iter()
        .map(|holder| format!("{}({})", holder.command, holder.pid));
    names.collect::<Vec<_>>().join(" ")
}

/// Its name as a list of one namespace shows it.
pub(crate) fn short_name(seen: &Seen, spaces: &[Namespace]) -> String {
    match (&seen.name, seen.namespace) {
        (None, _) => "(unnamed)".into(),
        // The first is the one that names without a prefix mean.
        (Some(name), Some(0)) => name.to_string(),
        (Some(_), Some(index)) if index < spaces.len() => seen.full_name.clone(),
        (Some(name), _) => name.to_string(),
    }
}

/// All that is known of it.
pub(crate) fn json(seen: &Seen, spaces: &[Namespace]) -> Value {
    let space = seen.namespace.and_then(|index| spaces.get(index));
    let name = seen.name.as_ref();
    json!({
        "kind": seen.kind.word(),
        "name": name.map(|name| String::from_utf8_lossy(name.as_bytes())),
        "full_name": seen.full_name,
        "namespace": space.map(|space| space.path().to_string_lossy()),
        "state": state(&seen.state),
        "state_text": seen.state.to_string(),
        "life": seen.life.to_string(),
        "permanent": seen.permanent,
        "size": seen.size,
        "uid": seen.uid,
        "gid": seen.gid,
        "mode": format!("{:04o}", seen.mode),
        "holders": json_of(&seen.holders),
    })
}

fn json_of(holders: &[Holder]) -> Vec<Value> {
    let of = |holder: &Holder| {
        json!({
            "pid": holder.pid,
            "command": holder.command,
            "handles": holder.handles,
        })
    };
    holders.iter().map(of).collect()
}

/// The name of a pipe or port as a list of one namespace shows it.
pub(crate) fn service_name(service: &Service) -> String {
    let name = service.name.escape_debug();
    // The first is the one that names without a prefix mean, and the machine's the other.
    match service.namespace {
        0 => name.to_string(),
        _ => format!(r"Global\{name}"),
    }
}

/// All that is known of a pipe or port.
pub(crate) fn service_json(service: &Service, spaces: &[Namespace]) -> Value {
    let space = spaces.get(service.namespace);
    json!({
        "kind": service.kind.word(),
        "name": service.name,
        "namespace": space.map(|space| space.path().to_string_lossy()),
        "life": service.life.to_string(),
        "uid": service.uid,
        "gid": service.gid,
        "mode": format!("{:04o}", service.mode),
        "servers": json_of(&service.holders),
    })
}

fn state(state: &State) -> Value {
    let word = |reset: &Reset| match reset {
        Reset::Manual => "manual",
        Reset::Auto => "auto",
    };
    match state {
        State::Event { set, reset } => json!({ "set": set, "reset": word(reset) }),
        State::EventPair { low, high } => json!({ "low": low, "high": high }),
        State::Mutant(ownership) => mutant(ownership),
        State::Semaphore { count, limit } => json!({ "count": count, "limit": limit }),
        State::Section { len, file } => {
            json!({ "len": len, "file": file.as_ref().map(|file| file.to_string_lossy()) })
        }
        State::Timer {
            ready,
            due,
            period,
            reset,
        } => json!({
            "ready": ready,
            "due_s": due.map(|due| due.as_secs_f64()),
            "period_s": period.map(|period| period.as_secs_f64()),
            "reset": word(reset),
        }),
        _ => Value::Null,
    }
}

fn mutant(ownership: &Ownership) -> Value {
    let owned = matches!(ownership, Ownership::Owned { .. });
    let (owner, depth) = match ownership {
        Ownership::Owned { by, depth } => {
            let owner = by.map(|(pid, tid)| json!({ "pid": pid, "tid": tid }));
            (owner, *depth)
        }
        _ => (None, 0),
    };
    json!({
        "owned": owned,
        "owner": owner,
        "depth": depth,
        "abandoned": *ownership == Ownership::Abandoned,
    })
}

/// How well holders could be seen, for JSON.
pub(crate) fn sight(sight: &Sight) -> Value {
    json!({
        "full": sight.is_full(),
        "unreadable_processes": sight.unreadable,
        "blind": sight.blind,
    })
}
