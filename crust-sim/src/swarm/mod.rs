//! Worlds full of faults, from one number each: faults are drawn, then they stop, and everything must converge.
//!
//! # A run
//!
//! 1. The seed draws sites, wires, nodes and their configurations, who wants whom, how much they send, and which kinds
//!    of faults there are, each as often as the seed says: some are off wholly, so that what only they hide is seen.
//! 2. The *storm*: applications dial, talk, hang up and dial again, while faults come and go. [`Checks`] look at every
//!    step, the applications at every byte that they read.
//! 3. The *calm*: everything is as it should be again. Within [`CONVERGES`] every pair that can be connected is, heard at both
//!    ends, whatever was under way on connections that live is done, and pairs that can't be connected were told so.
//! 4. *Closing*: applications close what they have. Within [`CLOSES`] no node holds anything, and from then on nobody
//!    sends or hears anything.
//! 5. *Leaving*: nodes are shut down, or dropped. Soon no program, no socket and no timer is left.
//!
//! What does not hold is the report's failure, with what was drawn, and when.
//!
//! ```
//! let report = crust_sim::swarm::run(7, None);
//! assert_eq!(report.failure, None, "{:#?}", report.setting);
//! ```

mod app;
mod faults;
mod hear;
mod ledger;
mod setting;
mod speak;
mod wait;

use crust_async::proto::SecretKey;
use crust_proto::{Duration, Instant};

use self::app::Apps;
use self::faults::{Effect, Fault, strike, undo};
use self::ledger::{Meeting, Phase};
use self::setting::Setting;
use crate::caught::caught;
use crate::checks::Checks;
use crate::record::Recorder;
use crate::{Power, Rng, Sim, World};

/// Within so much time after the last fault everything must be well: the longest idle timeout, and then several
/// attempts to connect.
pub const CONVERGES: Duration = Duration::from_secs(180);
/// Within so much time nodes without connections must hold nothing: half-open handshakes last longest.
pub const CLOSES: Duration = Duration::from_secs(100);
/// For so long nothing must happen then, at nodes that have nobody to talk to.
const QUIET: Duration = Duration::from_secs(30);
/// Within so much time nodes must end.
const LEAVES: Duration = Duration::from_secs(60);
/// How often it is looked whether everything is as it should be.
const LOOK: Duration = Duration::from_secs(1);

/// What came of a swarm.
#[derive(Clone, Debug, Default)]
pub struct SwarmReport {
    /// The seed of this run.
    pub seed: u64,
    /// The hash over everything that happened.
    pub hash: [u8; 32],
    /// How long it took, in the world's time.
    pub elapsed: Duration,
    /// UDP datagrams that hosts sent.
    pub datagrams: u64,
    /// How many steps the world took, each looked at.
    pub steps: u64,
    /// How many faults happened.
    pub faults: u64,
    /// What was drawn: sites, links, which faults are on and how strong.
    pub setting: Vec<String>,
    /// What did not hold, when and where; `None`: everything did.
    pub failure: Option<String>,
}

/// Runs the swarm of a seed. A panic inside is a failure like any other.
pub fn run(seed: u64, recorder: Option<&Recorder>) -> SwarmReport {
    run_in(seed, recorder, |_, _| {})
}

/// The same in a world, or from a setting, that was changed before it begins.
fn run_in(
    seed: u64,
    recorder: Option<&Recorder>,
    change: impl FnOnce(&mut World, &mut Setting),
) -> SwarmReport {
    let sim = Sim::new(seed);
    let mut report = SwarmReport { seed, ..SwarmReport::default() };
    let result = caught(|| {
        let mut swarm = Swarm::new(&sim, recorder, change);
        report.setting.clone_from(&swarm.setting.lines);
        let failure = sim.run(swarm.play()).err();
        (failure, swarm.struck.len() as u64, swarm.checks.steps())
    });
    match result {
        Ok((failure, faults, steps)) => {
            (report.failure, report.faults, report.steps) = (failure, faults, steps)
        }
        Err(panic) => report.failure = Some(format!("at {:?}: {panic}", sim.now())),
    }
    {
        let world = sim.world();
        report.hash = world.hash();
        report.elapsed = world.now().saturating_since(Instant::ZERO);
        report.datagrams = world.datagrams_so_far();
    }
    if let Err(panic) = caught(|| drop(sim)) {
        report.failure.get_or_insert(format!("at the end: {panic}"));
    }
    report
}

/// One run.
struct Swarm<'a> {
    sim: &'a Sim,
    setting: Setting,
    apps: Apps,
    checks: Checks,
    recorder: Option<&'a Recorder>,
    rng: Rng,
    /// What is wrong at present, and until when.
    wrong: Vec<(Instant, Effect)>,
    /// What happened, in order.
    struck: Vec<Fault>,
    /// The key of each place's node, and how many lives it has had.
    lives: Vec<(u64, u64)>,
}

