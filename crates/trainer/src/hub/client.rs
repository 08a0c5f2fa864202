//! The hub's protocol: which files a repository has, what a file is, and its content, piece by piece.
//!
//! # Reference
//! <https://huggingface.co/docs/hub/api> and, for the headers of `/resolve/`, huggingface_hub's `get_hf_file_metadata`.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::thread::Builder;
use std::time::{Duration, Instant};

use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE, RETRY_AFTER,
};
use ureq::http::{Method, Request, Response, StatusCode, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::digest::hex;
use crate::error::{Error, Result};
use crate::hub::address::{Origin, joined, origin, parted};
use crate::hub::cache::{RepoCache, is_commit, make_parent};
use crate::hub::files::{BESIDE, WEIGHTS, no_weights};
use crate::hub::names::Repo;
use crate::hub::options::{Options, hidden};
use crate::progress::{Progress, Stage};
use crate::threads;

const MAX_REDIRECTS: usize = 10;
/// Below this a download isn't worth a progress bar.
const WORTH_TELLING: u64 = 1 << 20;

/// A client that asks the hub for one repository.
pub(super) struct Client<'a> {
    /// The name as the user wrote it.
    name: &'a str,
    repo: &'a Repo,
    options: &'a Options,
    progress: &'a dyn Progress,
    agent: Agent,
    /// The hub's address, without user and password: messages name it.
    endpoint: String,
    /// User and password for the hub alone.
    user: Option<&'a str>,
    origin: Origin,
}

/// What the hub answers about a revision.
#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// What the hub says about a file before it is sent.
struct Metadata {
    /// SHA-256 of a large file, git's SHA-1 of a small one; the blob's name in the cache.
    etag: String,
    size: Option<u64>,
}

/// Tells whether a download takes long enough for its progress to be told.
fn is_worth_telling(size: Option<u64>) -> bool {
    size.is_some_and(|size| size >= WORTH_TELLING)
}

