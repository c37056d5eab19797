use crate::{ways_around, ways_through};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Root,
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) run: fn(),
}

macro_rules! cases {
    ($($needs:ident $file:ident $name:ident),* $(,)?) => {
        pub(crate) const CASES: &[Case] =
            &[$(Case { name: stringify!($name), needs: Needs::$needs, run: $file::$name }),*];
    };
}

cases! {
    Nothing ways_around other_addresses_and_ports_are_rejected_at_once,
    Nothing ways_around udp_and_dns_to_outside_are_rejected,
    Nothing ways_around the_capture_port_is_reached_by_capture_only,
    Nothing ways_around sockets_of_other_kinds_are_refused,
    Nothing ways_around host_unix_sockets_are_unreachable,
    Nothing ways_around the_same_ways_are_open_without_isolation,
    Nothing ways_around io_uring_and_kernel_interfaces_are_refused,
    Nothing ways_around other_numberings_of_system_calls_kill,
    Nothing ways_around host_processes_are_invisible,
    Nothing ways_around mounts_and_namespaces_are_refused,
    Nothing ways_around system_files_are_read_only,
    Nothing ways_around the_cell_directory_is_hidden,
    Nothing ways_around privileges_cannot_be_gained,
    Nothing ways_around a_crash_leaves_no_core,
    Nothing ways_through connections_to_mesh_names_are_captured,
    Nothing ways_through names_are_asked_of_the_proxy,
    Nothing ways_through declared_ports_are_dialled,
    Nothing ways_through loopback_services_are_dialled_from_loopback,
    Nothing ways_through many_dials_are_in_flight,
    Nothing ways_through volumes_are_written_and_output_is_kept,
    Nothing ways_through a_service_is_started_again,
    Nothing ways_through a_service_that_ignores_sigterm_is_killed,
    Nothing ways_through ending_leaves_nothing,
    Nothing ways_through a_killed_supervisor_takes_all_with_it,
    Nothing ways_through failures_say_what_to_do,
    Nothing ways_through plain_services_run_and_end,
    Nothing ways_through redis_runs,
    Root ways_through linked_name_files_are_replaced,
    Root ways_through root_inside_a_user_namespace_launches_too,
    Root ways_through cgroups_hold_and_kill,
}
