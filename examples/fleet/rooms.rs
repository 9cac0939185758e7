//! Where workers live: each in a network of its own, with nothing in it but wires to the database, the sites and Jira.
//!
//! A room is a network namespace with a loopback alone. In it, this program again listens where the outside would be, and
//! carries all bytes over unix sockets, which cross namespaces, to the outside. The wire to the database can be cut: it
//! then carries nothing and closes nothing, as a network does that is down.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use crate::Result;

/// Where the database is within a room.
pub const DATABASE: &str = "127.0.0.1:5432";

/// Where bytes go to.
#[derive(Clone)]
enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

pub struct Room {
    folder: PathBuf,
    keeper: Child,
    /// Whether the wire to the database carries.
    whole: watch::Sender<bool>,
}

impl Room {
    /// Makes a room, with wires to these addresses of the outside and to the database's socket; on a machine of that
    /// name, if one is given.
    pub fn make(folder: &Path, outside: &[SocketAddr], database: &Path, machine: Option<&str>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (whole, gate) = watch::channel(true);
        let mut keeper = Command::new("unshare");
        keeper
            .arg("--net")
            .arg("--uts")
            .args(["sh", "-c", "[ -z \"$0\" ] || hostname \"$0\"; exec \"$@\""])
            .arg(machine.unwrap_or_default())
            .arg(std::env::current_exe()?)
            .arg("inside")
            .arg(folder);
        carry_from(&folder.join(DATABASE), Target::Unix(database.to_owned()), gate.clone())?;
        keeper.arg(DATABASE);
        let (_, always) = watch::channel(true);
        for address in outside {
            carry_from(&folder.join(address.to_string()), Target::Tcp(*address), always.clone())?;
            keeper.arg(address.to_string());
        }
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = keeper.stdout.take().ok_or("the room says nothing")?;
        let mut ready = String::new();
        BufReader::new(said).read_line(&mut ready)?;
        if ready.trim() != "ready" {
            return Err("no network of its own can be made; run this as root".into());
        }
        Ok(Self {
            folder: folder.to_owned(),
            keeper,
            whole,
        })
    }

    /// A command that runs in it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", self.keeper.id()))
            .arg(format!("--uts=/proc/{}/ns/uts", self.keeper.id()))
            .arg("--")
            .arg(program);
        command
    }

    /// Cuts the wire to the database, or mends it.
    pub fn cut(&self, cut: bool) {
        self.whole.send_replace(!cut);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn carry_from(at: &Path, to: Target, gate: watch::Receiver<bool>) -> Result<()> {
    let listener = UnixListener::bind(at)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(carry(stream, to.clone(), gate.clone()));
        }
    });
    Ok(())
}

/// What runs in a room, as long as whoever made it holds its input.
pub async fn inside(folder: &Path, addresses: &[String]) -> Result<()> {
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if !up.success() {
        return Err("the loopback does not come up".into());
    }
    let (_, always) = watch::channel(true);
    for address in addresses {
        let listener = TcpListener::bind(address).await?;
        let (to, gate) = (Target::Unix(folder.join(address)), always.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(carry(stream, to.clone(), gate.clone()));
            }
        });
    }
    println!("ready");
    // It ends with whoever made it.
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    ended.await??;
    Ok(())
}

async fn carry(from: impl AsyncRead + AsyncWrite, to: Target, gate: watch::Receiver<bool>) {
    let mut open = gate.clone();
    if open.wait_for(|whole| *whole).await.is_err() {
        // Whoever could cut it is gone: it carries for ever.
    }
    match to {
        Target::Tcp(address) => {
            if let Ok(to) = TcpStream::connect(address).await {
                let _ = to.set_nodelay(true);
                both(from, to, gate).await;
            }
        }
        Target::Unix(path) => {
            if let Ok(to) = UnixStream::connect(path).await {
                both(from, to, gate).await;
            }
        }
    }
}

async fn both(one: impl AsyncRead + AsyncWrite, other: impl AsyncRead + AsyncWrite, gate: watch::Receiver<bool>) {
    let (from_one, to_one) = tokio::io::split(one);
    let (from_other, to_other) = tokio::io::split(other);
    // When one side ends, so does the other.
    tokio::select! {
        () = way(from_one, to_other, gate.clone()) => {}
        () = way(from_other, to_one, gate) => {}
    }
}

async fn way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut gate: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(count) = from.read(&mut bytes).await else { return };
        let _ = gate.wait_for(|whole| *whole).await;
        if count == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}
