//! The proxy on real sockets, all of them on loopback.

mod ending;
mod fetching;
mod hostile;
mod rules;
mod speech;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::dial::Resolver;
use super::server::Patience;
use super::{CODE_HEADER, Egress, EgressRules};
use crate::config::Cidr;

/// Longer than anything here may take, so that a fault ends a test.
const LIMIT: Duration = Duration::from_secs(20);

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(LIMIT, work).await.expect("it hangs")
}

/// Knows these names only. Each lookup takes the next answer, the last one stays.
#[derive(Default)]
struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    lookups: AtomicUsize,
}

impl Names {
    fn of(answers: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let addresses = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let answers = answers
            .iter()
            .map(|(name, rounds)| ((*name).to_owned(), rounds.iter().map(addresses).collect()))
            .collect();
        Arc::new(Self {
            answers: Mutex::new(answers),
            lookups: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Resolver for Names {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let rounds = answers.get_mut(name).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(if rounds.len() > 1 {
            rounds.remove(0)
        } else {
            rounds[0].clone()
        })
    }
}

/// A proxy that knows no names but those in `names`.
async fn proxy(rules: EgressRules, names: &[(&str, &[&[&str]])]) -> Egress {
    Egress::start_with(rules, Names::of(names), Patience::default())
        .await
        .unwrap()
}

/// Rules that map `*.test`, on every port, to one server.
fn mapped(to: SocketAddr) -> EgressRules {
    EgressRules {
        resolve: vec![("*.test".to_owned(), to.to_string())],
        ..EgressRules::default()
    }
}

fn cidr(text: &str) -> Cidr {
    let (address, prefix) = text.split_once('/').unwrap();
    Cidr {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
    }
}

/// A server that answers each request head with what `answer` makes of it, and closes if that ends in nothing.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", answer).await
    }

    async fn start_on(address: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (Arc::clone(&connections), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    while let Some(head) = read_head(&mut stream).await {
                        let bytes = answer(&head);
                        let close = String::from_utf8_lossy(&bytes).contains("Connection: close");
                        if stream.write_all(&bytes).await.is_err() || close {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, connections }
    }

    /// Answers with the head of the request as body.
    async fn echo() -> Self {
        Self::start(response).await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn response(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads to the empty line; `None` if the connection ends before.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A client of the proxy.
struct Browser(TcpStream);

/// What a browser got, names of headers in lower case.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl Answer {
    fn code(&self) -> Option<&str> {
        self.headers.get(CODE_HEADER).map(String::as_str)
    }
}

impl Browser {
    async fn new(egress: &Egress) -> Self {
        Self(TcpStream::connect(egress.address()).await.unwrap())
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads one answer with a Content-Length, or none.
    async fn receive(&mut self) -> Answer {
        let head = within(read_head(&mut self.0)).await.expect("no answer");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<_, _> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        within(self.0.read_exact(&mut body)).await.unwrap();
        Answer {
            status,
            headers,
            body: String::from_utf8(body).unwrap(),
        }
    }

    async fn get(&mut self, url: &str) -> Answer {
        self.send(format!("GET {url} HTTP/1.1\r\nHost: wrong.example\r\n\r\n"))
            .await;
        self.receive().await
    }

    async fn connect(&mut self, authority: &str) -> Answer {
        self.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"))
            .await;
        self.receive().await
    }

    /// Reads until the other side closes; a reset is an end too.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = within(self.0.read_to_end(&mut rest)).await;
        rest
    }
}

async fn get(egress: &Egress, url: &str) -> Answer {
    Browser::new(egress).await.get(url).await
}

async fn connect(egress: &Egress, authority: &str) -> Answer {
    Browser::new(egress).await.connect(authority).await
}
