//! What four replicas bring across on loopback, in one process: small statements, one after another and by the thousand, and
//! blocks, alone and with statements behind them.

use hypermesh_bft::message::SignedVote;
use hypermesh_bft::{Message, To};
use hypermesh_chain::{ClusterId, GroupId, Hash, Height, PublicKey, Signature, SigningKey, Vote, VoteKind};
use hypermesh_peers::{Delivery, Incoming, Limits, Peer, Peers, Settings};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const REPLICAS: u8 = 4;
const TURNS: u32 = 5_000;
const STATEMENTS: u32 = 200_000;
/// What a full block of small writes is, and a large one.
const BLOCKS: [(usize, u32); 3] = [(64 << 10, 2_000), (1 << 20, 200), (16 << 20, 20)];

/// A message, and when it was handed over.
struct Heard {
    from: PublicKey,
    message: Message,
    at: Instant,
}

struct Replica {
    peers: Peers,
    heard: Receiver<Heard>,
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _entered = runtime.enter();
    let replicas = start()?;
    wait_for_connections(&replicas);
    turns(&replicas)?;
    statements(&replicas)?;
    for (size, count) in BLOCKS {
        blocks(&replicas, size, count)?;
    }
    behind_a_block(&replicas)?;
    idle()?;
    for replica in &replicas {
        runtime.block_on(replica.peers.shutdown(Duration::from_secs(5)));
    }
    Ok(())
}

fn start() -> Result<Vec<Replica>, Failure> {
    let key = |seed: u8| SigningKey::from_seed(&[seed; 32]);
    // The rate at which statements are taken is a limit, and what is measured is what lies below.
    let limits = Limits { statements_a_second: u32::MAX, ..Limits::default() };
    let mut replicas: Vec<Replica> = Vec::new();
    for seed in 0..REPLICAS {
        let peers = (0..REPLICAS).filter(|other| *other != seed).map(|other| Peer {
            key: key(other).public(),
            addresses: replicas
                .get(usize::from(other))
                .map(|replica| replica.peers.local_addr())
                .into_iter()
                .collect(),
        });
        let settings = Settings {
            key: key(seed),
            cluster: ClusterId(Hash([7; 32])),
            listen: LOOPBACK,
            peers: peers.collect(),
            limits: limits.clone(),
        };
        let (tell, heard) = channel();
        let peers = Peers::start(settings, move |incoming| {
            if let Incoming::Message { from, message } = incoming {
                let _ = tell.send(Heard { from, message, at: Instant::now() });
            }
            Delivery::done()
        })?;
        replicas.push(Replica { peers, heard });
    }
    Ok(replicas)
}

