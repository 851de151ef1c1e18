//! Nodes that are configured otherwise than usual.

use crust_proto::{Duration, Priority};

use crate::net::Net;

#[test]
fn no_configuration_makes_a_node_unable_to_speak() {
    for (size, delay) in [(0, 0), (31, 20_000), (u16::MAX, 1 << 40)] {
        let mut net = Net::new(6);
        net.weather.mtu = 65_535;
        let (a, b) = (
            net.add_with(|setup| {
                setup.config.transport.datagram_size = size;
                setup.config.transport.max_ack_delay = Duration::from_millis(delay);
                setup.config.transport.idle_timeout = Duration::ZERO;
                setup.config.transport.keep_alive = Some(Duration::ZERO);
                setup.config.handshake.first_retry = Duration::ZERO;
                setup.config.handshake.max_retry = Duration::ZERO;
                setup.config.handshake.max_addresses = 0;
            }),
            net.add(),
        );
        // The first hellos are lost, so that they are repeated.
        net.lose.extend([1, 2]);
        let (at_a, at_b) = net.connect(a, b);
        net.session(a, at_a).send_message(Priority::default(), &[1; 200_000], false).expect("room");
        net.run_until("it arrives", |net| net.session(b, at_b).recv_message().is_some());
    }
}
