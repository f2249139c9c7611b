//! What the compiler makes of a `.x` file with lent strings and opaque data, over sockets: handlers
//! and callers are lent what stands in the message.

use std::borrow::Cow;
use std::future::{Future, ready};
use std::path::Path;

use strait::rpc::onc::{Client as Connection, Context, Refusal, Server};

use self::borrowed::lent_prog::v1::{AsyncClient, Client, Dispatcher, Service};
use self::borrowed::{Branch, Content, Item, Kind, Node, Pedigree, Plain};
use crate::peer::{Peer, Role, say, told};
use crate::world::GUARD;

#[allow(
    dead_code,
    unreachable_pub,
    reason = "generated code, of which not all is used here"
)]
mod borrowed {
    include!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../strait-idl/tests/golden/borrowed.rs.txt"
    ));
}

pub(crate) const ROLES: &[(&str, Role)] = &[("onc.lent", serve)];

type Done<T> = Result<T, Refusal>;

/// Refuses what it is not lent.
struct Lender;

#[expect(clippy::ptr_arg, reason = "whether it is lent is what is asked")]
fn check<T: ToOwned + ?Sized>(value: &Cow<'_, T>) -> Done<()> {
    match value {
        Cow::Borrowed(_) => Ok(()),
        Cow::Owned(_) => Err(Refusal::SystemError),
    }
}

fn owned<T: ToOwned + ?Sized>(value: Cow<'_, T>) -> Cow<'static, T> {
    Cow::Owned(value.into_owned())
}

/// The same, once all that can be is found to be lent.
fn kept(item: Item<'_>) -> Done<Item<'static>> {
    check(&item.name)?;
    item.tags.iter().chain(&item.pair).try_for_each(check)?;
    item.extra.iter().try_for_each(check)?;
    let holds = match item.holds {
        Content::Nothing => Content::Nothing,
        Content::Words(words) => check(&words).map(|()| Content::Words(owned(words)))?,
        Content::Default(kind, bytes) => {
            check(&bytes).map(|()| Content::Default(kind, owned(bytes)))?
        }
    };
    Ok(Item {
        name: owned(item.name),
        holds,
        about: item.about,
        tags: item.tags.into_iter().map(owned).collect(),
        pair: item.pair.map(owned),
        extra: item.extra.map(owned),
    })
}

fn joined(nodes: &[Node<'_>], label: &str) -> Done<Vec<Node<'static>>> {
    nodes.iter().try_for_each(|node| check(&node.part))?;
    let parts: Vec<&[u8]> = nodes.iter().map(|node| &*node.part).collect();
    let part = parts.join(label.as_bytes()).into();
    Ok(vec![Node { part }])
}

impl Service for Lender {
    fn keep(
        &self,
        _: &Context,
        item: Item<'_>,
    ) -> impl Future<Output = Done<Item<'static>>> + Send + use<> {
        let kept = kept(item);
        async move {
            // The record's memory is another call's by then.
            tokio::task::yield_now().await;
            kept
        }
    }

    fn length(
        &self,
        _: &Context,
        blob: Cow<'_, [u8]>,
    ) -> impl Future<Output = Done<u32>> + Send + use<> {
        ready(check(&blob).map(|()| blob.len() as u32))
    }

    fn join(
        &self,
        _: &Context,
        nodes: Vec<Node<'_>>,
        label: Cow<'_, str>,
    ) -> impl Future<Output = Done<Vec<Node<'static>>>> + Send + use<> {
        ready(check(&label).and_then(|()| joined(&nodes, &label)))
    }

    fn grow(
        &self,
        _: &Context,
        branch: Branch<'_>,
    ) -> impl Future<Output = Done<Branch<'static>>> + Send + use<> {
        let twig = &branch.children[0].name;
        ready(check(twig).map(|()| Branch {
            name: owned(twig.clone()),
            children: Vec::new(),
        }))
    }

    async fn same(&self, _: &Context, plain: Plain) -> Done<Plain> {
        Ok(plain)
    }

    async fn name(&self, _: &Context) -> Done<Cow<'static, str>> {
        Ok("constant".into())
    }

    fn touch(
        &self,
        _: &Context,
        label: Cow<'_, str>,
        (pedigree, _): (Pedigree<'_>, Vec<Pedigree<'_>>),
    ) -> impl Future<Output = Done<()>> + Send + use<> {
        ready(check(&label).and_then(|()| check(&pedigree.name)))
    }
}

