//! One who speaks the channel's protocol by hand, and says in it what he likes.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use strait::channel::{Channel, Options};
use strait::nt::pipe;
use strait_sys::map::{Access, Map};
use strait_sys::{Errno, memfd, pass};

// Where things lie in a side's memory.
pub(crate) const HEAD: usize = 0;
pub(crate) const TAIL: usize = 128;
pub(crate) const STATE: usize = 640;
pub(crate) const RING: usize = 4096;
pub(crate) const PAGE: usize = 4096;

// What a record's header says.
pub(crate) const MORE: u64 = 1 << 32;
pub(crate) const TOTAL: u64 = 1 << 33;
pub(crate) const LOAN: u64 = 1 << 34;
pub(crate) const TORN: u64 = 1 << 35;

/// The role of a session that is a pipe; a plain channel's is 0.
pub(crate) const PIPE: u32 = 0x4550_4950;

/// The ring that a liar brings.
pub(crate) const CAPACITY: u64 = 64 << 10;

/// A message of the handshake, field by field.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u16,
    pub(crate) verb: u16,
    pub(crate) flags: u32,
    pub(crate) role: u32,
    pub(crate) code: u32,
    pub(crate) capacity: u64,
    pub(crate) block_len: u64,
    pub(crate) blocks: u32,
    pub(crate) door: u32,
    pub(crate) len: u32,
    pub(crate) end: [u8; 12],
    pub(crate) payload: Vec<u8>,
}

impl Greeting {
    pub(crate) const fn hello() -> Self {
        Self {
            magic: *b"STRAITCH",
            version: 1,
            verb: 0,
            flags: 0,
            role: 0,
            code: 0,
            capacity: CAPACITY,
            block_len: 0,
            blocks: 0,
            door: 0,
            len: 0,
            end: [0; 12],
            payload: Vec::new(),
        }
    }

    pub(crate) const fn welcome() -> Self {
        let mut greeting = Self::hello();
        greeting.verb = 1;
        greeting
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.verb.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.role.to_le_bytes());
        bytes.extend(self.code.to_le_bytes());
        bytes.extend(self.capacity.to_le_bytes());
        bytes.extend(self.block_len.to_le_bytes());
        bytes.extend(self.blocks.to_le_bytes());
        bytes.extend(self.door.to_le_bytes());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.end);
        bytes.extend(&self.payload);
        bytes
    }
}

/// Sealed memory of that many bytes, as a peer brings it.
pub(crate) fn memory(len: u64) -> OwnedFd {
    memfd::create_sparse(c"liar", len, 0, Mode::RUSR | Mode::WUSR).unwrap()
}

/// Memory for a ring of [`CAPACITY`].
pub(crate) fn proper() -> OwnedFd {
    memory(PAGE as u64 + CAPACITY)
}

pub(crate) fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

/// A socket that is connected there.
pub(crate) fn connected(path: &Path) -> rustix::io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// A socket to which others connect.
pub(crate) fn listening(path: &Path) -> OwnedFd {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    rustix::net::listen(&socket, 8).unwrap();
    socket
}

