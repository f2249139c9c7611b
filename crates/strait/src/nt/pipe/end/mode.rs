//! How a handle's calls read and wait.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::channel::flow::Unit;
use crate::nt::pipe::completion::Port;
use crate::nt::pipe::end::ReadMode;

/// Read mode, blocking and completion queue of a handle; they outlive a connection.
#[derive(Debug, Default)]
pub(in crate::nt::pipe) struct Mode {
    bits: AtomicU8,
    port: Mutex<Option<Port>>,
}

const MESSAGE: u8 = 1;
const NOWAIT: u8 = 2;

impl Mode {
    /// A mode as [`bits`](Self::bits) told it.
    pub(in crate::nt::pipe) fn of(bits: u8) -> Self {
        Self {
            bits: AtomicU8::new(bits),
            port: Mutex::default(),
        }
    }

    #[inline]
    pub(in crate::nt::pipe) fn bits(&self) -> u8 {
        self.bits.load(Ordering::Relaxed)
    }

    /// Whether a pipe of messages, or of bytes, can be in that mode.
    pub(in crate::nt::pipe) fn is_known(bits: u8, message: bool) -> bool {
        bits & !(MESSAGE | NOWAIT) == 0 && (message || bits & MESSAGE == 0)
    }

    #[inline]
    pub(in crate::nt::pipe) fn read(&self) -> ReadMode {
        if self.bits() & MESSAGE != 0 {
            ReadMode::Message
        } else {
            ReadMode::Bytes
        }
    }

    #[inline]
    pub(in crate::nt::pipe) fn unit(&self) -> Unit {
        match self.read() {
            ReadMode::Bytes => Unit::Bytes,
            ReadMode::Message => Unit::Message,
        }
    }

    pub(in crate::nt::pipe) fn is_nowait(&self) -> bool {
        self.bits() & NOWAIT != 0
    }

    pub(in crate::nt::pipe) fn set_read(&self, mode: ReadMode) {
        self.set(MESSAGE, mode == ReadMode::Message);
    }

    pub(in crate::nt::pipe) fn set_nowait(&self, nowait: bool) {
        self.set(NOWAIT, nowait);
    }

    pub(in crate::nt::pipe) fn port(&self) -> Option<Port> {
        let port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        port.clone()
    }

    pub(in crate::nt::pipe) fn set_port(&self, port: Port) {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner) = Some(port);
    }

    fn set(&self, bit: u8, on: bool) {
        if on {
            self.bits.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.bits.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}
