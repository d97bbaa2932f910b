//! Handshakes on real sockets: who is let in, who is not, and what each end says.

use crate::support::{CLUSTER, DAY, NOW, OTHER_CLUSTER, Pki, eventually, in_time, member};
use cp_net::tls::{
    Accepts, ChannelSettings, Credentials, DialError, Expect, Listener, PeerName, Refusals, channel, dial, dial_reason,
};
use futures::StreamExt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const WITHIN: Duration = Duration::from_secs(5);

/// A listener that greets, as an HTTP/2 server does, and says who came.
async fn listen(own: &Credentials, accepts: Accepts) -> (String, Refusals, tokio::sync::mpsc::Receiver<PeerName>) {
    let listener = Listener::bind(LOCAL, own.clone(), accepts).await.unwrap();
    let (address, refusals) = (listener.local_addr().to_string(), listener.refusals());
    let (sender, came) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        let mut incoming = Box::pin(listener.incoming());
        while let Some(stream) = incoming.next().await {
            let mut stream = stream.unwrap();
            stream.write_all(b"greetings").await.unwrap();
            stream.flush().await.unwrap();
            sender.send(stream.info().name.clone()).await.unwrap();
        }
    });
    (address, refusals, came)
}

struct Refused {
    dialler: String,
    listener: String,
}

/// Both sentences of a handshake that must fail; nobody may have come through.
async fn refused(server: &Credentials, accepts: Accepts, client: &Credentials, expect: Expect) -> Refused {
    let (address, refusals, mut came) = listen(server, accepts).await;
    let error = dial(client, &address, &expect, WITHIN).await.unwrap_err();
    assert!(matches!(error, DialError::Rejected { .. } | DialError::Refused { .. }), "{error}");
    let listener = eventually("the listener's sentence", || refusals.list().pop()).await;
    assert_eq!(listener.0, "127.0.0.1");
    assert!(came.try_recv().is_err());
    Refused { dialler: error.to_string(), listener: listener.1 }
}

fn exactly(name: &Credentials) -> Expect {
    Expect::Exactly(name.name().clone())
}

fn assert_says(sentence: &str, parts: &[&str]) {
    for part in parts {
        assert!(sentence.contains(part), "{part:?} is not in {sentence:?}");
    }
}

#[tokio::test]
async fn members_and_clients_prove_their_names() {
    let pki = Pki::new(CLUSTER);
    let (n1, n2) = (pki.member("n1"), pki.member("n2"));
    let alice = pki.issue(&PeerName::client("alice", CLUSTER).unwrap());
    let (address, refusals, mut came) = listen(&n1, Accepts::MembersAndClients).await;
    for (who, expect) in [(&n2, exactly(&n1)), (&alice, Expect::AnyMember), (&n2, Expect::AnyMember)] {
        let mut stream = dial(who, &address, &expect, WITHIN).await.unwrap();
        assert_eq!(stream.info().name, *n1.name());
        let mut greetings = [0; 9];
        stream.read_exact(&mut greetings).await.unwrap();
        assert_eq!(&greetings, b"greetings");
        assert_eq!(in_time(came.recv()).await.unwrap(), *who.name());
    }
    assert_eq!(refusals.list(), []);
}

#[tokio::test]
async fn wrong_ca() {
    let (ours, theirs) = (Pki::new(CLUSTER), Pki::new(OTHER_CLUSTER));
    let (n1, stranger) = (ours.member("n1"), theirs.member("n2"));
    let said = refused(&n1, Accepts::Members, &stranger, exactly(&n1)).await;
    assert_says(&said.dialler, &["did not accept", "other cluster, wrong CA", "n1.c1c1", "CA c1c1", "CA c2c2"]);
    assert_says(&said.listener, &["it refused this end", "wrong CA", "CA c1c1", "n1.c1c1"]);
}

/// Same name, other key: what a second `init-ca` leaves behind.
#[tokio::test]
async fn ca_made_anew() {
    let (old, new) = (Pki::new(CLUSTER), Pki::new(CLUSTER));
    let (n1, n2) = (old.member("n1"), new.member("n2"));
    let said = refused(&n1, Accepts::Members, &n2, exactly(&n1)).await;
    assert_says(&said.dialler, &["wrong CA", "made anew"]);
    assert_says(&said.listener, &["wrong CA"]);
}

