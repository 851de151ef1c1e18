use std::net::SocketAddr;

use crust_proto::Duration;

use super::*;
use crate::world::{Inbound, Middlebox, Outbound};
use crate::{Flow, LinkConfig, Prefix, SendOptions, TcpFlags, UdpOptions};
