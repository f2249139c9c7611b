//! Generated clients call generated dispatchers, within one process and without a wire.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use crate::kv::{self, Entry, GetResult, KvStatus, kv_prog};
use crate::lists::{self, Leaf, Node, Tree, lists_prog};
use crate::onc::{Context, Error, Procedure, Program, Refusal, xdr};
use crate::programs::{Colour, Point, many_prog, small_prog};

type Served = dyn Fn(u32, &[u8]) -> Result<Vec<u8>, Refusal> + Send + Sync;

/// A connection that is the server itself.
#[derive(Clone)]
pub(crate) struct Client {
    served: Arc<Served>,
    numbers: (u32, u32),
    limit: Option<Duration>,
}

pub(crate) type AsyncClient = Client;

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("limit", &self.limit)
            .finish()
    }
}

impl Client {
    pub(crate) fn to<P: Program>(program: P) -> Self {
        let program = Arc::new(program);
        let numbers = (program.program(), program.version());
        let served = move |procedure: u32, args: &[u8]| {
            let program = Arc::clone(&program);
            let lead = b"lead".to_vec();
            let answer = program.dispatch(Context, procedure, args, lead)?;
            let reply = now(answer)?;
            assert_eq!(&reply[..4], b"lead", "the reply is appended");
            Ok(reply[4..].to_vec())
        };
        Self {
            served: Arc::new(served),
            numbers,
            limit: None,
        }
    }

    fn raw(&self, procedure: u32, args: &[u8]) -> Result<Vec<u8>, Refusal> {
        (self.served)(procedure, args)
    }

    fn serve(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error>,
    ) -> Result<Vec<u8>, Error> {
        assert_eq!((procedure.program, procedure.version), self.numbers);
        let mut args = Vec::new();
        arguments(&mut xdr::Writer::new(&mut args)).map_err(Error::Codec)?;
        self.raw(procedure.number, &args).map_err(Error::Refused)
    }
}

