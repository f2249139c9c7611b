//! Where a survey ran.

use std::fs;

use serde::Serialize;

/// The machine, as far as figures depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// CPUs that this process may use.
    pub cpus: usize,
    /// The CPUs' model.
    pub model: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Whether the CPUs are a hypervisor's.
    #[serde(rename = "virtual")]
    pub is_virtual: bool,
}

impl Machine {
    /// This machine. What /proc does not say is `unknown`.
    #[must_use]
    pub fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        Self {
            cpus: strait_sys::cpu::count(),
            model: field(&info, "model name")
                .or_else(|| field(&info, "CPU part"))
                .unwrap_or("unknown")
                .to_owned(),
            kernel,
            is_virtual: is_virtual(&info),
        }
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// On x86 a CPU says so itself; elsewhere the firmware's name gives it away.
fn is_virtual(info: &str) -> bool {
    let flagged = field(info, "flags")
        .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"));
    flagged || fs::exists("/sys/hypervisor/type").unwrap_or(false)
}

#[cfg(test)]
mod tests {
    //! The kernel's text, and this machine.

    use super::*;

    #[test]
    fn cpuinfo_is_understood() {
        let info = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(info, "model name"), Some("Some CPU @ 3 GHz"));
        assert!(is_virtual(info));
        assert_eq!(field("", "flags"), None);
    }

    #[test]
    fn this_machine_has_a_cpu_and_a_kernel() {
        let machine = Machine::here();
        assert!(machine.cpus >= 1);
        assert!(!machine.kernel.is_empty() && !machine.model.is_empty());
    }
}
