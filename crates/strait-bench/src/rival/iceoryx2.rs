//! `rival.iceoryx2.*`: its events, its requests, polled for and woken by events, and its
//! publish-subscribe.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Release};

use iceoryx2::port::client::Client;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::server::Server;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    BackpressureStrategy, LogLevel, Node, NodeBuilder, ServiceName, ipc, set_log_level,
};
use strait_sys::map::Map;

use crate::channel::{balanced, sum};
use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Carries, Failure, Job, Measure, Mechanism, Outcome, Side, Site, Waits};

/// A payload: what small messages are in all rows.
type Message = [u8; 64];

const NO_PORT: &str = "the other side has this port";
/// Samples that a subscriber has room for.
const BUFFER: usize = 256;

fn node() -> Outcome<Node<ipc::Service>> {
    set_log_level(LogLevel::Error);
    Ok(NodeBuilder::new().create()?)
}

/// The name of a service of this row alone.
fn service(site: &Site<'_>, what: &str) -> Outcome<ServiceName> {
    let name = format!("{}/{what}", site.place()?.display());
    Ok(ServiceName::new(&name)?)
}

/// Returns on both sides when both have come here.
fn meet(site: &Site<'_>) -> Outcome<()> {
    site.tell(&[0])?;
    site.hear().map(drop)
}

fn message(bytes: &[u8]) -> Outcome<Message> {
    Ok(bytes.try_into()?)
}

fn put(came: &[u8], buffer: &mut [u8]) -> Outcome<usize> {
    let room = buffer.get_mut(..came.len());
    room.ok_or_else(|| Failure::check("longer than sent"))?
        .copy_from_slice(came);
    Ok(came.len())
}

/// An event each way, and the memory that holds the numbers.
pub(super) struct Event {
    to: Notifier<ipc::Service>,
    from: Listener<ipc::Service>,
    map: Map,
    own: usize,
    other: usize,
    _node: Node<ipc::Service>,
}

impl Event {
    fn wait(&self) -> Outcome<()> {
        // A wait may end without an event.
        while self.from.blocking_wait(|_| {})? == 0 {}
        Ok(())
    }
}

impl Mechanism for Event {
    const ID: &'static str = "rival.iceoryx2.event";
    const ABOUT: &'static str = "iceoryx2, notify and wait";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let map = site.memory(PAGE)?;
        let (own, other) = offsets(site.side());
        let node = node()?;
        let event = |name: &str| {
            let builder = node.service_builder(&service(site, name)?).event();
            Ok::<_, Failure>(builder.open_or_create()?)
        };
        let (there, back) = (event("there")?, event("back")?);
        let (to, from) = match site.side() {
            Side::Near => (there, back),
            Side::Far => (back, there),
        };
        let from = from.listener_builder().create()?;
        meet(site)?;
        let to = to.notifier_builder().create()?;
        Ok(Self {
            to,
            from,
            map,
            own,
            other,
            _node: node,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, self.own).store(number(message), Release);
        self.to.notify()?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.wait()?;
        let number = word(&self.map, self.other).load(Acquire);
        Ok(put_number(buffer, number))
    }
}

/// Near is the client, far the server, and each polls for the other.
pub(super) struct Request {
    client: Option<Client<ipc::Service, Message, (), Message, ()>>,
    server: Option<Server<ipc::Service, Message, (), Message, ()>>,
    _node: Node<ipc::Service>,
}

impl Request {
    /// `sent` is called when the request is on its way, `arrive` before each look for the response.
    fn ask(
        &self,
        request: &[u8],
        reply: &mut [u8],
        mut sent: impl FnMut() -> Outcome<()>,
        mut arrive: impl FnMut() -> Outcome<()>,
    ) -> Outcome<usize> {
        let client = self.client.as_ref().ok_or_else(|| Failure::new(NO_PORT))?;
        let pending = client.send_copy(message(request)?)?;
        sent()?;
        loop {
            arrive()?;
            if let Some(response) = pending.receive()? {
                return put(response.payload(), reply);
            }
        }
    }

    fn answer(
        &self,
        buffer: &mut [u8],
        reply: &[u8],
        mut arrive: impl FnMut() -> Outcome<()>,
    ) -> Outcome<usize> {
        let server = self.server.as_ref().ok_or_else(|| Failure::new(NO_PORT))?;
        loop {
            arrive()?;
            if let Some(request) = server.receive()? {
                let len = put(request.payload(), buffer)?;
                request.send_copy(message(reply)?)?;
                return Ok(len);
            }
        }
    }
}