impl crate::onc::Call for Client {
    fn call<R>(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error>,
        results: impl FnOnce(&mut xdr::Reader<'_>) -> Result<R, xdr::Error>,
    ) -> Result<R, Error> {
        let reply = self.serve(procedure, arguments)?;
        let mut from = xdr::Reader::new(&reply);
        let value = results(&mut from).map_err(Error::Codec)?;
        from.finish().map_err(Error::Codec)?;
        Ok(value)
    }

    fn call_oneway(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error>,
    ) -> Result<(), Error> {
        self.serve(procedure, arguments).map(drop)
    }

    fn within(&self, limit: Duration) -> Self {
        let limit = Some(limit);
        Self {
            limit,
            ..self.clone()
        }
    }
}

impl crate::onc::AsyncCall for Client {
    async fn call<R: Send>(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error> + Send,
        results: impl FnOnce(&mut xdr::Reader<'_>) -> Result<R, xdr::Error> + Send,
    ) -> Result<R, Error> {
        crate::onc::Call::call(self, procedure, arguments, results)
    }

    async fn call_oneway(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error> + Send,
    ) -> Result<(), Error> {
        crate::onc::Call::call_oneway(self, procedure, arguments)
    }

    fn within(&self, limit: Duration) -> Self {
        crate::onc::Call::within(self, limit)
    }
}

/// The end of a future that waits for nothing but once, for itself.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = TaskContext::from_waker(Waker::noop());
    for _ in 0..2 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the future waits for something");
}

async fn once_later() {
    let mut later = false;
    poll_fn(|_| match std::mem::replace(&mut later, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[derive(Debug, Default)]
struct Store(Mutex<Vec<(String, Vec<u8>)>>);

impl kv_prog::v1::Service for Store {
    async fn put(&self, _: &Context, key: kv::Key, value: kv::Value) -> Result<KvStatus, Refusal> {
        once_later().await;
        let mut all = self.0.lock().unwrap();
        if all.len() >= 2 {
            return Ok(KvStatus::KvFull);
        }
        all.push((key, value));
        Ok(KvStatus::KvOk)
    }

    async fn get(&self, _: &Context, key: kv::Key) -> Result<GetResult, Refusal> {
        let all = self.0.lock().unwrap();
        Ok(match all.iter().find(|(known, _)| *known == key) {
            Some((_, value)) => GetResult::KvOk(value.clone()),
            None => GetResult::Default(KvStatus::KvNotFound),
        })
    }

    async fn remove(&self, _: &Context, key: kv::Key) -> Result<bool, Refusal> {
        let mut all = self.0.lock().unwrap();
        let before = all.len();
        all.retain(|(known, _)| *known != key);
        Ok(all.len() < before)
    }

    async fn list(&self, _: &Context, prefix: kv::Key) -> Result<kv::Entries, Refusal> {
        let all = self.0.lock().unwrap();
        let found = all.iter().filter(|(key, _)| key.starts_with(&prefix));
        let entries = found.map(|(key, value)| Entry {
            name: key.clone(),
            length: u32::try_from(value.len()).unwrap(),
        });
        Ok(entries.collect())
    }

    async fn touch(&self, _: &Context, key: kv::Key) -> Result<(), Refusal> {
        self.0.lock().unwrap().push((key, Vec::new()));
        Ok(())
    }
}

#[test]
fn a_key_value_service_serves() {
    let connection = Client::to(kv_prog::v1::Dispatcher(Store::default()));
    let client = kv_prog::v1::Client::over(connection.clone());
    client.kv_null().unwrap();
    assert_eq!(client.put("a", b"123").unwrap(), KvStatus::KvOk);
    assert_eq!(client.get("a").unwrap(), GetResult::KvOk(b"123".to_vec()));
    let missing = client.get("b").unwrap();
    assert_eq!(missing, GetResult::Default(KvStatus::KvNotFound));
    assert_eq!(missing.discriminant(), KvStatus::KvNotFound);
    client.touch_oneway("ab").unwrap();
    assert_eq!(client.put("c", b"").unwrap(), KvStatus::KvFull);
    let names = client
        .list("a")
        .unwrap()
        .into_iter()
        .map(|entry| entry.name);
    assert_eq!(names.collect::<Vec<_>>(), ["a", "ab"]);
    assert!(client.within(Duration::from_secs(1)).remove("a").unwrap());

    let client = kv_prog::v1::AsyncClient::over(connection);
    now(client.kv_null()).unwrap();
    assert!(!now(client.remove("a")).unwrap());
    now(client.touch_oneway("z")).unwrap();
    assert_eq!(now(client.list("z")).unwrap().len(), 1);
}

#[test]
fn bounds_are_the_callers_error_and_garbage_the_callers_too() {
    let connection = Client::to(kv_prog::v1::Dispatcher(Store::default()));
    let client = kv_prog::v1::Client::over(connection.clone());
    let long = "k".repeat(256);
    assert!(matches!(client.get(&long), Err(Error::Codec(_))));
    let get = kv_prog::v1::procedures::GET;
    for garbage in [&b""[..], &[0, 0, 0, 9], &[0, 0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(connection.raw(get, garbage), Err(Refusal::GarbageArguments));
    }
    assert_eq!(connection.raw(0, b"1234"), Err(Refusal::GarbageArguments));
    assert_eq!(connection.raw(99, b""), Err(Refusal::ProcedureUnavailable));
    assert_eq!(connection.raw(0, b""), Ok(Vec::new()));
}

struct Lists;

impl lists_prog::v1::Service for Lists {
    async fn reverse(&self, _: &Context, mut nodes: lists::Nodes) -> Result<lists::Nodes, Refusal> {
        nodes.reverse();
        Ok(nodes)
    }

    async fn append(
        &self,
        _: &Context,
        mut node: (Node, Vec<Node>),
        leaves: Vec<Leaf>,
    ) -> Result<(Node, Vec<Node>), Refusal> {
        node.1.extend(leaves.into_iter().map(|leaf| Node {
            number: leaf.number,
        }));
        Ok(node)
    }

    async fn mirror(
        &self,
        _: &Context,
        tree: lists::PerhapsTree,
    ) -> Result<lists::PerhapsTree, Refusal> {
        Ok(tree.map(|tree| Tree {
            left: tree.right_hand,
            right_hand: tree.left,
            ..tree
        }))
    }

    async fn grow(&self, _: &Context, tree: Option<Tree>) -> Result<Option<Tree>, Refusal> {
        Ok(Some(Tree {
            left: tree.map(Box::new),
            ..Tree::default()
        }))
    }
}

#[test]
fn lists_and_trees_go_as_arguments_and_results() {
    let connection = Client::to(lists_prog::v1::Dispatcher(Lists));
    let client = lists_prog::v1::Client::over(connection);
    let node = |number| Node { number };
    let reversed = client.reverse(&[node(1), node(2)]).unwrap();
    assert_eq!(reversed, [node(2), node(1)]);
    let chain = client
        .append(&(node(1), vec![]), &[Leaf { number: 5 }])
        .unwrap();
    assert_eq!(chain, (node(1), vec![node(5)]));
    assert_eq!(client.mirror(&None).unwrap(), None);
    let grown = client.grow(&client.grow(&None).unwrap()).unwrap().unwrap();
    let mirrored = client.mirror(&Some(grown.clone())).unwrap().unwrap();
    assert_eq!(mirrored.right_hand, grown.left);
    assert_ne!(mirrored.right_hand, None);
}

struct Small;

impl small_prog::v1::Service for Small {
    async fn do_nothing(&self, _: &Context) -> Result<(), Refusal> {
        Ok(())
    }
}

impl small_prog::v3::Service for Small {
    async fn do_nothing(&self, _: &Context) -> Result<(), Refusal> {
        Err(Refusal::SystemError)
    }

    async fn add(&self, _: &Context, one: i32, two: i32) -> Result<i32, Refusal> {
        one.checked_add(two).ok_or(Refusal::SystemError)
    }
}

#[test]
fn versions_are_apart() {
    let first = small_prog::v1::Client::over(Client::to(small_prog::v1::Dispatcher(Small)));
    first.do_nothing().unwrap();
    let third = small_prog::v3::Client::over(Client::to(small_prog::v3::Dispatcher(Small)));
    assert_eq!(
        third.do_nothing(),
        Err(Error::Refused(Refusal::SystemError))
    );
    assert_eq!(third.add(40, 2), Ok(42));
    assert_eq!((small_prog::PROGRAM, small_prog::v3::VERSION), (99, 3));
}

#[test]
fn numbers_of_programs_are_those_of_the_file() {
    assert_eq!(many_prog::PROGRAM, 0x2fff_ffff);
    assert_eq!(many_prog::v1::procedures::THREE, 3);
    assert_eq!(kv_prog::PROGRAM, 0x2000_0042);
    let (red, point) = (Colour::default(), Point::default());
    assert_eq!((red, point.x), (Colour::Red, 0));
}