impl<'a> Swarm<'a> {
    fn new(
        sim: &'a Sim,
        recorder: Option<&'a Recorder>,
        change: impl FnOnce(&mut World, &mut Setting),
    ) -> Self {
        if let Some(recorder) = recorder {
            recorder.watch(sim);
        }
        let checks = Checks::on(sim);
        let mut setting = Setting::draw(&mut sim.world());
        change(&mut sim.world(), &mut setting);
        let rng = sim.world().rng("swarm", 0);
        let hosts: Vec<_> = setting.places.iter().map(|place| (place.host, place.name.clone())).collect();
        if let Some(recorder) = recorder {
            hosts.iter().for_each(|(host, name)| recorder.name(*host, name));
            for router in
                setting.routers.iter().filter(|router| !hosts.iter().any(|(host, _)| *host == router.host))
            {
                recorder.name(router.host, &format!("router {}", router.host.index()));
            }
        }
        let apps = Apps::new(
            setting.work,
            setting.pairs.clone(),
            hosts,
            rng.fork("applications", 0),
            checks.clone(),
            recorder.cloned(),
        );
        let clock = apps.clone();
        sim.observe(move |world| clock.set_now(world.now()));
        let lives = vec![(0, 0); setting.places.len()];
        Self { sim, setting, apps, checks, recorder, rng, wrong: Vec::new(), struck: Vec::new(), lives }
    }

    /// All of it. What does not hold ends it.
    async fn play(&mut self) -> Result<(), String> {
        for place in 0..self.setting.places.len() {
            self.start(place);
        }
        self.storm().await?;
        self.calm().await?;
        self.close().await?;
        self.leave().await
    }

    async fn storm(&mut self) -> Result<(), String> {
        let end = Instant::ZERO + self.setting.storm.lasts;
        while self.sim.now() < end {
            let pause = self.draw(self.setting.storm.pause);
            self.sim.sleep(pause + Duration::from_millis(1)).await;
            self.well()?;
            let now = self.sim.now();
            let (over, still) = self.wrong.iter().partition(|(until, _)| *until <= now);
            self.wrong = still;
            self.undo(over);
            self.strike(now);
        }
        Ok(())
    }

    fn strike(&mut self, now: Instant) {
        let shares: u64 = self.setting.storm.faults.iter().map(|(_, share)| share).sum();
        let mut at = self.rng.below(shares);
        let chosen = self.setting.storm.faults.iter().find(|(_, share)| {
            let here = at < *share;
            at = at.saturating_sub(*share);
            here
        });
        let Some((fault, _)) = chosen.copied() else { return };
        let struck = strike(fault, &self.setting, &mut self.sim.world(), &mut self.rng);
        let Some((effect, words)) = struck else { return };
        self.struck.push(fault);
        self.note(words);
        if let Effect::Down(place) = effect {
            let gone = self.apps.ledger().down(place, now);
            drop(gone);
        }
        let lasts = self.draw(self.setting.storm.most);
        self.wrong.push((now + lasts, effect));
    }

    /// A time up to that one: half of them even, half of them mostly short.
    fn draw(&mut self, most: Duration) -> Duration {
        let most = most.as_nanos() as u64;
        let even = self.rng.chance(500_000);
        Duration::from_nanos(if even { self.rng.below(most) } else { setting::skewed(&mut self.rng, most) })
    }

    fn undo(&mut self, effects: Vec<(Instant, Effect)>) {
        for (_, effect) in effects {
            undo(effect, &self.setting, &mut self.sim.world());
            if effect != Effect::Done {
                self.note(format!("over: {effect:?}"));
            }
            if let Effect::Down(place) = effect
                && self.apps.ledger().places[place].node.is_none()
            {
                self.start(place);
            }
        }
    }

    /// Starts the program of a place, as the one that it was or as somebody new.
    fn start(&mut self, place: usize) {
        let (key, lives) = &mut self.lives[place];
        if *lives == 0 || self.rng.chance(300_000) {
            *key = self.rng.next_u64();
        }
        *lives += 1;
        let secret = SecretKey::from_entropy(Rng::new(*key).array());
        let Setting { places, .. } = &self.setting;
        let mut builder = self.sim.builder(places[place].host);
        if let Some(recorder) = self.recorder {
            builder = builder.provider(recorder.provider());
        }
        let builder = builder.config(|config| places[place].node.apply(config, secret));
        self.sim.spawn(places[place].host, self.apps.clone().run(place, builder));
    }

