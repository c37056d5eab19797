//! The mesh of a running cell, from inside its services and from outside: what gets through, what
//! is refused and why, and how connections end.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

#[path = "mesh/egress.rs"]
mod egress;
#[path = "mesh/fixture.rs"]
mod fixture;
#[path = "mesh/refusals.rs"]
mod refusals;
#[path = "mesh/streams.rs"]
mod streams;
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

const TESTS: &[(&str, fn())] = &[
    ("egress_reaches_third_parties_over_tls", egress::reaches),
    ("egress_refuses_bad_certificates_and_says_why", egress::refuses),
    ("egress_names_are_for_whom_may_call_names_them", egress::policy),
    ("names_resolve_in_every_way_that_resolvers_ask", egress::names),
    ("callers_that_no_rule_names_are_refused_with_a_reason", refusals::unnamed_callers),
    ("a_tunnel_port_refuses_plaintext_and_other_tls", refusals::strangers),
    ("tenants_reach_their_own_peers_only", refusals::tenants),
    ("every_way_around_the_proxy_is_closed", refusals::ways_around),
    ("either_side_may_end_or_speak_first", streams::ends),
    ("64_mib_arrive_as_they_were_sent", streams::bulk),
    ("200_connections_at_once_are_carried", streams::parallel),
    ("a_slow_reader_costs_its_proxies_no_memory", streams::slow_reader),
    ("a_reset_is_passed_on", streams::resets),
    ("a_killed_proxy_cuts_what_it_carried_and_comes_back", streams::killed_proxies),
    ("connections_outlive_svids", streams::renewals),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = support::is_root();
    let trial = |(name, test): &(&'static str, fn())| {
        let test = *test;
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(*name, run).with_ignored_flag(!root)
    };
    let conclusion = libtest_mimic::run(&arguments, TESTS.iter().map(trial).collect());
    if !fixture::end() {
        eprintln!("the cell did not end well");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
