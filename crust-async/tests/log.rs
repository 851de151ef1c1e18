//! What a node logs, as a subscriber hears it.

mod world;

use std::fmt::{Debug, Write};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use crust_async::proto::Duration;
use crust_async::{Node, Priority};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use world::{Pair, World};

/// All events, one a line: the spans that each stands in from the outermost on, its level, its fields.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

/// ` name=value` for each field.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Heard {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = String::new();
        for span in context.event_scope(event).unwrap().from_root() {
            write!(line, "{}{{{}}} ", span.name(), &span.extensions().get::<Fields>().unwrap().0[1..])
                .unwrap();
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(line, "{}{}", event.metadata().level(), fields.0).unwrap();
        self.0.lock().unwrap().push(line);
    }
}

impl Heard {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The lines in which this happens.
    fn of(&self, what: &str) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| line.contains(&format!(" message={what}")));
        lines
    }
}

/// Runs a story in a world, and says what was heard of it.
fn heard<F: Future<Output = ()>>(story: impl FnOnce(World, Heard) -> F) -> Heard {
    let heard = Heard::default();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(heard.clone()), || {
        let world = World::new();
        world.block_on(story(world.clone(), heard.clone()));
    });
    heard
}

fn node_span(node: &Node) -> String {
    format!("node{{node={}}} ", node.peer_id())
}

#[test]
fn a_connection_has_a_span_that_names_its_peer_in_the_span_of_its_node() {
    heard(|world, heard| async move {
        let Pair { a, b, ab, ba } = world.pair().await;
        ab.send_message(Priority::default(), b"never to be logged").await.unwrap();
        ba.recv_message().await.unwrap();
        ab.close(7, b"had enough");
        ab.closed().await;
        ba.closed().await;
        world.sleep(Duration::from_secs(1)).await;

        for (node, peer, incoming, reason) in [
            (&a, &b, "false", "closed here (code 7)"),
            (&b, &a, "true", "closed by the peer (code 7: had enough)"),
        ] {
            let (node, peer) = (node_span(node), peer.peer_id());
            let connection = format!("{node}connection{{peer={peer} session=SessionId(");
            let begins = |lines: &[String], end: &str| {
                lines.iter().filter(|line| line.starts_with(&connection) && line.ends_with(end)).count()
            };
            let connected = format!("DEBUG message=connected incoming={incoming}");
            assert_eq!(begins(&heard.of("connected"), &connected), 1, "{:#?}", heard.lines());
            let closed = format!("DEBUG message=closed reason={reason}");
            assert_eq!(begins(&heard.of("closed"), &closed), 1, "{:#?}", heard.lines());
        }
        assert!(heard.lines().iter().all(|line| line.starts_with("node{")), "{:#?}", heard.lines());
        assert!(!heard.lines().concat().contains("never to be logged"));
    });
}

#[test]
fn addresses_that_cannot_be_bound_and_sends_that_fail_are_told_with_what_the_system_says() {
    let heard = heard(|world, heard| async move {
        let taken = (Ipv6Addr::LOCALHOST, 0).into();
        world.builder().listen(taken).bind().await.unwrap_err();
        let failed = heard.of("cannot listen");
        assert_eq!(failed.len(), 1, "{failed:#?}");
        let error = io::Error::from(io::ErrorKind::AddrInUse);
        assert!(failed[0].ends_with(&format!("local=[::1]:0 error=\"{error}\"")), "{failed:#?}");
        assert_eq!(heard.of("listening").len(), 1);

        let node = world.node().await;
        world.fail_sends(Some(|| io::ErrorKind::NetworkUnreachable.into()));
        node.connect(std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 9))).await.unwrap_err();
        let failed = heard.of("send failed");
        assert!(!failed.is_empty());
        let error = io::Error::from(io::ErrorKind::NetworkUnreachable);
        for line in &failed {
            assert!(line.starts_with(&format!("{}DEBUG", node_span(&node))), "{line}");
            assert!(line.contains(" to=127.0.0.1:9 ") && line.contains(" cause=Unreachable "), "{line}");
            assert!(line.ends_with(&format!(" error={error}")), "{line}");
        }
    });
    assert!(!heard.lines().is_empty());
}

#[test]
fn a_subscriber_that_uses_the_node_finds_the_lock_open() {
    struct Curious(Arc<Mutex<Option<Node>>>);

    impl Curious {
        fn look(&self) {
            // Only one look at a time: looking may log, too.
            let Ok(node) = self.0.try_lock() else { return };
            if let Some(node) = &*node {
                node.stats();
            }
        }
    }

    impl<S: Subscriber> Layer<S> for Curious {
        fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            self.look();
        }

        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.look();
        }

        fn on_close(&self, _: Id, _: Context<'_, S>) {
            self.look();
        }
    }

    let curious = Arc::new(Mutex::new(None));
    let subscriber = tracing_subscriber::registry().with(Curious(curious.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let world = World::new();
        world.block_on(async {
            let (a, b) = (world.node().await, world.node().await);
            *curious.lock().unwrap() = Some(a.clone());
            let ab = a.connect(b.contact()).await.unwrap();
            let ba = b.accept().await.unwrap();
            ab.close(0, b"");
            ba.closed().await;
            a.shutdown(0, b"").await;
        });
        // The last handle goes while nobody looks.
        let node = curious.lock().unwrap().take();
        drop(node);
    });
}
