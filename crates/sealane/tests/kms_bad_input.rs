//! What a stranger can send to the KMS: it answers in AWS's shape or closes, and goes on serving.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod kms_input;
mod kms_support;

use libtest_mimic::{Arguments, Trial};

fn main() {
    use kms_input::{bodies, crowds, heads, mutations};
    let tests: Vec<(&str, fn())> = vec![
        ("bodies_at_their_limit", bodies::at_their_limit),
        ("bodies_that_are_no_request", bodies::that_are_no_request),
        ("bodies_that_end_early", bodies::that_end_early),
        ("a_body_is_waited_for_only_if_wanted", bodies::waited_for_only_if_wanted),
        ("a_body_that_stalls_is_given_up", bodies::that_stall_are_given_up),
        ("long_bodies_wait_for_their_turn", bodies::long_ones_wait_for_their_turn),
        ("heads_at_their_limit", heads::at_their_limit),
        ("heads_that_ask_for_nothing_here", heads::that_ask_for_nothing_here),
        ("heads_that_are_no_http", heads::that_are_no_http),
        ("heads_in_other_forms", heads::in_other_forms),
        ("requests_in_one_segment_are_answered_in_order", heads::pipelined),
        ("nothing_is_smuggled", heads::smuggled),
        ("slow_clients_keep_nobody_waiting", crowds::slow_clients),
        ("idle_connections_cost_little", crowds::idle_connections),
        ("mutated_requests", mutations::run),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
