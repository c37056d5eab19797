//! The command line as somebody uses it who does everything wrong: each mistake gets an answer that
//! says what to change, and damages nothing.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

#[path = "commands/disk_full.rs"]
mod disk_full;
#[path = "commands/offline.rs"]
mod offline;
#[path = "commands/running.rs"]
mod running;
#[path = "commands/seals.rs"]
mod seals;
#[path = "commands/terminal.rs"]
mod terminal;

mod support;

use std::process::Output;

use support::TestCell;

fn main() {
    support::main(vec![
        ("every_command_teaches_and_needs_a_cell", offline::every_command),
        ("a_cell_that_does_not_run_is_answered_for", offline::not_running),
        ("init_takes_what_flags_and_variables_say", offline::init_options),
        ("another_user_is_refused_with_a_reason", offline::strangers),
        ("the_seal_of_a_cell_is_changed", seals::changes),
        ("a_seal_is_durable_step_by_step", seals::are_durable_step_by_step),
        ("shares_open_a_cell_and_wrong_ones_are_named", seals::shares),
        ("shares_are_asked_for_on_a_terminal", seals::on_a_terminal),
        ("a_cell_that_runs_keeps_its_seal", seals::running),
        ("a_passphrase_is_asked_for_on_a_terminal", terminal::prompt),
        ("what_is_to_be_erased_is_typed_once_more", terminal::erasure),
        ("the_view_fits_its_terminal_and_ends_cleanly", terminal::live_view),
        ("an_anchor_elsewhere_is_advanced_and_catches_a_rollback", running::anchor_elsewhere),
        ("the_cell_file_may_not_contradict_the_cell", running::contradictions),
        ("services_that_fail_say_why_and_harm_no_other", running::failing_services),
        ("a_damaged_volume_is_named_block_by_block", running::damaged_volume),
        ("an_erased_tenants_volume_stops_and_stays_so", running::erasure),
        ("reports_are_verified_by_a_key_from_elsewhere", running::reports),
        ("down_and_signals_leave_nothing", running::ends),
        ("a_full_disk_damages_nothing", disk_full::nothing_lost),
        ("a_volume_of_a_user_goes_with_the_user", running::volume_of_a_user),
    ]);
}

/// A service without a volume, which takes no time to start.
const QUICK: &str = r#"
[cell]
name = "quick"
trust_domain = "quick.example"
account = "111122223333"

[tenant.acme]

[service.idle]
tenants = ["acme"]
run = ["sleep", "1000"]
"#;

const WITH_VOLUME: &str = r#"
[service.redis]
tenants = ["acme"]
run = ["redis-server", "redis.conf", "--dir", "/data"]
port = 6379
volume = { name = "redis", size = "64MiB", at = "/data" }
"#;

fn cell_of(text: &str) -> TestCell {
    let text = text.to_owned();
    TestCell::new(move |_| text)
}

/// Everything that was said, in one line: how it is wrapped is not what is tested.
fn said(output: &Output) -> String {
    let all = [support::text(&output.stdout), support::text(&output.stderr)].join(" ");
    all.replace(['│', '\n'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The command fails with `code` and says each of `words`.
#[track_caller]
fn refused(cell: &TestCell, arguments: &[&str], code: i32, words: &[&str]) {
    let output = cell.run(arguments);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
    }
}
