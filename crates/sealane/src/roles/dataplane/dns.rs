//! The DNS server inside a service's namespace: two sockets that the launcher opened there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use wire::dns::{Names, QUERY_BYTES_MAX, StreamAnswer, answer_datagram, answer_stream};

/// What the service can look up: names in lower case.
pub type Addresses = Rc<BTreeMap<String, Ipv4Addr>>;

/// DNS connections by TCP that are served at once, and how long each may be silent.
const CONNECTIONS_MAX: usize = 32;
const SILENCE_MAX: Duration = Duration::from_secs(5);

pub async fn serve_udp(socket: UdpSocket, addresses: Addresses) {
    let lookup = |name: &str| addresses.get(name).copied();
    let names = Names { lookup: &lookup, search_domain: None };
    // One byte more than a query may have, so that a longer one is seen to be longer.
    let mut query = [0; QUERY_BYTES_MAX + 1];
    loop {
        // An error here is about one datagram (or an ICMP message about one), never the socket.
        let Ok((length, from)) = socket.recv_from(&mut query).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if let Some(reply) = answer_datagram(&query[..length], &names) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

pub async fn serve_tcp(listener: TcpListener, addresses: Addresses) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for one: others must end before this can go on.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let addresses = Rc::clone(&addresses);
        tokio::task::spawn_local(async move {
            answer_connection(stream, &addresses).await;
            drop(place);
        });
    }
}

async fn answer_connection(mut stream: TcpStream, addresses: &BTreeMap<String, Ipv4Addr>) {
    let mut arrived = Vec::new();
    loop {
        let mut bytes = [0; QUERY_BYTES_MAX];
        match tokio::time::timeout(SILENCE_MAX, stream.read(&mut bytes)).await {
            Ok(Ok(length)) if length > 0 => arrived.extend_from_slice(&bytes[..length]),
            _ => return,
        }
        loop {
            let answer = {
                let lookup = |name: &str| addresses.get(name).copied();
                answer_stream(&arrived, &Names { lookup: &lookup, search_domain: None })
            };
            match answer {
                StreamAnswer::NeedMore => break,
                StreamAnswer::Close => return,
                StreamAnswer::Reply { reply, consumed } => {
                    arrived.drain(..consumed);
                    if stream.write_all(&reply).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