/// Serves over TCP, UDP and a local socket of that path, until its input ends.
fn serve(arguments: &[String]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let running = runtime.block_on(async {
        let mut server = Server::new();
        server.add(Dispatcher(Lender));
        let any = "127.0.0.1:0".parse().unwrap();
        let (tcp, udp) = (server.tcp(any).await.unwrap(), server.udp(any).await);
        server.local(&arguments[0], 0o600).await.unwrap();
        say(tcp);
        say(udp.unwrap());
        server.start()
    });
    told();
    drop(running);
}

fn item(holds: Content<'_>) -> Item<'_> {
    Item {
        name: "an item".into(),
        holds,
        about: Plain {
            number: -7,
            id: *b"1234",
            numbers: vec![1, 2],
        },
        tags: vec!["red".into(), "round".into()],
        pair: ["left".into(), "right".into()],
        extra: Some(b"more"[..].into()),
    }
}

/// Whether all that may be is lent.
fn is_lent(item: &Item<'_>) -> bool {
    let mut texts = item.tags.iter().chain(&item.pair).chain([&item.name]);
    texts.all(|text| matches!(text, Cow::Borrowed(_)))
        && matches!(item.extra, Some(Cow::Borrowed(_)))
}

const HOLDS: [Content<'_>; 3] = [
    Content::Nothing,
    Content::Words(Cow::Borrowed("some")),
    Content::Default(Kind::Bytes, Cow::Borrowed(b"bytes")),
];

fn call(connection: Connection, how: &str) {
    let client = Client::over(connection);
    for holds in HOLDS {
        let sent = item(holds);
        let lent = client.keep(&sent, |came| is_lent(&came) && came == sent);
        assert!(lent.unwrap(), "{how}: {sent:?}");
    }
    let parts = [b"a", b"b"].map(|part| Node {
        part: part[..].into(),
    });
    let joined = client.join(&parts, "--", |nodes| nodes[0].part.to_vec());
    assert_eq!(joined.unwrap(), b"a--b", "{how}");
    let leaf = |name: &'static str, children| Branch {
        name: name.into(),
        children,
    };
    let tree = leaf("root", vec![leaf("twig", Vec::new())]);
    let grown = client.grow(&tree, |branch| branch.name.into_owned());
    assert_eq!(grown.unwrap(), "twig", "{how}");
    let name = client.name(|name| matches!(name, Cow::Borrowed("constant")));
    assert!(name.unwrap(), "{how}");
    let about = item(Content::Nothing).about;
    assert_eq!(client.same(&about).unwrap(), about, "{how}");
    let alone = Pedigree {
        name: "x".into(),
        mother: Vec::new(),
    };
    client.touch("here", &(alone, Vec::new())).unwrap();
    let len = if how == "udp" { 60_000 } else { 3_000_000 };
    let blob: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    assert_eq!(client.length(&blob).unwrap(), len, "{how}");
}

#[test]
fn handlers_and_callers_are_lent_what_stands_in_messages() {
    let place = std::env::temp_dir().join(format!("strait-lent-{}", std::process::id()));
    let path = place.with_extension("sock");
    let mut server = Peer::start("onc.lent", &[path.to_str().unwrap()]);
    let (tcp, udp) = (server.hear().unwrap(), server.hear().unwrap());
    let options = || Connection::options().timeout(GUARD);
    call(options().tcp(&*tcp).unwrap(), "tcp");
    call(options().udp(&*udp).unwrap(), "udp");
    call(options().local(&path).unwrap(), "local");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = AsyncClient::over(options().local_async(&path).await.unwrap());
        for holds in HOLDS {
            let sent = item(holds);
            let lent = client.keep(&sent, |came| is_lent(&came) && came == sent);
            assert!(lent.await.unwrap(), "{sent:?}");
        }
    });
    assert!(server.finish().success());
    assert!(!Path::new(&path).exists(), "it goes with its server");
}