impl<'a> Client<'a> {
    pub(super) fn new(name: &'a str, repo: &'a Repo, options: &'a Options, progress: &'a dyn Progress) -> Result<Self> {
        let wrong = || Error::InvalidOption {
            option: "HF_ENDPOINT",
            value: hidden(&options.endpoint),
            expected: "an address such as https://huggingface.co",
        };
        let (endpoint, user) = parted(&options.endpoint);
        let parsed: Uri = options.endpoint.parse().map_err(|_| wrong())?;
        let origin = origin(&parsed).filter(|_| !endpoint.contains('@')).ok_or_else(wrong)?;
        // A host's certificates are checked as the system checks them, so that a company's own authority counts.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let mut config = Agent::config_builder()
            .user_agent(concat!("rehead/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(options.timeout))
            .timeout_recv_response(Some(options.timeout))
            .timeout_per_read(Some(options.timeout));
        // No proxy sees this machine's loopback.
        if ["127.0.0.1", "localhost", "[::1]"].contains(&origin.1.as_str()) {
            config = config.proxy(None);
        }
        Ok(Self { name, repo, options, progress, agent: config.build().new_agent(), endpoint, user, origin })
    }

    /// Brings the wanted files of the revision into the cache; returns the commit.
    pub(super) fn download(&self, cache: &RepoCache) -> Result<String> {
        let (endpoint, Repo { id, revision }) = (&self.endpoint, self.repo);
        let url = format!("{endpoint}/api/models/{id}/revision/{}", revision.replace('/', "%2F").replace('+', "%2B"));
        let mut answer = self.send(Method::GET, &url, 0)?;
        let text = answer.body_mut().read_to_string().map_err(|error| self.unreachable(&error.to_string()))?;
        let info: Info = serde_json::from_str(&text)
            .map_err(|error| self.network(format!("{endpoint} answers as no hub does ({error})"), ENDPOINT))?;
        let commit = info.sha;
        if !is_commit(&commit) {
            return Err(self.network(format!("{endpoint} gives {commit:?} for a commit"), ENDPOINT));
        }
        let has = |name: &str| info.siblings.iter().any(|sibling| sibling.rfilename == name);
        if !has(WEIGHTS) {
            return Err(no_weights(self.name, info.siblings.into_iter().map(|sibling| sibling.rfilename).collect()));
        }
        // The weights last: a snapshot that has them is whole.
        for name in BESIDE.into_iter().chain([WEIGHTS]) {
            if has(name) {
                self.fetch(cache, &commit, name)?;
            } else {
                cache.set_absent(&commit, name)?;
            }
        }
        cache.set_commit(revision, &commit)?;
        Ok(commit)
    }

    /// Brings one file into the cache.
    fn fetch(&self, cache: &RepoCache, commit: &str, name: &str) -> Result<()> {
        if cache.file(commit, name).is_some() {
            return Ok(());
        }
        let url = format!("{}/{}/resolve/{commit}/{name}", self.endpoint, self.repo.id);
        let metadata = self.metadata(&url, commit)?;
        if metadata.size.is_some_and(|size| size > self.options.largest) {
            return Err(self.too_large(name));
        }
        let _lock = cache.lock(&metadata.etag, self.progress)?;
        let blob = cache.blob(&metadata.etag);
        if !blob.is_file() {
            self.content(&url, name, &metadata, &blob)?;
        }
        cache.link(commit, name, &metadata.etag)
    }

    fn metadata(&self, url: &str, commit: &str) -> Result<Metadata> {
        let answer = self.send(Method::HEAD, url, 0)?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(other) = header("x-repo-commit").filter(|other| *other != commit) {
            return Err(self.network(format!("asked for commit {commit}, the hub gives {other}"), ENDPOINT));
        }
        let linked = header("x-linked-etag");
        let etag = linked.or(header(ETAG.as_str())).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        // It becomes a file's name.
        if etag.is_empty()
            || etag.starts_with('.')
            || !etag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            return Err(self.network(format!("{url}: {etag:?} is no ETag to keep a file under"), ENDPOINT));
        }
        let length = if answer.status().is_success() { header(CONTENT_LENGTH.as_str()) } else { None };
        Ok(Metadata { etag, size: header("x-linked-size").or(length).and_then(|size| size.parse().ok()) })
    }

    /// Downloads, verifies and places a blob, of which a part may be there already.
    fn content(&self, url: &str, name: &str, metadata: &Metadata, blob: &Path) -> Result<()> {
        let mut incomplete = blob.as_os_str().to_owned();
        incomplete.push(".incomplete");
        let incomplete = PathBuf::from(incomplete);
        make_parent(&incomplete)?;
        let io = |action| Error::io(action, &incomplete);
        let mut problem = String::new();
        // What was there may have been damaged, so once more from the start.
        for _ in 0..2 {
            let file = File::options().create(true).truncate(false).read(true).write(true).open(&incomplete);
            let mut file = file.map_err(io("create"))?;
            let received = self.receive(url, metadata.size, &mut file, &incomplete);
            if is_worth_telling(metadata.size) {
                self.progress.end();
            }
            received?;
            if file.seek(SeekFrom::End(0)).map_err(io("read"))? > self.options.largest {
                drop(file);
                std::fs::remove_file(&incomplete).map_err(io("remove"))?;
                return Err(self.too_large(name));
            }
            file.sync_all().map_err(io("write"))?;
            match verify(&mut file, metadata).map_err(io("read"))? {
                None => return std::fs::rename(&incomplete, blob).map_err(io("rename")),
                Some(found) => problem = found,
            }
            drop(file);
            std::fs::remove_file(&incomplete).map_err(io("remove"))?;
        }
        let advice = "something on the way changes or damages it: try again, without a proxy or mirror if there is one";
        Err(self.network(format!("{name} came in wrong, twice: {problem}"), advice))
    }

    /// Adds to `file` what it lacks, over as many connections as that takes, until so many in a row have brought nothing new.
    fn receive(&self, url: &str, size: Option<u64>, file: &mut File, path: &Path) -> Result<()> {
        let io = || Error::io("write", path);
        let mut have = file.seek(SeekFrom::End(0)).map_err(io())?;
        if size.is_some_and(|size| have > size) {
            file.set_len(0).map_err(io())?;
            have = 0;
        }
        // Where the progress that is told stands, and whether a part can't be had.
        let (mut told, mut whole, mut idle) = (None, false, 0);
        while size != Some(have) {
            let mut answer = self.send(Method::GET, url, if whole { 0 } else { have })?;
            // Where the bytes that come belong. A server without ranges sends all of them: they are written over those that are here, so that
            // a connection cut earlier than the last one loses nothing.
            let from = match answer.status() {
                StatusCode::OK => Some(0),
                StatusCode::PARTIAL_CONTENT => range_start(&answer).filter(|from| *from <= have),
                _ => None,
            };
            let mut end = from.unwrap_or(0);
            let ended = if from.is_some() {
                file.seek(SeekFrom::Start(end)).map_err(io())?;
                if is_worth_telling(size) && told != Some(end) {
                    self.progress.begin(Stage::DOWNLOAD, size.unwrap_or(0) as usize);
                    self.progress.advance(end as usize);
                }
                // One byte more than there should be is enough to know that it is too many.
                let most = (size.unwrap_or(self.options.largest) + 1).saturating_sub(end);
                let ended = self.copy(answer.body_mut().as_reader().take(most), file, &mut end, path)?;
                told = Some(end);
                ended
            } else {
                whole = true;
                Err("it doesn't send the part asked for".to_owned())
            };
            idle = if end > have { 0 } else { idle + 1 };
            have = have.max(end);
            match (ended, size) {
                (_, Some(size)) if have >= size => break,
                (Ok(()), None) => break,
                (ended, _) if idle >= self.options.attempts => {
                    let reason = ended.err().unwrap_or_else(|| "the connection ends early".to_owned());
                    return Err(self.unreachable(&format!("{reason}, {idle} times in a row without anything new")));
                }
                _ => self.wait(self.pause(idle))?,
            }
        }
        Ok(())
    }

    /// Copies until the end or until the connection fails, which is the inner error.
    fn copy(&self, mut from: impl Read, to: &mut File, end: &mut u64, path: &Path) -> Result<Result<(), String>> {
        let mut buffer = vec![0; 1 << 17];
        loop {
            if self.progress.cancelled() {
                return Err(Error::Interrupted { kept: 0 });
            }
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(error.to_string())),
            };
            to.write_all(&buffer[..read]).map_err(Error::io("write", path))?;
            *end += read as u64;
            self.progress.advance(read);
        }
    }

    /// Asks until there is an answer that isn't passing trouble.
    fn send(&self, method: Method, url: &str, from: u64) -> Result<Response<Body>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let last = tries >= self.options.attempts;
            let pause = match self.follow(&method, url, from)? {
                Ok(answer) => {
                    let status = answer.status();
                    if status.is_success() || status.is_redirection() || status == StatusCode::RANGE_NOT_SATISFIABLE {
                        return Ok(answer);
                    }
                    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
                    if !status.is_server_error() && !busy.contains(&status) {
                        return Err(self.refused(&answer));
                    }
                    let after =
                        answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
                    let pause = after.map_or(self.pause(tries), Duration::from_secs);
                    if last || pause > self.options.longest_pause {
                        return Err(self.overloaded(status, after));
                    }
                    pause
                }
                Err(error) if passing(&error) && !last => self.pause(tries),
                Err(error) => return Err(self.unreachable(&error.to_string())),
            };
            self.wait(pause)?;
        }
    }

    /// Asks once, following redirects. A `HEAD` stops at the first answer that describes the file, which storage elsewhere doesn't.
    fn follow(&self, method: &Method, url: &str, from: u64) -> Result<Result<Response<Body>, ureq::Error>> {
        let bad =
            |url: &str| self.network(format!("the hub points to {url:?}, which is no address to go to"), ENDPOINT);
        let mut uri: Uri = url.parse().map_err(|_| bad(url))?;
        for _ in 0..=MAX_REDIRECTS {
            let own = origin(&uri).as_ref() == Some(&self.origin);
            let address = match self.user {
                Some(user) if own => uri.to_string().replacen("://", &format!("://{user}@"), 1),
                _ => uri.to_string(),
            };
            let mut request = Request::builder().method(method).uri(address).header(ACCEPT_ENCODING, "identity");
            if let Some(token) = self.options.token.as_ref().filter(|_| own) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let request = request.body(()).map_err(|_| Error::InvalidOption {
                option: "HF_TOKEN",
                value: "(hidden)".to_owned(),
                expected: "printable characters",
            })?;
            // A thread of the client's looks the host's name up, and where it can't be started there is a panic.
            threads::patiently(|| threads::waiting(Builder::new(), drop::<()>)).map_err(Error::Thread)?;
            let answer = match self.agent.run(request) {
                Ok(answer) => answer,
                Err(error) => return Ok(Err(error)),
            };
            let Some(location) = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection()) else {
                return Ok(Ok(answer));
            };
            let location = location.to_str().map_err(|_| bad("something unreadable"))?;
            let next = joined(&uri, location).ok_or_else(|| bad(location))?;
            let described =
                answer.headers().contains_key("x-linked-etag") || origin(&next).as_ref() != Some(&self.origin);
            if method == Method::HEAD && described {
                return Ok(Ok(answer));
            }
            uri = next;
        }
        Err(self.network(format!("more than {MAX_REDIRECTS} redirects from {url}"), ENDPOINT))
    }

    fn pause(&self, failures: u32) -> Duration {
        let doubled = self.options.pause.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.options.longest_pause)
    }

    fn wait(&self, pause: Duration) -> Result<()> {
        let end = Instant::now() + pause;
        loop {
            if self.progress.cancelled() {
                return Err(Error::Interrupted { kept: 0 });
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    fn refused(&self, answer: &Response<Body>) -> Error {
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (code, status) = (header("x-error-code"), answer.status());
        let page = format!("{}/{}", self.endpoint, self.repo.id);
        let (problem, advice) = match (status.as_u16(), code) {
            (401 | 403, "GatedRepo") => (
                "its authors let in only those who accept their terms".to_owned(),
                format!("accept them at {page}, and set HF_TOKEN to a token of the same account"),
            ),
            (404, "RevisionNotFound") => (
                format!("the repository has no revision {:?}", self.repo.revision),
                format!("see {page}/commits for those it has"),
            ),
            (404, "EntryNotFound") => ("the repository lost a file that it lists".to_owned(), "try again".to_owned()),
            // Whether a private repository exists is nobody's business, so the hub says 401 for both.
            (401 | 404, _) if self.options.token.is_none() => (
                format!(
                    "there is no such file here, and no such public repository at {page} (HTTP {})",
                    status.as_u16()
                ),
                "check the spelling; if it is private, set HF_TOKEN to a token that may read it".to_owned(),
            ),
            (401, _) => (
                "the hub doesn't accept the token (HTTP 401)".to_owned(),
                "renew HF_TOKEN or the token's file, or unset it for a public repository".to_owned(),
            ),
            (404, _) => (
                format!("there is no such file here, and no such repository at {page} (HTTP 404)"),
                "check the spelling, and whether the token may read it".to_owned(),
            ),
            (403, _) => (
                "the hub forbids it (HTTP 403)".to_owned(),
                "set HF_TOKEN to a token that may read this repository".to_owned(),
            ),
            (status, _) => (format!("the hub answers HTTP {status}"), ENDPOINT.to_owned()),
        };
        let said = header("x-error-message");
        let problem = if said.is_empty() { problem } else { format!("{problem}: {said}") };
        Error::Weights { name: self.name.to_owned(), problem, advice }
    }

    fn overloaded(&self, status: StatusCode, after: Option<u64>) -> Error {
        let wait = after.map_or_else(|| "later".to_owned(), |seconds| format!("in {seconds} s"));
        if status == StatusCode::TOO_MANY_REQUESTS {
            let advice = format!("try again {wait}; with HF_TOKEN set, more requests are allowed");
            return self.network("the hub has had too many requests from here (HTTP 429)".to_owned(), &advice);
        }
        self.network(format!("the hub is in trouble (HTTP {})", status.as_u16()), &format!("try again {wait}"))
    }

    fn too_large(&self, name: &str) -> Error {
        let most = self.options.largest / 1_000_000;
        self.network(format!("{name} has more than {most} MB, as no backbone's file has"), ENDPOINT)
    }

    fn unreachable(&self, reason: &str) -> Error {
        let advice = format!(
            "check the connection, the proxy (HTTPS_PROXY), the system's certificates and HF_ENDPOINT, and try again: what came in is \
             kept; or {}",
            self.repo.by_hand(&self.endpoint)
        );
        self.network(format!("can't get it from {}: {reason}", self.endpoint), &advice)
    }

    fn network(&self, problem: String, advice: &str) -> Error {
        Error::Network { name: self.name.to_owned(), problem, advice: advice.to_owned() }
    }
}

const ENDPOINT: &str = "check HF_ENDPOINT, and try again";

/// Tells whether asking again may help. Neither a host that doesn't exist nor a wrong certificate gets better.
fn passing(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::Interrupted
                | ErrorKind::NetworkUnreachable
                | ErrorKind::TimedOut
                | ErrorKind::UnexpectedEof
                | ErrorKind::WouldBlock
        ),
        _ => false,
    }
}

