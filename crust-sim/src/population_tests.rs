use std::sync::OnceLock;

use super::*;

const DRAWS: usize = 100_000;

/// A number of the frozen file, found by walking plain TOML rather than by the reader under test.
fn number(path: &str) -> f64 {
    let mut value = toml::Value::Table(STANDARD.parse().unwrap());
    for key in path.split('.') {
        value = value.get(key).cloned().unwrap_or(toml::Value::Float(0.0));
    }
    value.as_float().unwrap()
}

/// Five standard deviations of a share: a right reader fails once in a million runs, and these seeds are fixed.
#[track_caller]
fn assert_share(what: &str, hits: usize, of: usize, expected: f64) {
    let found = hits as f64 / of as f64;
    let bound = 5.0 * (expected * (1.0 - expected) / of as f64).sqrt();
    assert!(of > 1000 || what.contains("edm"), "{what}: only {of}");
    assert!((found - expected).abs() <= bound, "{what}: {found} of {of}, expected {expected} +- {bound}");
}

fn draw(mix: Mix, seed: u64, count: usize) -> Vec<SiteProfile> {
    let population = Population::standard(mix);
    let mut rng = Rng::new(seed);
    (0..count).map(|_| population.site(&mut rng)).collect()
}

/// The milder mix, drawn once for all tests.
fn drawn() -> &'static [SiteProfile] {
    static DRAWN: OnceLock<Vec<SiteProfile>> = OnceLock::new();
    DRAWN.get_or_init(|| draw(Mix::A, 1, DRAWS))
}

#[test]
fn both_frozen_mixes_have_the_shares_of_the_file() {
    let harder = draw(Mix::B, 1, DRAWS);
    for (sites, name) in [(drawn(), "a"), (&harder, "b")] {
        for (class, key) in [
            (Class::Home, "home"),
            (Class::Carrier, "carrier"),
            (Class::Mobile, "mobile"),
            (Class::Enterprise, "enterprise"),
            (Class::Public, "public"),
        ] {
            let hits = sites.iter().filter(|site| site.class == class).count();
            assert_share(key, hits, DRAWS, number(&format!("mix.{name}.{key}")));
        }
    }
}

#[test]
fn every_parameter_of_every_class_behind_a_nat_has_the_share_of_the_file() {
    let sites = drawn();
    for (class, key) in [
        (Class::Home, "home"),
        (Class::Carrier, "carrier"),
        (Class::Mobile, "mobile"),
        (Class::Enterprise, "enterprise"),
    ] {
        let sites: Vec<&SiteProfile> = sites.iter().filter(|site| site.class == class).collect();
        let outer = |site: &SiteProfile| *site.nats.last().unwrap();
        let share = |path: &str, of: &dyn Fn(&NatConfig) -> bool, holds: &dyn Fn(&SiteProfile) -> bool| {
            let among: Vec<_> = sites.iter().filter(|site| of(&outer(site))).collect();
            let hits = among.iter().filter(|site| holds(site)).count();
            let path = format!("class.{key}.{path}");
            assert_share(&path, hits, among.len(), number(&path));
        };
        let all = |_: &NatConfig| true;
        let eim = |nat: &NatConfig| nat.udp.mapping == Mapping::EndpointIndependent;
        let edm = |nat: &NatConfig| nat.udp.mapping == Mapping::AddressAndPortDependent;
        share("mapping.eim", &all, &|site| eim(&outer(site)));
        share("mapping.edm", &all, &|site| edm(&outer(site)));
        let preserves = |site: &SiteProfile| matches!(outer(site).allocation, Allocation::Preserving(_));
        let random = |site: &SiteProfile| outer(site).allocation == Allocation::Random;
        let chunked = |site: &SiteProfile| matches!(outer(site).allocation, Allocation::Chunked { .. });
        let counts = |site: &SiteProfile| matches!(outer(site).allocation, Allocation::Sequential { .. });
        share("allocation.eim.preserve", &eim, &preserves);
        share("allocation.eim.random", &eim, &random);
        share("allocation.eim.chunk", &eim, &chunked);
        share("allocation.edm.random", &edm, &random);
        share("allocation.edm.sequential", &edm, &counts);
        for (name, filtering) in [
            ("eif", Filtering::EndpointIndependent),
            ("adf", Filtering::AddressDependent),
            ("apdf", Filtering::AddressAndPortDependent),
        ] {
            share(&format!("filtering.{name}"), &all, &|site| outer(site).udp.filtering == filtering);
        }
        for (name, answer) in [("drop", Answer::Silence), ("rst", Answer::Rst), ("icmp", Answer::Icmp)] {
            share(&format!("unsolicited_syn.{name}"), &all, &|site| outer(site).tcp.unsolicited == answer);
        }
        share("port_mapping", &all, &|site| site.port_mapping);
        share("ipv6", &all, &|site| site.ipv6.is_some());
        share("hairpin.udp", &all, &|site| outer(site).udp.hairpin == Hairpin::ExternalSource);
        share("hairpin.tcp", &all, &|site| outer(site).tcp.hairpin == Hairpin::ExternalSource);
        share("udp_blocked", &all, &|site| outer(site).udp_blocked);
        let noise = number(&format!("noise.lambda.{key}"));
        for site in &sites {
            assert_eq!(site.noise_per_second, noise);
            assert_eq!(site.nats.len(), if class == Class::Carrier { 2 } else { 1 });
            assert_eq!(
                site.ipv6.is_some_and(|firewall| firewall.udp_blocked),
                site.ipv6.is_some() && outer(site).udp_blocked
            );
        }
    }
}

