//! What the egress proxy costs: the same work with and without it, side by side, over loopback.
//!
//! `cargo bench --bench egress`. Read the ratios, not the figures: the servers and clients run in this process and
//! share its cores with the proxy, so a ratio here is worse than with a browser, which does much more per byte.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::net::SocketAddr;
use std::time::Instant;

use phantom_gang::egress::{Egress, EgressRules};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Rounds, each with every way in turn; the median is shown.
const ROUNDS: usize = 5;
/// Connections at once.
const CLIENTS: usize = 8;
/// Bytes that each client takes in one go.
const BULK: u64 = 128 << 20;
/// Requests that each client makes on its connection.
const REQUESTS: usize = 2_000;
/// Connections that each client makes, one after the other, with one request on each.
const CONNECTIONS: usize = 200;

/// How a client comes to the server.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    /// Through a tunnel.
    Tunnel,
    /// With whole URLs.
    Plain,
}

#[derive(Clone, Copy)]
struct Route {
    way: Way,
    server: SocketAddr,
    proxy: SocketAddr,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run());
}

async fn run() {
    let server = serve().await;
    let resolve = vec![("bench.test".to_owned(), server.to_string())];
    let egress = Egress::start(EgressRules {
        resolve,
        ..EgressRules::default()
    })
    .await
    .unwrap();
    let route = |way| Route {
        way,
        server,
        proxy: egress.address(),
    };
    let ways = [
        ("direct", route(Way::Direct)),
        ("tunnel", route(Way::Tunnel)),
        ("plain", route(Way::Plain)),
    ];

    println!("{CLIENTS} connections at once, median of {ROUNDS} rounds");
    println!(
        "{:<28}{:>12}{:>12}{:>12}{:>10}{:>10}",
        "", "direct", "tunnel", "plain", "tunnel ×", "plain ×"
    );
    let bytes = BULK as f64 * CLIENTS as f64 / f64::from(1 << 20);
    row("MiB/s", &measure(&ways, bytes, bulk).await);
    row(
        "requests/s, kept alive",
        &measure(&ways, (REQUESTS * CLIENTS) as f64, requests).await,
    );
    row(
        "requests/s, new connection",
        &measure(&ways, (CONNECTIONS * CLIENTS) as f64, connections).await,
    );
    let counters = egress.counters();
    println!(
        "through the proxy: {} MiB in, {} connections",
        counters.bytes_in >> 20,
        counters.connections
    );
    egress.stop().await;
}

fn row(name: &str, rates: &[f64]) {
    let [direct, tunnel, plain] = rates else { return };
    println!(
        "{name:<28}{direct:>12.0}{tunnel:>12.0}{plain:>12.0}{:>10.2}{:>10.2}",
        tunnel / direct,
        plain / direct
    );
}

/// Units of work a second for each way, the ways taking turns so that a noisy moment hits them alike.
async fn measure<F>(ways: &[(&str, Route)], units: f64, work: impl Fn(Route) -> F) -> Vec<f64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut rates = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, route), rates) in ways.iter().zip(&mut rates) {
            let start = Instant::now();
            let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(work(*route))).collect();
            for client in clients {
                client.await.unwrap();
            }
            rates.push(units / start.elapsed().as_secs_f64());
        }
    }
    rates
        .into_iter()
        .map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[ROUNDS / 2]
        })
        .collect()
}

async fn bulk(route: Route) {
    let mut stream = route.open().await;
    route.request(&mut stream, &format!("/{BULK}")).await;
}

async fn requests(route: Route) {
    let mut stream = route.open().await;
    for _ in 0..REQUESTS {
        route.request(&mut stream, "/1000").await;
    }
}

async fn connections(route: Route) {
    for _ in 0..CONNECTIONS {
        let mut stream = route.open().await;
        route.request(&mut stream, "/1000").await;
    }
}

impl Route {
    async fn open(&self) -> BufReader<TcpStream> {
        let to = if matches!(self.way, Way::Direct) {
            self.server
        } else {
            self.proxy
        };
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut stream = BufReader::with_capacity(64 << 10, stream);
        if matches!(self.way, Way::Tunnel) {
            stream
                .write_all(b"CONNECT bench.test:80 HTTP/1.1\r\nHost: bench.test:80\r\n\r\n")
                .await
                .unwrap();
            assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 200"));
        }
        stream
    }

    /// Makes one request and reads the whole response.
    async fn request(&self, stream: &mut BufReader<TcpStream>, path: &str) {
        let host = if matches!(self.way, Way::Plain) {
            "http://bench.test"
        } else {
            ""
        };
        let request = format!("GET {host}{path} HTTP/1.1\r\nHost: bench.test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(stream).await.unwrap().to_ascii_lowercase();
        let (_, length) = head.split_once("content-length: ").expect("a response with a length");
        let mut left: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let room = left.min(buffer.len());
            let read = stream.read(&mut buffer[..room]).await.unwrap();
            assert!(read > 0, "the body broke off");
            left -= read;
        }
    }
}

/// A server that answers `/N` with N bytes.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(head) = head(&mut stream).await {
                    let length: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
                    if answer(&mut stream, length).await.is_none() {
                        break;
                    }
                }
            });
        }
    });
    address
}

async fn answer(stream: &mut BufReader<TcpStream>, length: usize) -> Option<()> {
    static BYTES: [u8; 64 << 10] = [b'x'; 64 << 10];
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())
        .await
        .ok()?;
    let mut left = length;
    while left > 0 {
        let part = left.min(BYTES.len());
        stream.write_all(&BYTES[..part]).await.ok()?;
        left -= part;
    }
    Some(())
}

/// Reads to the empty line; `None` if the connection ends before.
async fn head(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
