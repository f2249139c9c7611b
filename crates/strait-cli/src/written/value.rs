//! Values with a form of their own: durations, sizes, modes, groups, counts.

use std::time::Duration;

/// What a duration looks like.
const DURATION: &str = "write a number and a unit, such as 250ms, 5s, 10m or 1m30s, or seconds";
/// What a size looks like.
const SIZE: &str = "write a whole number of bytes, such as 4096, 64K or 1M";
/// The longest there is, 2^64 nanoseconds, in whole days.
const DAYS_MAX: u64 = 213_503;

/// A duration such as `250ms`, `5s`, `1.5h` or `1m30s`; a bare number is seconds, as for sleep(1)
/// and timeout(1).
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Err("a time cannot be negative".into());
    }
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut sum = Duration::ZERO;
    let mut rest = text;
    loop {
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let number: f64 = number.parse().map_err(|_| DURATION.to_owned())?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "" if rest == text => 1.0,
            "" => {
                return Err(format!(
                    "`{rest}` at its end has no unit, such as {rest}s or {rest}ms"
                ));
            }
            _ => return Err(format!("`{unit}` is no unit: ns, us, ms, s, m, h, d")),
        };
        sum = Duration::try_from_secs_f64(number * seconds)
            .ok()
            .and_then(|part| sum.checked_add(part))
            .filter(|sum| sum.as_secs() <= DAYS_MAX * 86_400)
            .ok_or_else(|| format!("the longest time is {DAYS_MAX}d"))?;
        if after.is_empty() {
            return Ok(sum);
        }
        rest = after;
    }
}

/// A number of bytes such as `4096`, `64K`, `1M`, `2GiB`; the units are powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ if !unit.starts_with(char::is_alphabetic) => return Err(SIZE.to_owned()),
        _ => return Err(format!("`{unit}` is no unit: K, M, G, T")),
    };
    let number: u64 = number.parse().map_err(|_| SIZE.to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "more bytes than can be counted".to_owned())
}

/// A number of units of a semaphore.
pub(crate) fn units(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "write a whole number, 0 to 2147483647".to_owned())
}

/// Permission bits in octal: read is looking, write is everything.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    // A sign would be read too.
    let mode = Some(digits).filter(|digits| !digits.starts_with('+'));
    let mode = mode.and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let mode = mode.ok_or("write octal digits, such as 0600 or 0660")?;
    if mode & !0o666 != 0 {
        return Err("only read and write mean something to an object: 0 to 0666".into());
    }
    Ok(mode)
}

/// A group, by its number or by its name in `/etc/group`.
pub(crate) fn group(text: &str) -> Result<u32, String> {
    if let Ok(gid) = text.parse() {
        return Ok(gid);
    }
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(text))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    });
    found.ok_or_else(|| "no such group in /etc/group: a number works too".to_owned())
}

/// A word as a shell must be given it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// So many things, in words.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("20us"), Ok(Duration::from_micros(20)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1d2h3.5s"), Ok(Duration::from_millis(93_603_500)));
        for (wrong, why) in [
            ("", DURATION),
            ("s", DURATION),
            ("soon", DURATION),
            ("1.2.3s", DURATION),
            ("-1s", "negative"),
            ("-1", "negative"),
            ("5 s", "` s` is no unit"),
            ("1m5parsec", "`parsec` is no unit"),
            ("1m30", "`30` at its end has no unit"),
        ] {
            let said = duration(wrong).unwrap_err();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }

    #[test]
    fn no_duration_is_longer_than_can_be_counted() {
        let most = Duration::from_secs(DAYS_MAX * 86_400);
        assert!(u64::try_from(most.as_nanos()).is_ok());
        assert_eq!(duration("213503d"), Ok(most));
        for wrong in [
            "213503d1s",
            "1e999",
            "99999999999999999999999d",
            &"9".repeat(400),
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell_where_they_must_be() {
        assert_eq!(quoted("/run/user/0/ns-1"), "/run/user/0/ns-1");
        assert_eq!(quoted(r"Global\a"), r"'Global\a'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64K"), Ok(65_536));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("2G"), Ok(2 << 30));
        for wrong in ["", "K", "-1", "1.5M"] {
            assert_eq!(size(wrong), Err(SIZE.to_owned()), "{wrong}");
        }
        assert!(size("1X").unwrap_err().contains("`X` is no unit"));
        assert!(size("99999999T").is_err());
    }

    #[test]
    fn modes_are_octal_and_have_no_execute_bits() {
        assert_eq!(mode("0640"), Ok(0o640));
        assert_eq!(mode("0o666"), Ok(0o666));
        for wrong in ["", "8", "+600", "0o+600", "0700", "01666", "rw"] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn groups_have_numbers_and_names() {
        assert_eq!(group("1234"), Ok(1234));
        assert_eq!(group("root"), Ok(0));
        assert!(group("no such group").is_err());
    }
}
