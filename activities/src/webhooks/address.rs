//! Where webhooks may be sent.
//!
//! The address is the operator's, from the worker's own configuration; no tenant and no caller can set it. So an address of a
//! private network is as good as any: receivers inside the same cluster are the usual case. Three things are refused all the
//! same: a connection that others can read (plain HTTP to anything but this machine), a name or password in the address (it
//! would end up in logs), and link-local addresses, also when a name leads there: what answers at those gives out the
//! machine's credentials. Redirects are not followed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::error::{Error, ErrorKind, Result};

/// An address that may be sent to.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address(Url);

impl Address {
    /// # Errors
    ///
    /// `InvalidInput` with what is wrong; the address is not quoted, because it may hold a token.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::new(ErrorKind::InvalidInput, format!("SYNCMUX_WEBHOOK_URL {why}"));
        let url = Url::parse(text.trim()).map_err(|_| wrong("is not a URL; write https://host/path"))?;
        let host = url.host_str().ok_or_else(|| wrong("names no host; write https://host/path"))?;
        let ip: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let is_here = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        match url.scheme() {
            "https" => {}
            "http" if is_here => {}
            "http" => return Err(wrong("is plain HTTP to another machine; use https")),
            _ => return Err(wrong("is neither https nor http")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("holds a user or password; requests are signed, so leave it out"));
        }
        if ip.is_some_and(|ip| !may_be_sent_to(ip)) {
            return Err(wrong("is a link-local, multicast or unspecified address"));
        }
        Ok(Self(url))
    }

    pub(super) fn url(&self) -> Url {
        self.0.clone()
    }
}

/// Without path and query, in which there may be a token.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.0.origin().ascii_serialization())
    }
}

fn may_be_sent_to(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !is_link_local && !ip.is_multicast() && !ip.is_unspecified()
}

/// Resolves names as the system does, and leaves out addresses that may not be sent to.
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.filter(|it| may_be_sent_to(it.ip())).collect();
            if found.is_empty() {
                return Err("the name leads to no address that webhooks may be sent to".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_else_reads_is_an_address() {
        for good in [
            "https://hooks.example.com/x?y=z",
            "https://10.0.0.7:8443/",
            "https://[fd00::1]/",
            "http://127.0.0.1:9/",
            "http://localhost/",
            "http://[::1]:8080/a",
        ] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for (bad, words) in [
            ("hooks", "not a URL"),
            ("ftp://127.0.0.1/", "neither https"),
            ("http://example.com/", "plain HTTP"),
            ("http://10.0.0.7/", "plain HTTP"),
            ("https://user:hunter2@example.com/", "user or password"),
            ("https://169.254.169.254/latest", "link-local"),
            ("https://[fe80::1]/", "link-local"),
            ("https://[::ffff:169.254.169.254]/", "link-local"),
            ("https://0.0.0.0/", "unspecified"),
        ] {
            let told = Address::parse(bad).unwrap_err().to_string();
            assert!(told.contains(words) && !told.contains("hunter2"), "{bad}: {told}");
        }
        let address = Address::parse("https://example.com/token-hunter2").unwrap();
        assert_eq!(format!("{address:?}"), "Address(https://example.com)");
    }

    #[tokio::test]
    async fn a_name_does_not_lead_to_where_no_address_may() {
        let resolve = async |name: &str| Resolver.resolve(name.parse().unwrap()).await.map(Iterator::count);
        assert!(resolve("localhost").await.is_ok_and(|found| found > 0));
        assert!(resolve("169.254.169.254").await.is_err());
    }
}
