//! The socket itself, for workloads whose proxies lie or keep a connection too long.

use crypto::{Signer as _, SigningKey, SystemEntropy};
use mesh::ca::{Authority, SVID_LIFETIME_MIN, certify_issuing_key, self_sign_root};
use mesh::policy::{Callee, Service};
use mesh::tunnel::{Svid, TunnelConfig};
use mesh::verify::TrustBundle;
use mesh::{Certificate, SpiffeId, TrustDomain, UnixSeconds};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::kms_api::Audit;
use crate::plan::KMS;
use crate::tls::to_kms::{self, ToKms};

const HOUR: Duration = Duration::from_secs(3600);
const PORT: u16 = 7600;
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: kms\r\nContent-Length: 2\r\n\r\n{}";

struct TestCell {
    root: Certificate,
    issuing: Certificate,
    key: SigningKey,
}

fn domain() -> TrustDomain {
    TrustDomain::parse("shop.example").unwrap()
}

fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

impl TestCell {
    fn new() -> Self {
        let (root_key, key) = (SigningKey::generate(), SigningKey::generate());
        let entropy = &mut SystemEntropy::new();
        let root = self_sign_root(&root_key, now(), HOUR, entropy).unwrap();
        let issuing =
            certify_issuing_key(&root, &root_key, &key.public_key(), now(), HOUR, entropy);
        Self { issuing: issuing.unwrap(), root, key }
    }

    fn bundle(&self) -> TrustBundle {
        TrustBundle::new(domain(), std::slice::from_ref(&self.root)).unwrap()
    }

    fn authority(&self) -> Authority<'_> {
        Authority::new(domain(), self.issuing.clone(), &self.key).unwrap()
    }

    /// What the proxy of acme's `service` shows, with an SVID that is good for `rest`.
    fn proxy(&self, service: &str, rest: Duration) -> TunnelConfig {
        let id = SpiffeId::new(&domain(), "acme", service).unwrap();
        let (key, entropy) = (SigningKey::generate(), &mut SystemEntropy::new());
        let at = now().plus(rest).minus(SVID_LIFETIME_MIN);
        let issued =
            self.authority().issue_svid(&id, &key.public_key(), at, SVID_LIFETIME_MIN, entropy);
        TunnelConfig::new(Svid::new(&issued.unwrap().chain, Arc::new(key)).unwrap(), self.bundle())
    }

    /// A locked KMS that `web` may call and `lonely` may not.
    async fn serve(&self) -> SocketAddr {
        let (key, entropy) = (SigningKey::generate(), &mut SystemEntropy::new());
        let public = key.public_key();
        let issued =
            self.authority().issue_server_certificate(&[KMS], &public, now(), HOUR, entropy);
        let chain = issued.unwrap().chain;
        let acceptor = KmsAcceptor::from_signer(&chain, Arc::new(key), self.bundle()).unwrap();
        let kms = Callee { name: KMS.to_owned(), port: PORT };
        let service = |name: &str, may_call: &[Callee]| Service {
            tenant: "acme".to_owned(),
            name: name.to_owned(),
            ports: Vec::new(),
            may_call: may_call.to_vec(),
        };
        let services = vec![service("web", std::slice::from_ref(&kms)), service("lonely", &[])];
        let policy = Policy::new(domain(), services, vec![], vec![], vec![kms]).unwrap();
        let here = Target::Cell { name: KMS.to_owned(), port: PORT };
        let transport = Transport::Tls(acceptor, Some(Arc::new(Callers { policy, here })));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (_stop, stopped) = watch::channel(false);
            serve(Api::new(Audit::Batched), listener, transport, stopped).await;
        });
        address
    }
}

async fn connect(address: SocketAddr, proxy: &TunnelConfig) -> ToKms {
    let tcp = TcpStream::connect(address).await.unwrap();
    to_kms::connect(proxy, KMS, tcp).await.unwrap()
}

/// Whether a request is answered at all.
async fn is_answered(stream: &mut ToKms) -> bool {
    let mut piece = vec![0; 4096];
    let sent = stream.write_all(REQUEST).await.and(stream.flush().await);
    sent.is_ok()
        && stream.read(&mut piece).await.is_ok_and(|read| piece[..read].starts_with(b"HTTP"))
}

#[tokio::test]
async fn a_workload_that_may_not_call_is_cut_off_whatever_its_proxy_does() {
    let cell = TestCell::new();
    let address = cell.serve().await;
    for (service, answered) in [("web", true), ("lonely", false), ("unheard-of", false)] {
        let mut stream = connect(address, &cell.proxy(service, SVID_LIFETIME_MIN)).await;
        assert_eq!(is_answered(&mut stream).await, answered, "{service}");
    }
}

#[tokio::test]
async fn a_connection_ends_well_before_the_svid_that_it_began_with() {
    let cell = TestCell::new();
    let address = cell.serve().await;
    let rest = Duration::from_secs(4);
    let mut stream = connect(address, &cell.proxy("web", rest)).await;
    assert!(is_answered(&mut stream).await);
    let ended = tokio::time::timeout(rest, stream.read_u8()).await;
    let ended = ended.expect("it ends while the SVID is good").unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(!is_answered(&mut stream).await);
}