#[test]
fn public_sites_have_a_firewall_or_none_by_the_shares_of_the_file() {
    let sites: Vec<_> = drawn().iter().filter(|site| site.class == Class::Public).collect();
    let open = sites.iter().filter(|site| site.firewall == Some(FirewallConfig::open())).count();
    assert_share("open", open, sites.len(), number("class.public.firewall.open"));
    let ipv6 = sites.iter().filter(|site| site.ipv6.is_some()).count();
    assert_share("ipv6", ipv6, sites.len(), number("class.public.ipv6"));
    assert!(sites.iter().all(|site| site.nats.is_empty()));
}

#[test]
fn udp_timeouts_are_uniform_over_the_range_of_the_file() {
    let sites = drawn();
    for (class, low, high) in
        [(Class::Home, 30.0, 300.0), (Class::Carrier, 10.0, 200.0), (Class::Mobile, 30.0, 180.0)]
    {
        let drawn: Vec<f64> = sites
            .iter()
            .filter(|site| site.class == class)
            .map(|site| site.nats.last().unwrap().lifetimes.udp_replied.as_secs_f64())
            .collect();
        assert!(drawn.iter().all(|&seconds| (low..=high).contains(&seconds)));
        for quarter in 0..4 {
            let from = low + (high - low) * f64::from(quarter) / 4.0;
            let to = from + (high - low) / 4.0;
            let hits = drawn.iter().filter(|&&seconds| (from..to).contains(&seconds)).count();
            assert_share("a quarter of the range", hits, drawn.len(), 0.25);
        }
    }
}

#[test]
fn an_entry_without_a_reply_lives_as_long_as_others_and_half_a_minute_at_most() {
    let (mut shorter, mut capped) = (0, 0);
    for nat in drawn().iter().flat_map(|site| &site.nats) {
        let Lifetimes { udp_unreplied, udp_replied, .. } = nat.lifetimes;
        let expected = udp_replied.min(Duration::from_secs(30));
        assert_eq!(udp_unreplied, expected);
        shorter += u32::from(udp_replied == expected);
        capped += u32::from(udp_replied > expected);
    }
    assert!(shorter > 100 && capped > 100, "{shorter} shorter, {capped} capped");
}

#[test]
fn the_inner_box_of_a_carriers_customer_is_drawn_like_a_home_router() {
    let sites = drawn();
    let inner: Vec<&NatConfig> =
        sites.iter().filter(|site| site.class == Class::Carrier).map(|site| &site.nats[0]).collect();
    let kept = inner.iter().filter(|nat| matches!(nat.allocation, Allocation::Preserving(_))).count();
    let expected = number("class.home.mapping.eim") * number("class.home.allocation.eim.preserve");
    assert_share("kept", kept, inner.len(), expected);
    let strict = inner.iter().filter(|nat| nat.udp.filtering == Filtering::AddressAndPortDependent).count();
    assert_share("apdf", strict, inner.len(), number("class.home.filtering.apdf"));
}

#[test]
fn the_same_seed_draws_the_same_sites() {
    assert_eq!(draw(Mix::B, 6, 1000), draw(Mix::B, 6, 1000));
    assert_ne!(draw(Mix::B, 6, 1000), draw(Mix::B, 7, 1000));
}

#[test]
fn a_wrong_file_is_refused_with_its_place_and_what_was_expected() {
    for (right, wrong, place, expected) in [
        // What stands there, what stands there instead, where the fault is, and words of the message.
        (
            "eim = 0.98, edm = 0.02",
            "eim = 0.98, edm = 0.03",
            "{ eim = 0.98, edm = 0.03",
            "add up to 1.01, expected 1",
        ),
        ("port_mapping = 0.35", "port_mapping = 1.35", "1.35", "expected a number from 0 to 1"),
        ("port_mapping = 0.35", "port_mapping = \"some\"", "\"some\"", "expected f64"),
        ("port_mapping = 0.35", "port_maping = 0.35", "port_maping", "expected one of"),
        ("eif = 0.06, adf", "eiff = 0.06, adf", "eiff", "expected one of `eif`, `adf`, `apdf`"),
        ("udp_timeout_s = [30, 300]", "udp_timeout_s = [300, 30]", "[300, 30]", "the lower first"),
        (
            "udp_timeout_s = [30, 300]",
            "udp_timeout_s = [30",
            "unsolicited_syn",
            "missing comma between array elements, expected",
        ),
        ("inner = \"home\"", "inner = \"mobile\"", "\"mobile\"", "expected `home`"),
        ("home = 0.5, carrier = 20.0", "home = -0.5, carrier = 20.0", "-0.5", "from 0 to 10000"),
        ("home = 0.5, carrier = 20.0", "home = 1e300, carrier = 20.0", "1e300", "from 0 to 10000"),
        ("[class.public]", "[class.private]", "private", "expected one of"),
    ] {
        let text = STANDARD.replacen(right, wrong, 1);
        assert_ne!(text, STANDARD, "{right}");
        let error = Population::parse(&text, "a").unwrap_err();
        let line = text.lines().nth(error.line - 1).unwrap();
        let rest: String = line.chars().skip(error.column - 1).collect();
        assert!(error.message.contains(expected), "{wrong}: {error}");
        assert!(rest.starts_with(place), "{wrong}: {error}: points at {rest:?}");
    }
    let missing = STANDARD.replace("[noise]", "[nose]");
    assert!(Population::parse(&missing, "a").unwrap_err().message.contains("expected one of"));
    let unknown = Population::parse(STANDARD, "c").unwrap_err().to_string();
    assert_eq!(unknown, "line 1, column 1: no mix \"c\", expected one of a, b");
    let no_filtering = STANDARD.replacen("filtering  = { eif = 0.06, adf = 0.12, apdf = 0.82 }", "", 1);
    let error = Population::parse(&no_filtering, "a").unwrap_err();
    assert!(error.message.contains("missing field `filtering`"), "{error}");
}
