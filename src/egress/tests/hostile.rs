//! Bytes that nobody meant well.

use std::sync::OnceLock;

use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::*;

/// The name of the threads whose panics are counted. A task's panic is otherwise not seen.
const THREAD: &str = "egress-hostile";
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some(THREAD) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(info);
        }));
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(THREAD)
            .enable_all()
            .build()
            .unwrap()
    })
}

/// Runs on the watched threads.
fn run(work: impl Future<Output = ()> + Send + 'static) {
    runtime().block_on(async { tokio::spawn(work).await }).unwrap();
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "a task panicked");
}

/// Nearly a request: right pieces, wrongly put together.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec![
        "GET", "CONNECT", "POST", "HEAD", "OPTIONS", "PRI", "get", "", "G\0T",
    ]);
    let url = prop_oneof![
        "[a-z0-9.:/@%\\[\\]*?#-]{0,40}",
        "http://[a-z0-9.:@%\\[\\]-]{0,30}/?",
        Just("http://nobody.example/".to_owned()),
        Just("nobody.example:443".to_owned()),
    ];
    let version = prop::sample::select(vec!["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", ""]);
    let header = prop_oneof![
        "[A-Za-z-]{1,12}: [ -~]{0,20}",
        "Content-Length: [0-9]{1,20}",
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("Connection: upgrade, host".to_owned()),
        Just("Expect: 100-continue".to_owned()),
        Just("Host: a\u{e9}".to_owned()),
        "\\PC{0,20}",
    ];
    let headers = prop::collection::vec(header, 0..6);
    let body = prop::collection::vec(any::<u8>(), 0..40);
    (method, url, version, headers, body).prop_map(|(method, url, version, headers, body)| {
        let mut bytes = format!("{method} {url} {version}\r\n{}\r\n\r\n", headers.join("\r\n")).into_bytes();
        bytes.extend(body);
        bytes
    })
}

/// Nearly a response.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        Just("HTTP/1.1 200 OK".to_owned()),
        Just("HTTP/1.0 200 OK".to_owned()),
        "HTTP/1.1 [1-9][0-9]{2} [ -~]{0,9}",
        "[ -~]{0,20}",
    ];
    let header = prop_oneof![
        "Content-Length: [0-9]{1,3}",
        "Content-Length: [0-9]{1,25}(, [0-9]{1,3})?",
        prop::sample::select(vec![
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip",
            "Connection: close",
            "Connection: transfer-encoding, content-length",
            "Upgrade: websocket",
            "Trailer: x",
            "Location: \u{e9}",
            "X-Phantom-Egress: refused",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,20}",
    ];
    let headers = prop::collection::vec(header, 0..6);
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        Just(b"3\r\nabc\r\n0\r\n\r\n".to_vec()),
        Just(b"fffffffffffffffff\r\n".to_vec()),
    ];
    (status, headers, body).prop_map(|(status, headers, body)| {
        let mut bytes = format!("{status}\r\n{}\r\n\r\n", headers.join("\r\n")).into_bytes();
        bytes.extend(body);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_request_hangs_or_breaks_the_proxy(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), request()],
    ) {
        run(async move {
            let egress = proxy(EgressRules::default(), &[]).await;
            let mut browser = Browser::new(&egress).await;
            browser.send(&bytes).await;
            let _ = browser.0.shutdown().await;
            browser.rest().await;
            still_answers(&egress).await;
            within(egress.stop()).await;
        });
    }

    #[test]
    fn no_response_hangs_or_breaks_the_proxy(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), reply()],
        method in prop::sample::select(vec!["GET", "HEAD", "POST"]),
        version in 0..=1,
    ) {
        run(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let egress = proxy(mapped(listener.local_addr().unwrap()), &[]).await;
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                read_head(&mut stream).await;
                let _ = stream.write_all(&bytes).await;
            });
            let mut browser = Browser::new(&egress).await;
            browser.send(format!("{method} http://a.test/ HTTP/1.{version}\r\nConnection: close\r\n\r\n")).await;
            let got = browser.rest().await;
            assert!(got.is_empty() || got.starts_with(b"HTTP/1."), "{got:?}");
            within(server).await.unwrap();
            still_answers(&egress).await;
            within(egress.stop()).await;
        });
    }
}

async fn still_answers(egress: &Egress) {
    assert_eq!(connect(egress, "127.0.0.1:1").await.code(), Some("refused"));
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let egress = proxy(EgressRules::default(), &[]).await;
    let mut browser = Browser::new(&egress).await;
    browser.send("GET http://a.test/ HTTP/1.1\r\nX: ").await;
    let (mut reader, mut writer) = browser.0.split();
    let flood = async { while writer.write_all(&[b'x'; 4096]).await.is_ok() {} };
    let answer = async {
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer).await;
        answer
    };
    let (answer, ()) = within(async { tokio::join!(answer, flood) }).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn a_response_head_without_end_is_an_error() {
    let server = Server::start(|_| [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat()).await;
    let egress = proxy(mapped(server.address), &[]).await;
    let answer = get(&egress, "http://a.test/").await;
    assert_eq!((answer.status, answer.code()), (502, Some("protocol")));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_made_whole() {
    let table = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX: Connection: close\r\n\r\nshort",
            "content-length: 100",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: Connection: close\r\n\r\n5\r\nshort\r\n",
            "chunked",
        ),
    ];
    for (reply, kept) in table {
        let server = Server::start(|_| reply.as_bytes().to_vec()).await;
        let egress = proxy(mapped(server.address), &[]).await;
        let mut browser = Browser::new(&egress).await;
        browser.send("GET http://a.test/ HTTP/1.1\r\n\r\n").await;
        let got = String::from_utf8(browser.rest().await).unwrap();
        assert!(
            got.to_ascii_lowercase().contains(kept) && got.contains("short"),
            "{got}"
        );
        assert!(!got.ends_with("0\r\n\r\n"), "{got}");
    }
}