/// Sends a greeting with any descriptors.
pub(crate) fn greet(socket: &OwnedFd, bytes: &[u8], files: &[BorrowedFd<'_>]) {
    let flags = rustix::net::SendFlags::DONTWAIT;
    let sent = pass::send_message(socket.as_fd(), bytes, (files, None), None, flags);
    // One who was dropped by then is of no interest.
    let dropped = [Errno::PIPE, Errno::CONNRESET, Errno::AGAIN];
    assert!(sent.is_ok() || dropped.contains(&sent.unwrap_err()));
}

/// The connecting side of a session that began as it should.
pub(crate) struct Liar {
    pub(crate) socket: OwnedFd,
    pub(crate) file: OwnedFd,
    pub(crate) own: Map,
    pub(crate) theirs: Map,
    pub(crate) bells_file: OwnedFd,
    pub(crate) bells: Map,
    /// Where the next record goes.
    pub(crate) at: u64,
}

impl Liar {
    /// A session with a victim of this process.
    pub(crate) fn meet(options: &Options) -> (Self, Channel) {
        Self::meet_as(0, |socket| Channel::accept(socket, options).unwrap())
    }

    /// The writer of a pipe that a victim of this process reads.
    pub(crate) fn meet_reader() -> (Self, pipe::Reader) {
        Self::meet_as(PIPE, |socket| pipe::Reader::accept(socket).unwrap())
    }

    fn meet_as<T>(role: u32, accept: impl FnOnce(OwnedFd) -> T) -> (Self, T) {
        let (near, far) = pair();
        let file = Self::ask(&near, role);
        let victim = accept(far);
        (Self::begin(near, file).unwrap(), victim)
    }

    /// A session with whoever listens there.
    pub(crate) fn connect(path: &Path) -> Option<Self> {
        let socket = connected(path).ok()?;
        let file = Self::ask(&socket, 0);
        Self::begin(socket, file)
    }

    fn ask(socket: &OwnedFd, role: u32) -> OwnedFd {
        let file = proper();
        let looks = memfd::reopen_read_only(file.as_fd()).unwrap();
        let mut hello = Greeting::hello();
        hello.role = role;
        greet(socket, &hello.bytes(), &[looks.as_fd()]);
        file
    }

    fn begin(socket: OwnedFd, file: OwnedFd) -> Option<Self> {
        let (_, files) = pass::recv(socket.as_fd(), &mut [0; 8192], 3).ok()?;
        let [theirs, bells_file] = <[OwnedFd; 2]>::try_from(files).ok()?;
        let map = |file: &OwnedFd, access| {
            let len = rustix::fs::fstat(file).unwrap().st_size;
            Map::shared(file.as_fd(), 0, usize::try_from(len).unwrap(), access).unwrap()
        };
        Some(Self {
            own: map(&file, Access::Write),
            theirs: map(&theirs, Access::Read),
            bells: map(&bells_file, Access::Write),
            socket,
            file,
            bells_file,
            at: 0,
        })
    }

    pub(crate) fn put(&self, at: usize, value: u64) {
        let word = self.own.word::<u64>(at).unwrap();
        word.store(value, Ordering::Release);
    }

    /// How far the victim says that it has read.
    pub(crate) fn read_so_far(&self) -> u64 {
        let word = self.theirs.look::<u64>(TAIL).unwrap();
        word.load(Ordering::Acquire)
    }

    /// Where in the memory a position of the ring is.
    pub(crate) const fn place(at: u64) -> usize {
        RING + (at % CAPACITY) as usize
    }

    /// A record that nobody sees yet. Its bytes may be fewer than its header says.
    pub(crate) fn record(&mut self, header: u64, bytes: &[u8]) {
        self.put(Self::place(self.at), header);
        let at = Self::place(self.at + 8);
        let end = RING + usize::try_from(CAPACITY).unwrap();
        let (first, rest) = bytes.split_at(bytes.len().min(end - at));
        assert!(self.own.write(at, first) && self.own.write(RING, rest));
        self.at += 8 + (bytes.len() as u64).next_multiple_of(8);
    }

    pub(crate) fn publish(&self) {
        self.put(HEAD, self.at);
    }

    /// A message as it should be.
    pub(crate) fn message(&mut self, bytes: &[u8]) {
        self.record(bytes.len() as u64, bytes);
        self.publish();
    }
}

/// What is no memory of a peer's: each with what it is.
pub(crate) fn impostors() -> Vec<(&'static str, OwnedFd)> {
    let len = PAGE as u64 + CAPACITY;
    let unsealed = rustix::fs::memfd_create(c"unsealed", rustix::fs::MemfdFlags::ALLOW_SEALING);
    let unsealed = unsealed.unwrap();
    rustix::fs::ftruncate(&unsealed, len).unwrap();
    let half = unsealed.try_clone().unwrap();
    let (pipe, _) = rustix::pipe::pipe().unwrap();
    let path = std::env::temp_dir().join(format!("strait-impostor-{}", std::process::id()));
    let file = File::create(&path).unwrap();
    file.set_len(len).unwrap();
    std::fs::remove_file(path).unwrap();
    let open = |path| OwnedFd::from(File::open(path).unwrap());
    let by_path = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let named = rustix::fs::open("/dev/shm", by_path, Mode::empty()).unwrap();
    vec![
        ("unsealed memory", unsealed),
        ("memory without any seal", half),
        ("a pipe", pipe),
        ("a directory", open("/")),
        ("/dev/null", open("/dev/null")),
        ("/dev/zero", open("/dev/zero")),
        ("a file of the kernel's", open("/proc/self/mem")),
        ("a file", file.into()),
        ("a socket", pair().0),
        ("a name only", named),
    ]
}