/// Reads the first byte of a `Content-Range: bytes 100-199/200`.
fn range_start(answer: &Response<Body>) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Says what is wrong with a file of which the hub said this.
fn verify(file: &mut File, metadata: &Metadata) -> std::io::Result<Option<String>> {
    let length = file.seek(SeekFrom::End(0))?;
    if let Some(size) = metadata.size.filter(|size| *size != length) {
        return Ok(Some(format!("{length} bytes instead of {size}")));
    }
    file.rewind()?;
    let (kind, digest) = match metadata.etag.len() {
        64 => {
            let mut hash = Sha256::new();
            std::io::copy(file, &mut hash)?;
            ("SHA-256", hex(&hash.finalize()))
        }
        40 => {
            let mut hash = Sha1::new_with_prefix(format!("blob {length}\0"));
            std::io::copy(file, &mut hash)?;
            ("git's SHA-1", hex(&hash.finalize()))
        }
        // A mirror's own kind of tag.
        _ => return Ok(None),
    };
    Ok((digest != metadata.etag).then(|| format!("{kind} {digest} instead of {}", metadata.etag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_trouble_is_tried_again() {
        let io = |kind| passing(&ureq::Error::Io(kind));
        assert!(io(ErrorKind::ConnectionReset.into()) && io(ErrorKind::UnexpectedEof.into()));
        // As TLS and the resolver report theirs.
        assert!(
            !io(std::io::Error::new(ErrorKind::InvalidData, "certificate")) && !io(std::io::Error::other("no host"))
        );
        assert!(!passing(&ureq::Error::HostNotFound));
    }
}
