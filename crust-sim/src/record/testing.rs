//! A run to be looked at: a transfer between two sites, with loss, and a NAT that reboots in the midst of it.

use crust_proto::Duration;

use super::Recorder;
use crate::{Internet, Kind, LinkConfig, Sim, SiteConfig};

/// Runs it. The hash over everything that happened.
pub(crate) fn transfer(seed: u64, bytes: usize, recorder: Option<&Recorder>) -> [u8; 32] {
    let sim = Sim::new(seed);
    let wire = LinkConfig {
        loss: 20_000,
        rate: Some(8_000_000),
        queue: 60_000,
        ..LinkConfig::with_latency(Duration::from_millis(15))
    };
    let (alice, bob, home, office) = {
        let mut world = sim.world();
        let mut internet = Internet::new(&mut world);
        let mut home = internet.site(&mut world, &SiteConfig::of(Kind::PortRestricted, wire));
        let mut office = internet.site(&mut world, &SiteConfig::of(Kind::Open, wire));
        (home.host(&mut world), office.host(&mut world), home.routers[0], office.routers[0])
    };
    if let Some(recorder) = recorder {
        recorder.watch(&sim);
        let names = [(alice, "alice"), (home, "home's NAT"), (office, "office's router"), (bob, "bob")];
        names.into_iter().for_each(|(host, name)| recorder.name(host, name));
    }
    let builder = |host| match recorder {
        Some(recorder) => sim.builder(host).provider(recorder.provider()),
        None => sim.builder(host),
    };
    sim.run(async {
        let (a, b) = (builder(alice).bind().await.unwrap(), builder(bob).bind().await.unwrap());
        let to = a.connect(b.contact()).await.unwrap();
        let from = b.accept().await.unwrap();
        if let Some(recorder) = recorder {
            recorder.connection("alice to bob", &to);
            recorder.connection("bob to alice", &from);
            recorder.note(None, "connected");
        }
        let mut stream = to.open_uni().await.unwrap();
        sim.spawn(alice, async move {
            let _ = stream.write_all(&vec![7; bytes]).await;
            let _ = stream.finish();
            to.closed().await;
        });
        let mut stream = from.accept_uni().await.unwrap();
        let mut half = vec![0; bytes / 2];
        stream.read_exact(&mut half).await.unwrap();
        sim.world().reboot_middleboxes(home);
        if let Some(recorder) = recorder {
            recorder.note(Some(home), "reboots, and forgets its mappings");
        }
        assert_eq!(stream.read_to_end(bytes).await.unwrap().len(), bytes - half.len());
        if let Some(recorder) = recorder {
            recorder.note(Some(bob), "has it all");
        }
        sim.sleep(Duration::from_secs(1)).await;
    });
    sim.world().hash()
}