/// The dialler trusts both authorities, so it is the listener that refuses.
#[tokio::test]
async fn wrong_ca_judged_by_the_listener() {
    let (ours, theirs) = (Pki::new(CLUSTER), Pki::new(OTHER_CLUSTER));
    let n1 = ours.member("n1");
    theirs.member("n2");
    let both = [ours.path("ca.pem"), theirs.path("ca.pem")].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    std::fs::write(theirs.path("both.pem"), both).unwrap();
    let n2 =
        crate::support::load(&theirs.path("both.pem"), &theirs.path("n2.pem"), &theirs.path("n2.key"), NOW).unwrap();
    let said = refused(&n1, Accepts::Members, &n2, exactly(&n1)).await;
    assert_says(&said.dialler, &["refused this end", "wrong CA", "CA c2c2", "n2.c2c2"]);
    assert_says(&said.listener, &["wrong CA", "n2.c2c2", "CA c1c1", "CA c2c2"]);
}

#[tokio::test]
async fn wrong_name() {
    let pki = Pki::new(CLUSTER);
    let (n1, n2, n3) = (pki.member("n1"), pki.member("n2"), pki.member("n3"));
    let said = refused(&n1, Accepts::Members, &n2, exactly(&n3)).await;
    assert_says(&said.dialler, &["did not accept", "wrong name", "is for n1.c1c1", "expected n3.c1c1"]);
    assert_says(&said.listener, &["wrong name", "looked for n3.c1c1", "this is n1.c1c1"]);
}

#[tokio::test]
async fn other_cluster() {
    let pki = Pki::new(CLUSTER);
    let (n1, n2) = (pki.member("n1"), pki.member("n2"));
    let said = refused(&n1, Accepts::Members, &n2, Expect::Exactly(member("n1", OTHER_CLUSTER))).await;
    assert_says(&said.dialler, &["did not accept", "other cluster", "n1.c1c1", "cluster c2c2"]);
    assert_says(&said.listener, &["other cluster", "n1.c2c2", "this is n1.c1c1"]);
}

#[tokio::test]
async fn a_client_is_no_member() {
    let pki = Pki::new(CLUSTER);
    let n1 = pki.member("n1");
    let alice = pki.issue(&PeerName::client("alice", CLUSTER).unwrap());
    let said = refused(&n1, Accepts::Members, &alice, exactly(&n1)).await;
    assert_says(&said.dialler, &["refused this end", "wrong name", "alice.client.c1c1"]);
    assert_says(&said.listener, &["wrong name", "alice.client.c1c1", "client port"]);
    // Nor does a client pass for a server.
    let said = refused(&alice, Accepts::MembersAndClients, &n1, Expect::AnyMember).await;
    assert_says(&said.dialler, &["did not accept", "wrong name", "client alice"]);
}

#[tokio::test]
async fn expired_or_not_yet_valid_at_either_end() {
    let pki = Pki::new(CLUSTER);
    let n1 = pki.member("n1");
    let old = pki.issue_outdated(&member("n2", CLUSTER), NOW - 40 * DAY);
    let early = pki.issue_outdated(&member("n2", CLUSTER), NOW + 20 * DAY);
    for (theirs, word) in [(&old, "expired"), (&early, "not yet valid")] {
        // The dialler's certificate, judged by the listener.
        let said = refused(&n1, Accepts::Members, theirs, exactly(&n1)).await;
        assert_says(&said.dialler, &["refused this end", "expired or not yet valid", "n2.c1c1", "T04:40:20Z"]);
        assert_says(&said.listener, &[word, "n2.c1c1", "Z"]);
        // The listener's certificate, judged by the dialler.
        let said = refused(theirs, Accepts::Members, &n1, exactly(theirs)).await;
        assert_says(&said.dialler, &["did not accept", word, "n2.c1c1"]);
        assert_says(&said.listener, &["it refused this end", "expired or not yet valid", "n2.c1c1"]);
    }
}

#[tokio::test]
async fn missing_certificate() {
    let pki = Pki::new(CLUSTER);
    let n1 = pki.member("n1");
    let (address, refusals, mut came) = listen(&n1, Accepts::MembersAndClients).await;
    let error = anonymous(&pki, &address).await;
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    let (_, sentence) = eventually("the listener's sentence", || refusals.list().pop()).await;
    assert_says(&sentence, &["missing certificate", "presented none"]);
    assert!(came.try_recv().is_err());
}