fn polled() -> Outcome<()> {
    spin_loop();
    Ok(())
}

impl Mechanism for Request {
    const ID: &'static str = "rival.iceoryx2.request";
    const ABOUT: &'static str = "iceoryx2, request and response, both sides polling";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const WAITS: Waits = Waits::Polls;
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let node = node()?;
        let builder = node.service_builder(&service(site, "request")?);
        let service = builder.request_response::<Message, Message>();
        let service = service.open_or_create()?;
        let (mut client, mut server) = (None, None);
        match site.side() {
            Side::Near => client = Some(service.client_builder().create()?),
            Side::Far => server = Some(service.server_builder().create()?),
        }
        meet(site)?;
        Ok(Self {
            client,
            server,
            _node: node,
        })
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        self.ask(request, reply, || Ok(()), polled)
    }

    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        self.answer(buffer, reply, polled)
    }
}

/// The same with an event each way to wake the other.
pub(super) struct Blocking {
    request: Request,
    event: Event,
}

impl Mechanism for Blocking {
    const ID: &'static str = "rival.iceoryx2.request.blocking";
    const ABOUT: &'static str = "iceoryx2, request and response, an event for each";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self {
            request: Request::open(site)?,
            event: Event::open(site)?,
        })
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        let Self {
            request: port,
            event,
        } = self;
        let sent = || Ok(event.to.notify().map(drop)?);
        port.ask(request, reply, sent, || event.wait())
    }

    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        let Self { request, event } = self;
        let len = request.answer(buffer, reply, || event.wait())?;
        event.to.notify()?;
        Ok(len)
    }
}

/// Far publishes, near polls. Nothing is lost: a publisher waits for room.
pub(super) struct Publish {
    publisher: Option<Publisher<ipc::Service, [u8], ()>>,
    subscriber: Option<Subscriber<ipc::Service, [u8], ()>>,
    _node: Node<ipc::Service>,
}

impl Mechanism for Publish {
    const ID: &'static str = "rival.iceoryx2.publish";
    const ABOUT: &'static str = "iceoryx2, publish and subscribe, copied in and out, polling";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::ONEWAY, Job::BANDWIDTH];
    const WAITS: Waits = Waits::Polls;
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let node = node()?;
        let builder = node.service_builder(&service(site, "publish")?);
        let builder = builder.publish_subscribe::<[u8]>();
        let builder = builder.enable_safe_overflow(false);
        let service = builder
            .subscriber_max_buffer_size(BUFFER)
            .open_or_create()?;
        let (mut publisher, mut subscriber) = (None, None);
        match site.side() {
            Side::Near => subscriber = Some(service.subscriber_builder().create()?),
            Side::Far => {
                let builder = service.publisher_builder();
                let builder = builder.initial_max_slice_len(site.job().size);
                let wait = BackpressureStrategy::RetryUntilDelivered;
                publisher = Some(builder.backpressure_strategy(wait).create()?);
            }
        }
        meet(site)?;
        Ok(Self {
            publisher,
            subscriber,
            _node: node,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        let publisher = self.publisher.as_ref();
        let publisher = publisher.ok_or_else(|| Failure::new(NO_PORT))?;
        let sample = publisher.loan_slice_uninit(message.len())?;
        sample.write_from_slice(message).send()?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let subscriber = self.subscriber.as_ref();
        let subscriber = subscriber.ok_or_else(|| Failure::new(NO_PORT))?;
        loop {
            if let Some(sample) = subscriber.receive()? {
                return put(sample.payload(), buffer);
            }
            spin_loop();
        }
    }
}

/// The same with the message read where it lies.
pub(super) struct Loan {
    publish: Publish,
    message: Vec<u8>,
}

impl Mechanism for Loan {
    const ID: &'static str = "rival.iceoryx2.loan";
    const ABOUT: &'static str = "iceoryx2, copied into a sample and summed in place, polling";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[Job::sized(Measure::Bandwidth, 1 << 20)];
    const WAITS: Waits = Waits::Polls;
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let message = balanced(site.job().size);
        Ok(Self {
            publish: Publish::open(site)?,
            message,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.message[..8].copy_from_slice(message);
        self.publish.send(&self.message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let subscriber = self.publish.subscriber.as_ref();
        let subscriber = subscriber.ok_or_else(|| Failure::new(NO_PORT))?;
        loop {
            if let Some(sample) = subscriber.receive()? {
                return put(&sum(sample.payload()).to_le_bytes(), buffer);
            }
            spin_loop();
        }
    }
}
