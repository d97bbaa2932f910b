//! A connection whose other end is known.

use super::listen::Closer;
use super::name::PeerName;
use bytes::{Buf, Bytes};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

/// Who is at the other end. A tonic handler finds it in its request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// The name that its certificate proved.
    pub name: PeerName,
    /// Its address, which proves nothing.
    pub address: SocketAddr,
}

/// A TLS stream whose other end has proved its name.
///
/// It breaks when its [`Closer`] closes.
pub struct PeerStream {
    io: TlsStream<TcpStream>,
    /// What was read ahead, to learn whether this end was accepted.
    ahead: Bytes,
    info: PeerInfo,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl PeerStream {
    pub(super) fn new(io: TlsStream<TcpStream>, ahead: Bytes, info: PeerInfo, closer: &Closer) -> Self {
        let closer = closer.clone();
        Self { io, ahead, info, closing: Box::pin(async move { closer.closing().await }) }
    }

    /// Who is at the other end.
    pub fn info(&self) -> &PeerInfo {
        &self.info
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.closing.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed by this end")),
        }
    }
}

impl fmt::Debug for PeerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerStream").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Connected for PeerStream {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.copy_to_bytes(length));
            return Poll::Ready(Ok(()));
        }
        // Only readers wait for the close: hyper always has a read pending.
        // A future that was ready must not be polled again, but after the
        // error nobody reads this stream again.
        self.poll_closing(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
