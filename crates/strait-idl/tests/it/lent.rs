//! What is read is lent from what it is read from: no byte of it is copied.

use std::borrow::Cow;
use std::future::{Future, ready};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use strait_wire::xdr::{from_slice, to_vec};

use crate::borrowed::lent_prog::v1::{AsyncClient, Client, Dispatcher, Service, procedures};
use crate::borrowed::{Branch, Content, Item, Kind, Node, Pedigree, Plain};
use crate::onc::{Context, Program, Refusal};
use crate::rpc::{self, now};

/// Where somebody's bytes are.
fn place(bytes: &[u8]) -> Range<usize> {
    let range = bytes.as_ptr_range();
    range.start.addr()..range.end.addr()
}

/// Looks where its arguments are.
#[derive(Default)]
struct Lender {
    /// The record, if it is known.
    record: Mutex<Option<Range<usize>>>,
}

impl Lender {
    #[track_caller]
    fn check(&self, bytes: &[u8]) {
        if let Some(record) = &*self.record.lock().unwrap() {
            let here = place(bytes);
            let inside = record.start <= here.start && here.end <= record.end;
            assert!(inside, "{here:?} is not in {record:?}");
        }
    }
}

type Done<T> = Result<T, Refusal>;

impl Service for Lender {
    fn keep(
        &self,
        _: &Context,
        item: Item<'_>,
    ) -> impl Future<Output = Done<Item<'static>>> + Send + use<> {
        self.check(item.name.as_bytes());
        for tag in item.tags.iter().chain(&item.pair) {
            self.check(tag.as_bytes());
        }
        match &item.holds {
            Content::Nothing => {}
            Content::Words(words) => self.check(words.as_bytes()),
            Content::Default(_, bytes) => self.check(bytes),
        }
        self.check(item.extra.as_deref().unwrap());
        ready(Ok(owned(item)))
    }

    fn length(
        &self,
        _: &Context,
        blob: Cow<'_, [u8]>,
    ) -> impl Future<Output = Done<u32>> + Send + use<> {
        self.check(&blob);
        let len = u32::try_from(blob.len()).unwrap();
        async move { Ok(len) }
    }

    fn join(
        &self,
        _: &Context,
        nodes: Vec<Node<'_>>,
        label: Cow<'_, str>,
    ) -> impl Future<Output = Done<Vec<Node<'static>>>> + Send + use<> {
        self.check(label.as_bytes());
        nodes.iter().for_each(|node| self.check(&node.part));
        let parts: Vec<&[u8]> = nodes.iter().map(|node| &*node.part).collect();
        let part = parts.join(label.as_bytes()).into();
        ready(Ok(vec![Node { part }]))
    }

    fn grow(
        &self,
        _: &Context,
        branch: Branch<'_>,
    ) -> impl Future<Output = Done<Branch<'static>>> + Send + use<> {
        self.check(branch.children[0].name.as_bytes());
        let name = branch.children[0].name.clone().into_owned().into();
        ready(Ok(Branch {
            name,
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
        _: (Pedigree<'_>, Vec<Pedigree<'_>>),
    ) -> impl Future<Output = Done<()>> + Send + use<> {
        self.check(label.as_bytes());
        ready(Ok(()))
    }
}

fn owned(item: Item<'_>) -> Item<'static> {
    let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    Item {
        name: text(item.name),
        holds: match item.holds {
            Content::Nothing => Content::Nothing,
            Content::Words(words) => Content::Words(text(words)),
            Content::Default(kind, bytes) => Content::Default(kind, bytes.into_owned().into()),
        },
        about: item.about,
        tags: item.tags.into_iter().map(text).collect(),
        pair: item.pair.map(text),
        extra: item.extra.map(|extra| extra.into_owned().into()),
    }
}

fn item(holds: Content<'_>) -> Item<'_> {
    Item {
        name: "an item".into(),
        holds,
        about: Plain {
            number: 7,
            id: *b"1234",
            numbers: vec![1, 2],
        },
        tags: vec!["red".into(), "round".into()],
        pair: ["left".into(), "right".into()],
        extra: Some(b"more"[..].into()),
    }
}

#[test]
fn arguments_stand_in_the_record_and_answers_outlive_it() {
    let program = Arc::new(Dispatcher(Lender::default()));
    let call = |procedure, args: Vec<u8>| {
        *program.0.record.lock().unwrap() = Some(place(&args));
        let answer = Arc::clone(&program).dispatch(Context, procedure, &args, Vec::new());
        // The record's memory is used again before the answer is waited for.
        drop(args);
        now(answer.unwrap()).unwrap()
    };
    for holds in [
        Content::Nothing,
        Content::Words("some".into()),
        Content::Default(Kind::Bytes, b"bytes"[..].into()),
    ] {
        let item = item(holds);
        let reply = call(procedures::KEEP, to_vec(&item).unwrap());
        assert_eq!(from_slice::<Item<'_>>(&reply).unwrap(), item);
    }
    let blob = [&[0, 0, 0, 8][..], b"12345678"].concat();
    assert_eq!(call(procedures::LENGTH, blob), [0, 0, 0, 8]);
}

#[test]
fn results_are_lent_to_a_closure() {
    let connection = rpc::Client::to(Dispatcher(Lender::default()));
    let client = Client::over(connection.clone());
    let sent = item(Content::Words("some".into()));
    let name = client.keep(&sent, |item| {
        assert!(matches!(item.name, Cow::Borrowed(_)));
        assert!(item.tags.iter().all(|tag| matches!(tag, Cow::Borrowed(_))));
        assert_eq!(item, sent);
        item.name.len()
    });
    assert_eq!(name, Ok(7));
    assert_eq!(client.length(&[1; 300]), Ok(300), "nothing to lend in it");
    let parts = [b"a", b"b"].map(|part| Node {
        part: part[..].into(),
    });
    let joined = client.join(&parts, "--", |nodes| nodes[0].part.to_vec());
    assert_eq!(joined.unwrap(), b"a--b");
    let leaf = |name: &'static str, children| Branch {
        name: name.into(),
        children,
    };
    let tree = leaf("root", vec![leaf("twig", Vec::new())]);
    let grown = client.grow(&tree, |branch| branch.name.into_owned());
    assert_eq!(grown.unwrap(), "twig");
    let name = client.name(|name| matches!(name, Cow::Borrowed("constant")));
    assert_eq!(name, Ok(true));
    let alone = (
        Pedigree {
            name: "x".into(),
            mother: Vec::new(),
        },
        Vec::new(),
    );
    client.touch("here", &alone).unwrap();

    let client = AsyncClient::over(connection);
    let len = now(client.keep(&sent, |item| item.name.len()));
    assert_eq!(len, Ok(7));
}
