use super::testing::transfer;
use super::*;
use crate::{LinkConfig, World, seeds};
use crust_proto::Priority;
use crust_proto::wire::codec::Reader;
use crust_proto::wire::frame::Frame;
use crust_proto::wire::packet::{HEAD_LEN, Head};

#[test]
fn a_recorded_run_is_the_run_that_it_would_have_been() {
    seeds(3, |seed| {
        let recorder = Recorder::new(RecordLimits::default());
        assert_eq!(transfer(seed, 100_000, Some(&recorder)), transfer(seed, 100_000, None));
        assert!(recorder.recording().packets.len() > 100);
    });
}

#[test]
fn scratch() {
    let recorder = Recorder::new(RecordLimits::default());
    transfer(1, 400_000, Some(&recorder));
    recorder.save("/tmp/rec").unwrap();
    let recording = recorder.recording();
    println!("{} packets, {} samples", recording.packets.len(), recording.samples.len());
}
