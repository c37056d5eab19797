use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Scene;
use crate::kms_support::http::Connection;
use crate::kms_support::signed::signed;
use crate::kms_support::{KmsServer, count};

/// What a call may take while others dawdle, on a slow machine with unoptimised code.
const CALL_MAX: Duration = Duration::from_secs(5);
/// What an idle connection may cost the server, its share of the rest included.
const IDLE_CONNECTION_BYTES_MAX: u64 = 40 * 1024;
const IDLE_CONNECTIONS: usize = 10_000;

#[track_caller]
pub(crate) fn served_in_time(scene: &Scene) {
    let began = Instant::now();
    let mut fresh = scene.server.connect();
    assert_eq!(fresh.call(&scene.key, "ListKeys", b"{}").status, 200);
    assert_eq!(fresh.call(&scene.key, "GenerateRandom", br#"{"NumberOfBytes":9}"#).status, 200);
    assert!(began.elapsed() < CALL_MAX, "two calls took {:?}", began.elapsed());
}

pub(crate) fn slow_clients() {
    let scene = Scene::new();
    let bytes = signed(&scene.key, "ListKeys", b"{}");
    let mut heads: Vec<Connection> =
        (0..count(200, 2000)).map(|_| scene.server.connect()).collect();
    let mut bodies: Vec<Connection> =
        (0..count(100, 1000)).map(|_| scene.server.connect()).collect();
    for connection in &mut bodies {
        connection.send(&bytes[..bytes.len() - 1]);
    }
    for byte in &bytes[..40] {
        for connection in &mut heads {
            connection.send(&[*byte]);
        }
        served_in_time(&scene);
    }
    // Whoever hurries up in the end is served as well.
    for connection in &mut heads {
        connection.send(&bytes[40..]);
        assert_eq!(connection.reply().answer().status, 200);
    }
    for connection in &mut bodies {
        connection.send(&bytes[bytes.len() - 1..]);
        assert_eq!(connection.reply().answer().status, 200);
    }
    scene.end();
}

pub(crate) fn idle_connections() {
    // Ours and, since it is inherited, the server's, which raises its own as far as it goes.
    let files = getrlimit(Resource::Nofile);
    // Other crowds are about at the same time.
    let wanted = IDLE_CONNECTIONS as u64 + 6000;
    let raised = Rlimit { current: files.maximum.map(|max| max.min(wanted).max(1024)), ..files };
    let raised = match files.maximum {
        Some(max) if max < wanted => Rlimit { current: Some(wanted), maximum: Some(wanted) },
        _ => Rlimit { current: Some(wanted), ..raised },
    };
    setrlimit(Resource::Nofile, raised)
        .unwrap_or_else(|error| panic!("{wanted} descriptors are needed: {error}"));

    let mut server = KmsServer::new();
    server.start();
    let key = server.access_key("me");
    let scene = Scene { server, key };
    served_in_time(&scene);
    let before = scene.server.memory("VmRSS");
    let ask = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut idle = Vec::with_capacity(IDLE_CONNECTIONS);
    for at in 0..IDLE_CONNECTIONS {
        let mut connection = scene.server.connect();
        // Half of them have been used: what a call needs must not stay with its connection.
        if at % 2 == 0 {
            connection.send(ask);
            assert_eq!(connection.reply().answer().status, 400);
        }
        idle.push(connection);
    }
    served_in_time(&scene);
    let each = (scene.server.memory("VmRSS") - before) / IDLE_CONNECTIONS as u64;
    println!("an idle connection costs {each} bytes");
    assert!(each <= IDLE_CONNECTION_BYTES_MAX, "an idle connection costs {each} bytes");
    for connection in idle.iter_mut().step_by(997) {
        connection.send(ask);
        assert_eq!(connection.reply().answer().status, 400, "it was kept alive");
    }
    drop(idle);
    served_in_time(&scene);
    scene.end();
}