/// A TLS client without a certificate, such as a browser.
async fn anonymous(pki: &Pki, address: &str) -> std::io::Error {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_file(pki.path("ca.pem")).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_details(provider, crate::support::Clock::at(NOW))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = rustls_pki_types::ServerName::try_from(member("n1", CLUSTER).to_string()).unwrap();
    let tcp = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    match connector.connect(name, tcp).await {
        Ok(mut stream) => stream.read_u8().await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn garbage_and_silence_do_no_harm() {
    let pki = Pki::new(CLUSTER);
    let (n1, n2) = (pki.member("n1"), pki.member("n2"));
    let (address, refusals, mut came) = listen(&n1, Accepts::Members).await;
    drop(TcpStream::connect(&address).await.unwrap());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 2048], &[0x16, 3, 1, 255, 255, 1], &[0xff; 70_000]] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // It may already have been thrown out.
        if stream.write_all(garbage).await.is_ok() && stream.shutdown().await.is_ok() {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
        }
    }
    let (_, sentence) = eventually("the listener's sentence", || refusals.list().pop()).await;
    assert_says(&sentence, &["something other than TLS"]);
    dial(&n2, &address, &exactly(&n1), WITHIN).await.unwrap();
    assert_eq!(in_time(came.recv()).await.unwrap(), *n2.name());
    assert_eq!(refusals.list(), [], "a party that is let in is no longer listed");
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_named() {
    let pki = Pki::new(CLUSTER);
    let n1 = pki.member("n1");
    let socket = tokio::net::TcpListener::bind(LOCAL).await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok();
    });
    let error = dial(&n1, &address, &Expect::AnyMember, WITHIN).await.unwrap_err();
    assert_says(&error.to_string(), &[&address, "other than TLS"]);
}

#[tokio::test]
async fn closing_ends_the_listener_and_its_streams() {
    let pki = Pki::new(CLUSTER);
    let (n1, n2) = (pki.member("n1"), pki.member("n2"));
    let listener = Listener::bind(LOCAL, n1.clone(), Accepts::Members).await.unwrap();
    let (address, closer) = (listener.local_addr().to_string(), listener.closer());
    let mut incoming = Box::pin(listener.incoming());
    let server = async {
        let mut stream = incoming.next().await.unwrap().unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        stream
    };
    let expect = exactly(&n1);
    let (mut inbound, outbound) = tokio::join!(server, dial(&n2, &address, &expect, WITHIN));
    closer.close();
    assert!(in_time(inbound.read_u8()).await.is_err());
    drop((inbound, outbound));
    in_time(closer.closed()).await;
    assert!(incoming.next().await.is_none());
    assert!(TcpStream::connect(&address).await.is_err());
}

/// A channel that broke says in the failed request's error why it cannot come back.
#[tokio::test]
async fn a_channel_that_cannot_reconnect_says_why() {
    let (ours, theirs) = (Pki::new(CLUSTER), Pki::new(CLUSTER));
    let listener = Listener::bind(LOCAL, ours.member("n1"), Accepts::MembersAndClients).await.unwrap();
    let (address, closer) = (listener.local_addr(), listener.closer());
    let serve = |listener: Listener| {
        let service = Unimplemented;
        tokio::spawn(tonic::transport::Server::builder().serve_with_incoming(service, listener.incoming()))
    };
    serve(listener);
    let alice = ours.issue(&PeerName::client("alice", CLUSTER).unwrap());
    let channel = channel(&alice, &address.to_string(), Expect::AnyMember, &ChannelSettings::default()).await.unwrap();
    assert_eq!(call(&channel).await.code(), tonic::Code::Unimplemented);

    closer.close();
    in_time(closer.closed()).await;
    let listener = Listener::bind(address, theirs.member("n1"), Accepts::MembersAndClients).await.unwrap();
    let impostor = listener.closer();
    serve(listener);
    let reason = failed_call(&channel).await;
    assert!(matches!(reason, DialError::Rejected { .. }), "{reason}");
    assert_says(&reason.to_string(), &["wrong CA", "n1.c1c1"]);

    impostor.close();
    in_time(impostor.closed()).await;
    let reason = failed_call(&channel).await;
    assert!(matches!(reason, DialError::Unreachable { .. }), "{reason}");
    let error =
        cp_net::tls::channel(&alice, &address.to_string(), Expect::AnyMember, &ChannelSettings::default()).await;
    assert!(matches!(error, Err(DialError::Unreachable { .. })));
}

/// The first call after a break may only find that the connection is gone.
async fn failed_call(channel: &tonic::transport::Channel) -> DialError {
    for _ in 0..3 {
        if let Some(reason) = dial_reason(&call(channel).await) {
            return reason.clone();
        }
    }
    panic!("no reason in {:?}", call(channel).await)
}

async fn call(channel: &tonic::transport::Channel) -> tonic::Status {
    let mut client = tonic::client::Grpc::new(channel.clone());
    if let Err(error) = client.ready().await {
        return tonic::Status::from_error(Box::new(error));
    }
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/a/b");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    client.unary(tonic::Request::new(()), path, codec).await.unwrap_err()
}

#[derive(Clone)]
struct Unimplemented;

impl tower::Service<tonic::codegen::http::Request<tonic::body::Body>> for Unimplemented {
    type Response = tonic::codegen::http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::codegen::http::Request<tonic::body::Body>) -> Self::Future {
        assert!(request.extensions().get::<cp_net::tls::PeerInfo>().is_some());
        std::future::ready(Ok(tonic::Status::unimplemented("").into_http()))
    }
}