fn wait_for_connections(replicas: &[Replica]) {
    while !replicas.iter().all(|replica| replica.peers.status().iter().all(|peer| peer.connected)) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn vote(height: u64, round: u32) -> Message {
    let vote = Vote {
        kind: VoteKind::Prevote,
        group: GroupId(0),
        height: Height(height),
        round,
        block: Some(Hash([1; 32])),
    };
    Message::Vote(SignedVote { vote, voter: PublicKey([2; 32]), signature: Signature([3; 64]) })
}

/// One says something to all, all answer it, and so on: what a height's votes wait for.
fn turns(replicas: &[Replica]) -> Result<(), Failure> {
    let [first, others @ ..] = replicas else { return Err("no replicas".into()) };
    let (begun, cpu_before) = (Instant::now(), cpu()?);
    let mut slowest = Duration::ZERO;
    for turn in 0..TURNS {
        let turn_begun = Instant::now();
        first.peers.send(To::All, vote(1, turn));
        for other in others {
            let heard = other.heard.recv()?;
            other.peers.send(To::One(heard.from), vote(2, turn));
        }
        for _ in others {
            first.heard.recv()?;
        }
        slowest = slowest.max(turn_begun.elapsed());
    }
    let each = begun.elapsed() / TURNS;
    let messages = f64::from(TURNS) * 6.0;
    println!(
        "a statement to three and an answer of each: {each:?} a turn, {slowest:?} the slowest, {:.1} us CPU a statement",
        (cpu()? - cpu_before).as_secs_f64() * 1e6 / messages
    );
    Ok(())
}

fn statements(replicas: &[Replica]) -> Result<(), Failure> {
    let [first, second, ..] = replicas else { return Err("no replicas".into()) };
    let to = To::One(second.peers.key());
    let (begun, cpu_before) = (Instant::now(), cpu()?);
    let (mut sent, mut heard) = (0, 0);
    while heard < STATEMENTS {
        // So many are on their way, and none is dropped.
        while sent < STATEMENTS && sent - heard < 2_000 {
            first.peers.send(to, vote(1, sent));
            sent += 1;
        }
        second.heard.recv()?;
        heard += 1;
        heard += u32::try_from(second.heard.try_iter().count())?;
    }
    let took = begun.elapsed();
    println!(
        "statements from one to one: {:.0} a second, {:.1} us CPU each",
        f64::from(STATEMENTS) / took.as_secs_f64(),
        (cpu()? - cpu_before).as_secs_f64() * 1e6 / f64::from(STATEMENTS)
    );
    Ok(())
}

/// A proposer's blocks: each goes to three, and the next when all have it.
fn blocks(replicas: &[Replica], size: usize, count: u32) -> Result<(), Failure> {
    let [first, others @ ..] = replicas else { return Err("no replicas".into()) };
    let (begun, cpu_before) = (Instant::now(), cpu()?);
    for height in 0..count {
        let bytes = vec![height as u8; size].into();
        first.peers.send(To::All, Message::Block { height: Height(u64::from(height)), bytes });
        for other in others {
            other.heard.recv()?;
        }
    }
    let took = begun.elapsed();
    let all = size as f64 * f64::from(count) * others.len() as f64;
    println!(
        "blocks of {} KiB to three: {:?} each, {:.0} MiB/s, {:.2} ns CPU a byte",
        size >> 10,
        took / count,
        all / took.as_secs_f64() / f64::from(1 << 20),
        (cpu()? - cpu_before).as_secs_f64() * 1e9 / all
    );
    Ok(())
}

/// How long a vote takes that is sent right after a block of 16 MiB.
fn behind_a_block(replicas: &[Replica]) -> Result<(), Failure> {
    let [first, others @ ..] = replicas else { return Err("no replicas".into()) };
    let mut waited: Vec<Duration> = Vec::new();
    for height in 0..20_u32 {
        let bytes = vec![height as u8; 16 << 20].into();
        first.peers.send(To::All, Message::Block { height: Height(u64::from(height)), bytes });
        let begun = Instant::now();
        first.peers.send(To::All, vote(u64::from(height), 0));
        for other in others {
            let mut messages = 0;
            while messages < 2 {
                let heard = other.heard.recv()?;
                if let Message::Vote(_) = heard.message {
                    waited.push(heard.at.duration_since(begun));
                }
                messages += 1;
            }
        }
    }
    waited.sort_unstable();
    let at = |part: usize| waited.get(waited.len() * part / 100).copied().unwrap_or_default();
    println!(
        "a vote behind a block of 16 MiB: {:?} in the middle, {:?} of the slowest tenth",
        at(50),
        at(90)
    );
    Ok(())
}

/// What it costs that four are there for each other and say nothing.
fn idle() -> Result<(), Failure> {
    let (begun, cpu_before) = (Instant::now(), cpu()?);
    std::thread::sleep(Duration::from_secs(10));
    let part = (cpu()? - cpu_before).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("four replicas that say nothing: {:.2} % of a core, all together", part * 100.0);
    Ok(())
}

/// User and system time of this process.
fn cpu() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field =
        |place: usize| fields.get(place).ok_or("a field is missing")?.parse::<u64>().map_err(Failure::from);
    // USER_HZ is 100 on every architecture that Linux runs on here.
    Ok(Duration::from_millis((field(11)? + field(12)?) * 10))
}
