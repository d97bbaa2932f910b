//! Ports for processes that are started a moment later.

use anyhow::{Result, ensure};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that outgoing connections are given, which could take one meanwhile.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// Ports on loopback that are free, that nobody is given by chance, and none of them twice.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT))?;
    let mut ports = [0; N];
    let mut tried = 0;
    for port in &mut ports {
        loop {
            let next = (u32::from(start) + u32::from(TAKEN.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
            *port = FIRST + u16::try_from(next)?;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok() {
                break;
            }
            tried += 1;
            ensure!(tried < COUNT, "none of the ports from {FIRST} to {} is free", FIRST + COUNT);
        }
    }
    Ok(ports)
}

/// A cluster file of three members on free ports.
pub fn three_members() -> Result<String> {
    let mut text = String::new();
    for number in 0..3 {
        let [peer, client] = free()?;
        text += &format!("[[member]]\nid = \"n{number}\"\nfailure_domain = \"d{number}\"\n");
        text += &format!("peer = \"127.0.0.1:{peer}\"\nclient = \"127.0.0.1:{client}\"\n\n");
    }
    Ok(text)
}