    /// Faults are over.
    async fn calm(&mut self) -> Result<(), String> {
        let wrong = std::mem::take(&mut self.wrong);
        self.undo(wrong);
        self.enter(Phase::Calm);
        self.until(CONVERGES, |swarm| swarm.unsettled()).await
    }

    /// What is not yet as it should be, in the calm.
    fn unsettled(&self) -> Option<String> {
        let down = self.setting.places.iter().find(|place| self.sim.world().power(place.host) != Power::Up);
        if let Some(place) = down {
            return Some(format!("{} is not up", place.name));
        }
        let ledger = self.apps.ledger();
        for (pair, meeting) in self.setting.pairs.iter().zip(&ledger.pairs) {
            let Meeting { heard, refused } = meeting;
            let [a, b] = pair.places.map(|place| &self.setting.places[place].name);
            if pair.possible && *heard != [true, true] {
                return Some(format!("{a} and {b} are not connected: {heard:?}"));
            }
            if !pair.possible && *refused != [true, true] {
                return Some(format!("{a} and {b} were not told that they can't be: {refused:?}"));
            }
        }
        ledger.broken_promise()
    }

    /// Applications close what they have.
    async fn close(&mut self) -> Result<(), String> {
        self.enter(Phase::Closing);
        self.until(CLOSES, |swarm| swarm.held()).await?;
        let datagrams = self.sim.world().datagrams_so_far();
        let quiet_since = self.sim.now();
        self.sim.sleep(QUIET).await;
        self.well()?;
        let sent = self.sim.world().datagrams_so_far() - datagrams;
        if sent > 0 {
            return Err(self.say(format!("{sent} datagrams, and nobody has a connection")));
        }
        if self.apps.ledger().last_event > quiet_since {
            return Err(self.say("a node told of something, and nothing happened"));
        }
        self.held().map_or(Ok(()), |held| Err(self.say(held)))
    }

    /// What a node still holds, though it has nobody to talk to.
    fn held(&self) -> Option<String> {
        let ledger = self.apps.ledger();
        ledger.places.iter().zip(&self.setting.places).find_map(|(presence, place)| {
            let load = presence.monitor.as_ref()?.load(self.sim.world().host_now(place.host))?;
            let engine = &load.engine;
            let counts = [
                engine.sessions,
                engine.ended,
                engine.attempts,
                engine.timers,
                engine.queued,
                load.connections,
            ];
            counts.iter().any(|count| *count > 0).then(|| format!("{} still holds {load:?}", place.name))
        })
    }

    /// Nodes end: half of them are shut down, half are dropped.
    async fn leave(&mut self) -> Result<(), String> {
        self.enter(Phase::Leaving);
        for place in 0..self.setting.places.len() {
            let node = self.apps.ledger().places[place].node.take();
            if let Some(node) = node.filter(|_| self.rng.chance(500_000)) {
                node.shutdown(0, b"").await;
            }
        }
        self.until(LEAVES, |swarm| swarm.left()).await
    }

    /// What is left of programs that should have ended.
    fn left(&self) -> Option<String> {
        let tasks = self.sim.tasks();
        if tasks > 0 {
            return Some(format!("{tasks} tasks have not ended"));
        }
        let world = self.sim.world();
        if world.packets_under_way() > 0 {
            return Some(format!("{} packets are on their way", world.packets_under_way()));
        }
        self.setting.places.iter().find_map(|place| {
            let load = world.host_load(place.host);
            (load.sockets + load.timers > 0).then(|| format!("{} still has {load:?}", place.name))
        })
    }

    fn enter(&mut self, phase: Phase) {
        let now = self.sim.now();
        self.apps.ledger().enter(phase, now);
        self.note(format!("{phase:?}"));
    }

    /// Waits until nothing is in the way any more, for so long.
    async fn until(
        &self,
        most: Duration,
        in_the_way: impl Fn(&Self) -> Option<String>,
    ) -> Result<(), String> {
        let deadline = self.sim.now() + most;
        loop {
            self.sim.sleep(LOOK).await;
            self.well()?;
            match in_the_way(self) {
                None => return Ok(()),
                Some(what) if self.sim.now() >= deadline => {
                    return Err(self.say(format!("after {most:?} {what}")));
                }
                Some(_) => {}
            }
        }
    }

    /// Whether all applications are content.
    fn well(&self) -> Result<(), String> {
        self.apps.ledger().failure.clone().map_or(Ok(()), Err)
    }

    fn say(&self, what: impl Into<String>) -> String {
        let now = self.sim.now();
        let mut ledger = self.apps.ledger();
        ledger.fail(now, what);
        ledger.failure.clone().unwrap_or_default()
    }

    fn note(&self, text: String) {
        self.apps.note(None, || text);
    }
}

#[cfg(test)]
#[path = "swarm_tests.rs"]
mod tests;
