//! `cp-net` on real sockets and real files.

#[cfg(test)]
mod credentials;
#[cfg(test)]
mod lives;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod node;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod transport;
