//! Weights by name, against a server on loopback that speaks the hub's protocol: an API, `/resolve/` addresses, and storage on
//! another port that large files are redirected to.
#![cfg(feature = "hub")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use trainer::hub::{ModelFiles, Options, WEIGHTS, resolve};
use trainer::progress::{Progress, Stage};
use trainer::{Error, Fault};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TIMM: &str = r#"{"architecture": "resnet18", "pretrained_cfg": {"crop_pct": 0.95}}"#;
/// What `git hash-object` says of the model card "hello\n".
const CARD: (&str, &str) = ("hello\n", "ce013625030ba8dba906f756967f9e9ca394464a");

/// A request as it came in.
#[derive(Clone, Debug)]
struct Asked {
    /// Whether the storage was asked rather than the hub itself.
    storage: bool,
    method: String,
    path: String,
    /// The headers, their names in lower case.
    headers: BTreeMap<String, String>,
    /// How often this method and path were asked for before.
    before: usize,
}

/// A fault with which the server answers.
enum Mishap {
    Status(u16, &'static [(&'static str, &'static str)]),
    /// Close the connection after so many bytes of the body.
    Cut(usize),
    /// Change a byte of the body.
    Damage,
    /// Send the whole file, whatever part was asked for.
    IgnoreRange,
    /// Send so many bytes of the whole file, whatever part was asked for.
    CutWhole(usize),
    /// Close the connection without a word.
    HangUp,
    /// Say nothing for so long, then go on.
    Wait(Duration),
    /// Send the body again and again, and never say how long it is.
    Endless,
}

type Faults = dyn Fn(&Asked) -> Option<Mishap> + Send + Sync;

/// A hub with one repository, `org/net`, whose branch `main`, tag `v1` and pull request `refs/pr/1` are all at [`COMMIT`].
struct Hub {
    files: BTreeMap<&'static str, Vec<u8>>,
    faults: Box<Faults>,
    log: Mutex<Vec<Asked>>,
    hub: u16,
    storage: u16,
}

fn weights() -> Vec<u8> {
    // Longer than a few buffers, and no two parts alike.
    (0..3_000_017u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

impl Hub {
    fn start(faults: impl Fn(&Asked) -> Option<Mishap> + Send + Sync + 'static) -> Arc<Self> {
        Self::with([(WEIGHTS, weights()), ("config.json", TIMM.into()), ("README.md", CARD.0.into())].into(), faults)
    }

    fn with(
        files: BTreeMap<&'static str, Vec<u8>>,
        faults: impl Fn(&Asked) -> Option<Mishap> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let [hub, storage] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let log = Mutex::default();
        let this = Arc::new(Self { files, faults: Box::new(faults), log, hub: port(&hub), storage: port(&storage) });
        for (listener, is_storage) in [(hub, false), (storage, true)] {
            let this = this.clone();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let this = this.clone();
                    // A client that hangs up early is no failure of the server.
                    thread::spawn(move || this.serve(stream.unwrap(), is_storage).unwrap_or(()));
                }
            });
        }
        this
    }

    fn serve(&self, mut stream: TcpStream, storage: bool) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let mut words = first.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let headers = lines.map_while(|line| line.ok().filter(|line| !line.is_empty()));
        let headers = headers.filter_map(|line| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.into())));
        let asked = {
            let headers = headers.collect();
            let mut log = self.log.lock().unwrap();
            let before = log.iter().filter(|old| old.path == path && old.method == method).count();
            let asked = Asked { storage, method, path, headers, before };
            log.push(asked.clone());
            asked
        };
        let (mut status, mut headers, mut body) = self.answer(&asked);
        let (mut send, mut endless) = (usize::MAX, false);
        match (self.faults)(&asked) {
            None => {}
            Some(Mishap::Status(other, more)) => {
                (status, body) = (other, Vec::new());
                headers = more.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            }
            Some(Mishap::Cut(bytes)) => send = bytes,
            Some(Mishap::HangUp) => return Ok(()),
            Some(Mishap::Damage) => body[1000] ^= 1,
            Some(mishap @ (Mishap::IgnoreRange | Mishap::CutWhole(_))) => {
                let mut whole = asked.clone();
                whole.headers.remove("range");
                (status, headers, body) = self.answer(&whole);
                if let Mishap::CutWhole(bytes) = mishap {
                    send = bytes;
                }
            }
            Some(Mishap::Wait(time)) => thread::sleep(time),
            Some(Mishap::Endless) => {
                headers.retain(|(name, _)| name != "X-Linked-Size");
                endless = true;
            }
        }
        if !endless && !headers.iter().any(|(name, _)| name == "Content-Length") {
            headers.push(("Content-Length".into(), body.len().to_string()));
        }
        write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n")?;
        for (name, value) in headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        write!(stream, "\r\n")?;
        let mut times = if asked.method == "HEAD" { 0 } else { 1 };
        while times > 0 {
            stream.write_all(&body[..body.len().min(send)])?;
            times -= u32::from(!endless);
        }
        Ok(())
    }

    fn answer(&self, asked: &Asked) -> (u16, Vec<(String, String)>, Vec<u8>) {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let error = |status, code| (status, vec![header("X-Error-Code", code)], Vec::new());
        let path = asked.path.split('?').next().unwrap();
        let send = |bytes: &[u8], mut headers: Vec<(String, String)>| {
            let range = asked
                .headers
                .get("range")
                .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
            match range {
                None => (200, headers, bytes.to_vec()),
                Some(start) if start >= bytes.len() => {
                    (416, vec![header("Content-Range", &format!("bytes */{}", bytes.len()))], Vec::new())
                }
                Some(start) => {
                    let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
                    headers.push(header("Content-Range", &range));
                    (206, headers, bytes[start..].to_vec())
                }
            }
        };
        let file = |name: &str| self.files.get(name).map(Vec::as_slice);
        if asked.storage || path.starts_with("/stored/") {
            let Some(bytes) = path.strip_prefix("/stored/").and_then(file) else { return error(404, "") };
            // Storage has tags of its own, which say nothing about the content.
            return send(bytes, vec![header("ETag", "\"5d41402abc4b2a76b9719d911017c592\"")]);
        }
        if let Some(revision) = path.strip_prefix("/api/models/org/net/revision/") {
            if !["main", "v1", "refs%2Fpr%2F1", COMMIT].contains(&revision) {
                return error(404, "RevisionNotFound");
            }
            let siblings: Vec<_> = self.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            let info = serde_json::json!({ "id": "org/net", "sha": COMMIT, "private": false, "siblings": siblings });
            return (200, Vec::new(), info.to_string().into_bytes());
        }
        if path.starts_with("/api/models/") {
            return error(401, "RepoNotFound");
        }
        let commit = header("X-Repo-Commit", COMMIT);
        if let Some(name) = path.strip_prefix(&format!("/org/net/resolve/{COMMIT}/")) {
            let Some(bytes) = file(name) else { return error(404, "EntryNotFound") };
            if name.ends_with(".safetensors") {
                let headers = vec![
                    commit,
                    header("X-Linked-Etag", &format!("\"{}\"", sha256(bytes))),
                    header("X-Linked-Size", &bytes.len().to_string()),
                    header("Location", &format!("http://127.0.0.1:{}/stored/{name}?signature=1", self.storage)),
                ];
                return (302, headers, b"Found. Redirecting".to_vec());
            }
            return (307, vec![commit, header("Location", &format!("/api/resolve-cache/{name}"))], Vec::new());
        }
        if let Some(bytes) = path.strip_prefix("/api/resolve-cache/").and_then(file) {
            return send(bytes, vec![commit, header("ETag", &format!("W/\"{}\"", git_sha1(bytes)))]);
        }
        error(404, "EntryNotFound")
    }

    fn options(&self, cache: &TempDir) -> Options {
        Options {
            cache: cache.path().to_owned(),
            endpoint: format!("http://127.0.0.1:{}", self.hub),
            token: None,
            offline: false,
            timeout: Duration::from_secs(20),
            attempts: 3,
            pause: Duration::from_millis(5),
            longest_pause: Duration::from_secs(2),
            largest: 1 << 30,
        }
    }

    /// Takes the requests since the last time this was asked.
    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn downloads(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.storage).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn git_sha1(bytes: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

fn cache() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn folder(cache: &TempDir) -> PathBuf {
    cache.path().join("models--org--net")
}

fn blob(cache: &TempDir, end: &str) -> PathBuf {
    folder(cache).join("blobs").join(sha256(&weights()) + end)
}

fn whole(files: &ModelFiles) {
    assert!(std::fs::read(&files.weights).unwrap() == weights(), "the weights differ");
    assert_eq!(std::fs::read_to_string(files.config.as_ref().unwrap()).unwrap(), TIMM);
    assert_eq!(files.revision.as_deref(), Some(COMMIT));
}

/// Asserts that nothing looks like a finished download.
fn nothing_placed(cache: &TempDir) {
    assert!(!blob(cache, "").exists());
    assert!(!folder(cache).join("snapshots").join(COMMIT).join(WEIGHTS).exists());
    assert!(!folder(cache).join("refs/main").exists());
}

fn fails(result: Result<ModelFiles, Error>, fault: Fault, words: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.fault(), fault, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} isn't in: {text}");
    }
}

#[derive(Default)]
struct Watch {
    begun: Mutex<Vec<usize>>,
    bytes: AtomicUsize,
    ended: AtomicUsize,
    warnings: Mutex<Vec<String>>,
    /// The bytes after which to cancel.
    most: Option<usize>,
}

impl Progress for Watch {
    fn begin(&self, stage: Stage, total: usize) {
        assert_eq!(stage, Stage::DOWNLOAD);
        self.begun.lock().unwrap().push(total);
        self.bytes.store(0, Ordering::SeqCst);
    }
    fn advance(&self, steps: usize) {
        self.bytes.fetch_add(steps, Ordering::SeqCst);
    }
    fn end(&self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
    fn warn(&self, message: &str) {
        self.warnings.lock().unwrap().push(message.to_owned());
    }
    fn cancelled(&self) -> bool {
        self.most.is_some_and(|most| self.bytes.load(Ordering::SeqCst) >= most)
    }
}

#[test]
fn a_download_lands_in_the_layout_that_python_shares() {
    let (hub, cache) = (Hub::start(|_| None), cache());
    let options = hub.options(&cache);
    let watch = Watch::default();
    let files = resolve("org/net", &options, &watch).unwrap();
    whole(&files);
    let folder = folder(&cache);
    let snapshot = folder.join("snapshots").join(COMMIT);
    assert_eq!(files.weights, snapshot.join(WEIGHTS));
    assert_eq!((files.config, files.preprocessor), (Some(snapshot.join("config.json")), None));
    assert_eq!(std::fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    assert!(folder.join(".no_exist").join(COMMIT).join("preprocessor_config.json").is_file());
    #[cfg(unix)]
    {
        let target = |name: &str| std::fs::read_link(snapshot.join(name)).unwrap();
        assert_eq!(target(WEIGHTS), Path::new("../../blobs").join(sha256(&weights())));
        assert_eq!(target("README.md"), Path::new("../../blobs").join(CARD.1));
    }
    assert_eq!(std::fs::read_dir(folder.join("blobs")).unwrap().count(), 3, "nothing but three blobs");
    assert_eq!(*watch.begun.lock().unwrap(), [weights().len()]);
    assert_eq!(watch.bytes.load(Ordering::SeqCst), weights().len());
    assert_eq!(watch.ended.load(Ordering::SeqCst), 1);

    // What is here needs no request, whether the revision is pinned or not.
    hub.asked();
    for name in ["org/net", &format!("org/net@{COMMIT}")] {
        whole(&resolve(name, &options, &()).unwrap());
    }
    assert_eq!(hub.asked().len(), 0);
    // Another name for the same commit brings nothing twice.
    for revision in ["v1", "refs/pr/1"] {
        whole(&resolve(&format!("org/net@{revision}"), &options, &()).unwrap());
        assert_eq!(hub.asked().len(), 1);
        assert_eq!(std::fs::read_to_string(folder.join("refs").join(revision)).unwrap(), COMMIT);
    }
}

#[test]
fn a_mirror_may_store_what_it_serves() {
    let etag: &'static str = sha256(&weights()).leak();
    let headers: &'static [_] = vec![("X-Linked-Etag", etag), ("Location", "/stored/model.safetensors")].leak();
    let hub = Hub::start(move |asked| {
        asked.path.ends_with(&format!("{COMMIT}/{WEIGHTS}")).then_some(Mishap::Status(302, headers))
    });
    let cache = cache();
    whole(&resolve("org/net", &hub.options(&cache), &()).unwrap());
    assert!(blob(&cache, "").is_file(), "kept under the hub's tag, not the storage's");
}

#[test]
fn a_commit_can_be_asked_for_by_its_hash() {
    let (hub, cache) = (Hub::start(|_| None), cache());
    whole(&resolve(&format!("org/net@{COMMIT}"), &hub.options(&cache), &()).unwrap());
    assert!(!folder(&cache).join("refs").exists(), "a commit is no ref");
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let (hub, cache) = (Hub::start(|_| None), cache());
    let options = Options { token: Some("secret".into()), ..hub.options(&cache) };
    whole(&resolve("org/net", &options, &()).unwrap());
    let (storage, own): (Vec<_>, Vec<_>) = hub.asked().into_iter().partition(|asked| asked.storage);
    assert!(!storage.is_empty() && !own.is_empty());
    for asked in own {
        assert_eq!(asked.headers.get("authorization").map(String::as_str), Some("Bearer secret"), "{asked:?}");
    }
    for asked in storage {
        assert!(!format!("{asked:?}").contains("secret"), "{asked:?}");
    }
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let hub = Hub::start(|asked| (asked.storage && asked.before < 2).then_some(Mishap::Cut(1_000_000)));
    let cache = cache();
    let watch = Watch::default();
    whole(&resolve("org/net", &hub.options(&cache), &watch).unwrap());
    let ranges: Vec<_> = hub.downloads().iter().map(|asked| asked.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("bytes=1000000-".into()), Some("bytes=2000000-".into())]);
    assert_eq!((watch.begun.lock().unwrap().len(), watch.bytes.load(Ordering::SeqCst)), (1, weights().len()));
}

#[test]
fn what_came_in_before_a_failure_is_kept_for_the_next_time() {
    // Every connection after the first breaks at once, until the third call.
    let healthy = Arc::new(AtomicUsize::new(0));
    let hub = Hub::start({
        let healthy = healthy.clone();
        move |asked| match (asked.storage, asked.before, healthy.load(Ordering::SeqCst)) {
            (true, 0, 0) => Some(Mishap::Cut(700_000)),
            (true, _, 0) => Some(Mishap::Cut(0)),
            _ => None,
        }
    });
    let cache = cache();
    let options = hub.options(&cache);
    fails(resolve("org/net", &options, &()), Fault::Io, &["what came in is kept", "127.0.0.1"]);
    assert_eq!(hub.downloads().len(), 1 + options.attempts as usize);
    nothing_placed(&cache);
    assert_eq!(blob(&cache, ".incomplete").metadata().unwrap().len(), 700_000);

    healthy.store(1, Ordering::SeqCst);
    let impatient = Watch { most: Some(1_500_000), ..Watch::default() };
    fails(resolve("org/net", &options, &impatient), Fault::Interrupted, &["interrupted"]);
    nothing_placed(&cache);
    let have = blob(&cache, ".incomplete").metadata().unwrap().len();
    assert!((1_500_000..3_000_000).contains(&have), "{have}");
    assert_eq!(hub.downloads()[0].headers["range"], "bytes=700000-");

    whole(&resolve("org/net", &options, &()).unwrap());
    assert_eq!(hub.downloads()[0].headers["range"], format!("bytes={have}-"));
    assert!(!blob(&cache, ".incomplete").exists());
}

#[test]
fn a_useless_part_is_thrown_away() {
    for (part, requests) in [
        (vec![7; 900_000], 2),             // of something else: the checksum tells
        (vec![7; weights().len()], 1),     // as long as the whole: nothing to ask for before the checksum tells
        (vec![7; weights().len() + 5], 1), // longer than the whole
    ] {
        let (hub, cache) = (Hub::start(|_| None), cache());
        std::fs::create_dir_all(folder(&cache).join("blobs")).unwrap();
        std::fs::write(blob(&cache, ".incomplete"), part).unwrap();
        whole(&resolve("org/net", &hub.options(&cache), &()).unwrap());
        assert_eq!(hub.downloads().len(), requests);
    }
}

#[test]
fn servers_without_ranges_send_the_whole_again() {
    for answer in [|| Mishap::IgnoreRange, || Mishap::Status(416, &[("Content-Range", "bytes */5")])] {
        let hub = Hub::start(move |asked| match asked.before {
            0 if asked.storage => Some(Mishap::Cut(1_000_000)),
            1 if asked.storage => Some(answer()),
            _ => None,
        });
        let cache = cache();
        whole(&resolve("org/net", &hub.options(&cache), &()).unwrap());
    }
}

#[test]
fn a_server_that_always_cuts_what_it_sends_anew_is_given_up() {
    let healthy = Arc::new(AtomicUsize::new(0));
    let hub = Hub::start({
        let healthy = healthy.clone();
        move |asked| match healthy.load(Ordering::SeqCst) {
            // The further the better, then ever less.
            0 if asked.storage => Some(Mishap::CutWhole([500_000, 900_000].get(asked.before).copied().unwrap_or(1000))),
            _ => None,
        }
    });
    let cache = cache();
    let options = hub.options(&cache);
    let words = ["3 times in a row without anything new", "what came in is kept"];
    fails(resolve("org/net", &options, &()), Fault::Io, &words);
    assert_eq!(hub.downloads().len(), 2 + options.attempts as usize);
    nothing_placed(&cache);
    assert!(std::fs::read(blob(&cache, ".incomplete")).unwrap() == weights()[..900_000]);
    healthy.store(1, Ordering::SeqCst);
    whole(&resolve("org/net", &options, &()).unwrap());
    assert_eq!(hub.downloads()[0].headers["range"], "bytes=900000-");

    // One that says of each part that there is none.
    let hub = Hub::start(|asked| match (asked.storage, asked.headers.contains_key("range")) {
        (true, true) => Some(Mishap::Status(416, &[("Content-Range", "bytes */5")])),
        (true, false) => Some(Mishap::Cut(700_000)),
        _ => None,
    });
    let options = hub.options(&self::cache());
    fails(resolve("org/net", &options, &()), Fault::Io, &["3 times in a row"]);
    assert_eq!(hub.downloads().len(), 1 + options.attempts as usize);
}

#[test]
fn a_file_that_is_too_large_is_refused_also_where_its_length_is_unknown() {
    let hub = Hub::start(|_| None);
    let (cache, most) = (cache(), 2_000_000);
    fails(resolve("org/net", &Options { largest: most, ..hub.options(&cache) }, &()), Fault::Io, &["more than 2 MB"]);
    assert_eq!(hub.downloads().len(), 0);

    let hub = Hub::start(|asked| asked.path.contains(WEIGHTS).then_some(Mishap::Endless));
    let options = Options { largest: 8_000_000, ..hub.options(&cache) };
    fails(resolve("org/net", &options, &()), Fault::Io, &["more than 8 MB"]);
    assert_eq!(hub.downloads().len(), 1);
    nothing_placed(&cache);
    let left = std::fs::read_dir(folder(&cache).join("blobs")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.filter(|name| name.to_string_lossy().ends_with(".incomplete")).count() == 0);
}

#[test]
fn a_password_in_the_address_goes_to_the_hub_and_into_no_message() {
    let (hub, cache) = (Hub::start(|_| None), cache());
    let with = |user: &str, hub: &Hub| format!("http://{user}@127.0.0.1:{}", hub.hub);
    let options = |hub: &Hub| Options { endpoint: with("me:s3cret", hub), ..hub.options(&cache) };
    whole(&resolve("org/net", &options(&hub), &()).unwrap());
    for asked in hub.asked() {
        let sent = asked.headers.get("authorization").map(String::as_str);
        assert_eq!(sent, (!asked.storage).then_some("Basic bWU6czNjcmV0"), "{asked:?}");
    }
    assert!(!format!("{:?}", options(&hub)).contains("s3cret"));

    let quiet = |options: &Options, name: &str| {
        let watch = Watch::default();
        let error = resolve(name, options, &watch).map(|_| ()).unwrap_err();
        let told = format!("{error} {error:?} {:?}", watch.warnings);
        assert!(!told.contains("s3cret"), "{told}");
        told
    };
    let says = |faults: fn(&Asked) -> Option<Mishap>, name: &str, words: &str| {
        let told = quiet(&options(&Hub::start(faults)), name);
        assert!(told.contains(words), "{told}");
    };
    says(|_| None, "org/other", "no such public repository");
    says(|_| None, "org/net@v9", "no revision");
    says(|_| Some(Mishap::Status(403, &[("X-Error-Code", "GatedRepo")])), "org/net@v1", "accept them at http://127");
    says(|_| Some(Mishap::Status(200, &[])), "org/net@v1", "as no hub does");
    says(|_| Some(Mishap::Status(302, &[("Location", "/x")])), "org/net@v1", "redirects from http://127");
    says(|_| Some(Mishap::HangUp), "org/net@v1", "can't get it from http://127");
    for address in ["me:s3cret@hub", "http://me:s3cret/@hub", "http://me:8/s3cret@hub", "ftp://me:s3cret@hub"] {
        let told = quiet(&Options { endpoint: address.into(), ..options(&hub) }, "org/net@v1");
        assert!(told.contains("HF_ENDPOINT"), "{told}");
    }
}

#[test]
fn files_on_this_machine_need_no_setting_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let architecture = resnet::Architecture::basic([1; 4], [4, 4, 8, 8], Some(3));
    std::fs::write(folder.path().join(WEIGHTS), trainer::random_weights(&architecture, 1)).unwrap();
    let inspect = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.args(["inspect", name]).current_dir(folder.path());
        // A folder is no token.
        command.env("HF_TOKEN_PATH", folder.path()).env("HF_ENDPOINT", "nonsense").env_remove("HF_TOKEN");
        command.output().unwrap()
    };
    for name in [WEIGHTS, "."] {
        let output = inspect(name);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(inspect("org/net").status.code(), Some(5), "what a repository needs is read");
}

#[test]
fn what_differs_from_its_checksum_is_never_placed() {
    let hub = Hub::start(|asked| asked.storage.then_some(Mishap::Damage));
    let cache = cache();
    fails(resolve("org/net", &hub.options(&cache), &()), Fault::Io, &["SHA-256", &sha256(&weights()), "twice"]);
    assert_eq!(hub.downloads().len(), 2);
    nothing_placed(&cache);
    assert!(!blob(&cache, ".incomplete").exists());

    // Small files have git's checksum.
    let cache = self::cache();
    let hub = Hub::with([(WEIGHTS, weights()), ("README.md", vec![b'x'; 2000])].into(), |asked| {
        (asked.method == "GET" && asked.path.ends_with("resolve-cache/README.md")).then_some(Mishap::Damage)
    });
    fails(resolve("org/net", &hub.options(&cache), &()), Fault::Io, &["README.md", "git's SHA-1"]);
    nothing_placed(&cache);
}

#[test]
fn refusals_say_what_to_do() {
    let refuse = |code: u16, headers: &'static [(&str, &str)]| Hub::start(move |_| Some(Mishap::Status(code, headers)));
    let ask = |hub: &Hub, token: Option<&str>, name: &str| {
        let cache = cache();
        let options = Options { token: token.map(Into::into), ..hub.options(&cache) };
        let result = resolve(name, &options, &());
        assert_eq!(hub.asked().len(), 1, "a refusal isn't argued with");
        assert!(!folder(&cache).exists(), "nothing is left behind");
        result
    };
    let hub = Hub::start(|_| None);
    fails(ask(&hub, None, "org/other"), Fault::Input, &["org/other", "no such public repository", "HF_TOKEN"]);
    fails(ask(&hub, Some("t"), "org/other"), Fault::Input, &["doesn't accept the token", "renew"]);
    fails(ask(&hub, None, "org/net@v9"), Fault::Input, &["no revision \"v9\"", "/org/net/commits"]);
    let hub = refuse(404, &[("X-Error-Code", "RepoNotFound"), ("X-Error-Message", "Repository not found")]);
    fails(ask(&hub, None, "org/net"), Fault::Input, &["no such public repository", "Repository not found"]);
    fails(ask(&hub, Some("t"), "org/net"), Fault::Input, &["no such repository", "token may read it"]);
    let hub = refuse(403, &[("X-Error-Code", "GatedRepo")]);
    fails(ask(&hub, None, "org/net"), Fault::Input, &["accept", "/org/net", "HF_TOKEN"]);
    let hub = refuse(403, &[]);
    fails(ask(&hub, Some("t"), "org/net"), Fault::Input, &["forbids", "HF_TOKEN"]);
    let hub = refuse(302, &[("Location", "ftp://127.0.0.1/x")]);
    fails(ask(&hub, None, "org/net"), Fault::Io, &["ftp://127.0.0.1/x", "HF_ENDPOINT"]);
    let hub = Hub::with([("pytorch_model.bin", vec![0]), ("config.json", vec![0])].into(), |_| None);
    fails(ask(&hub, None, "org/net"), Fault::Input, &["no model.safetensors", "tools/convert.py pytorch_model.bin"]);
}

#[test]
fn a_busy_hub_is_waited_for_but_not_forever() {
    let hub = Hub::start(|asked| match asked.before {
        0 if asked.path.starts_with("/api/models/") => Some(Mishap::Status(429, &[("Retry-After", "1")])),
        0 | 1 if asked.storage => Some(Mishap::Status(503, &[])),
        _ => None,
    });
    let start = Instant::now();
    whole(&resolve("org/net", &hub.options(&cache()), &()).unwrap());
    assert!(start.elapsed() >= Duration::from_secs(1), "Retry-After isn't kept: {:?}", start.elapsed());
    assert_eq!(hub.downloads().len(), 3);

    let hub = Hub::start(|asked| (asked.before == 0).then_some(Mishap::HangUp));
    let options = Options { attempts: 4, ..hub.options(&cache()) };
    resolve("org/net", &options, &()).unwrap();

    for (status, words) in [(429, ["too many requests", "HF_TOKEN"]), (503, ["in trouble", "503"])] {
        let hub = Hub::start(move |_| Some(Mishap::Status(status, &[])));
        fails(resolve("org/net", &hub.options(&cache()), &()), Fault::Io, &words);
        assert_eq!(hub.asked().len(), 3, "as many attempts as were allowed");
    }
    let hub = Hub::start(|_| Some(Mishap::Status(429, &[("Retry-After", "3600")])));
    let start = Instant::now();
    fails(resolve("org/net", &hub.options(&cache()), &()), Fault::Io, &["in 3600 s"]);
    assert!(hub.asked().len() == 1 && start.elapsed() < Duration::from_secs(60));
}

#[test]
fn silence_has_an_end() {
    for at_storage in [false, true] {
        let hub =
            Hub::start(move |asked| (asked.storage == at_storage).then_some(Mishap::Wait(Duration::from_secs(60))));
        let options = Options { timeout: Duration::from_millis(300), ..hub.options(&cache()) };
        let start = Instant::now();
        fails(resolve("org/net", &options, &()), Fault::Io, &["timeout"]);
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    }
}

#[test]
fn redirects_that_lead_nowhere_end() {
    let hub = Hub::start(|asked| {
        (asked.method == "GET").then_some(Mishap::Status(302, &[("Location", "/api/models/org/net/revision/main")]))
    });
    fails(resolve("org/net", &hub.options(&cache()), &()), Fault::Io, &["redirects"]);
    assert_eq!(hub.asked().len(), 11);
}

#[test]
fn answers_that_are_no_hub_s_are_refused() {
    let hub = Hub::start(|_| Some(Mishap::Status(200, &[])));
    fails(resolve("org/net", &hub.options(&cache()), &()), Fault::Io, &["as no hub does"]);
    for headers in [
        &[("X-Repo-Commit", "ffffffffffffffffffffffffffffffffffffffff"), ("ETag", "\"a\"")][..],
        &[("ETag", "\"../../x\"")],
        &[],
    ] {
        let hub = Hub::start(move |asked| (asked.method == "HEAD").then_some(Mishap::Status(200, headers)));
        let cache = cache();
        fails(resolve("org/net", &hub.options(&cache), &()), Fault::Io, &["HF_ENDPOINT"]);
        nothing_placed(&cache);
    }
    let bad = Options { endpoint: "huggingface".into(), ..hub.options(&cache()) };
    fails(resolve("org/net", &bad, &()), Fault::Usage, &["HF_ENDPOINT", "https://"]);
}

#[test]
fn offline_means_the_cache_or_nothing() {
    let (hub, cache) = (Hub::start(|_| None), cache());
    let options = hub.options(&cache);
    let offline = Options { offline: true, ..options.clone() };
    fails(resolve("org/net", &offline, &()), Fault::Input, &["HF_HUB_OFFLINE", "models--org--net"]);
    assert_eq!(hub.asked().len(), 0);
    resolve("org/net", &options, &()).unwrap();
    hub.asked();
    whole(&resolve("org/net", &offline, &()).unwrap());
    fails(resolve("org/net@v1", &offline, &()), Fault::Input, &["org/net@v1", "not in the cache"]);
    assert_eq!(hub.asked().len(), 0);
}

#[test]
fn an_unreachable_hub_leaves_what_the_cache_has() {
    // A port on which nobody listens any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (hub, cache) = (Hub::with([(WEIGHTS, weights())].into(), |_| None), cache());
    let options = hub.options(&cache);
    let gone = Options { endpoint: format!("http://127.0.0.1:{port}"), ..options.clone() };
    fails(
        resolve("org/net", &gone, &()),
        Fault::Io,
        &["can't get it from http://127.0.0.1", "/org/net/tree/main on another machine"],
    );

    // As a program leaves it that takes nothing but the weights: whether there is a recipe would have to be asked.
    resolve("org/net", &options, &()).unwrap();
    std::fs::remove_dir_all(folder(&cache).join(".no_exist")).unwrap();
    let watch = Watch::default();
    let files = resolve("org/net", &gone, &watch).unwrap();
    assert_eq!(files.revision.as_deref(), Some(COMMIT));
    let warnings = watch.warnings.lock().unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains(COMMIT), "{warnings:?}");
    // Reachable again, it is asked, and the weights aren't fetched again.
    hub.asked();
    resolve("org/net", &options, &()).unwrap();
    assert_eq!(hub.asked().len(), 1);
}

#[test]
fn many_threads_at_once_download_once() {
    let hub = Hub::start(|asked| asked.storage.then_some(Mishap::Wait(Duration::from_millis(300))));
    let cache = cache();
    let options = hub.options(&cache);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| whole(&resolve("org/net", &options, &()).unwrap()));
        }
    });
    assert_eq!(hub.downloads().len(), 1);
}

#[test]
fn two_processes_at_once_download_once() {
    let architecture = resnet::Architecture::basic([1; 4], [64, 128, 256, 256], Some(5));
    let bytes = trainer::random_weights(&architecture, 1);
    assert!(bytes.len() > 1 << 20);
    let files = [(WEIGHTS, bytes), ("config.json", TIMM.into()), ("README.md", b"---\nlicense: mit\n---\n".to_vec())];
    let hub = Hub::with(files.into(), |asked| asked.storage.then_some(Mishap::Wait(Duration::from_millis(700))));
    let cache = cache();
    let inspect = |offline: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.args(["inspect", "org/net", "--json"]).env("HF_HUB_CACHE", cache.path()).env("HF_HUB_OFFLINE", offline);
        command.env("HF_ENDPOINT", format!("http://127.0.0.1:{}", hub.hub)).env("HF_TOKEN", "secret");
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let mut waited = 0;
    for child in [inspect("0"), inspect("0")] {
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{err}");
        waited += usize::from(err.contains("another process downloads the same file"));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&found["revision"], &found["license"], &found["classes"]),
            (&COMMIT.into(), &"mit".into(), &5.into())
        );
        assert_eq!(found["recipe"]["resize"]["shorter_side"], 235);
    }
    assert_eq!((hub.downloads().len(), waited), (1, 1));

    // The road of a user without a connection.
    assert!(inspect("1").wait_with_output().unwrap().status.success());
    assert_eq!(hub.asked().len(), 0);
    let mut train = Command::new(env!("CARGO_BIN_EXE_trainer"));
    for photo in ["a/1.png", "b/1.png"] {
        std::fs::create_dir_all(cache.path().join("photos").join(photo).parent().unwrap()).unwrap();
        std::fs::write(cache.path().join("photos").join(photo), "").unwrap();
    }
    train.args(["train", "photos", "--backbone", "org/other", "--out", "run"]).current_dir(cache.path());
    let output = train.env("HF_HUB_CACHE", cache.path()).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not in the cache"));
}

#[test]
fn photos_that_cant_be_used_are_told_before_weights_are_asked_for() {
    let hub = Hub::start(|_| Some(Mishap::Status(404, &[("X-Error-Code", "RepoNotFound")])));
    let world = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = world.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    for photo in ["photos/a/1.png", "photos/b/1.png", "flat/1.png", "single/a/1.png"] {
        write(photo, "its name is all that is asked for yet");
    }
    std::fs::create_dir(world.path().join("empty")).unwrap();
    write("unpathed.csv", "name,label\nx,cat\n");
    write("unlabelled.csv", "path\nphotos/a/1.png\n");
    write("part.csv", "path,label,split\nphotos/a/1.png,a,much\n");
    write("text.zip", "no archive");
    write("text.tar", &"no archive ".repeat(100));
    write("a.tar.gz", "");
    let run = |line: &str, input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.args(line.split(' ')).current_dir(world.path()).env_remove("HF_HUB_OFFLINE");
        command
            .env("HF_HUB_CACHE", world.path().join("hub"))
            .env("HF_ENDPOINT", format!("http://127.0.0.1:{}", hub.hub));
        command.env("REHEAD_CACHE", world.path().join("cache")).stdin(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for (data, told, listed) in [
        ("nowhere", "o such f", true),
        ("empty", "no photos in it", true),
        ("flat", "outside any class folder", false),
        ("single", "a single class", false),
        ("unpathed.csv", "no column is known to hold paths", true),
        ("unlabelled.csv", "no column is known to hold labels", false),
        ("part.csv", "the split \"much\" names no part", true),
        ("text.zip", "text.zip", true),
        ("text.tar", "text.tar", true),
        ("a.tar.gz", "decompress it to a .tar", true),
    ] {
        let verbs = [
            format!("train {data} --out run"),
            format!("embed {data} --out f.npy"),
            format!("predict resnet18 {data}"),
        ];
        // What has no classes can be listed.
        for line in verbs.iter().take(if listed { 3 } else { 1 }) {
            let (code, err) = run(line, "");
            assert!(code == 3 && err.contains(told), "{line}: {code}\n{err}");
        }
    }
    let (code, err) = run("predict resnet18 -", "{\"name\": \"1.png\"}\n");
    assert!(code == 3 && err.contains("no column is known to hold paths"), "{err}");
    let (code, err) = run("predict resnet18 -", "gone.png\nflat/gone.png\n");
    assert!(code == 3 && err.contains("gone.png can't be found"), "{err}");
    assert_eq!(hub.asked().len(), 0, "nothing was asked of the hub");
    // Photos that can be used are worth the question.
    for (line, input) in
        [("train photos --out run", ""), ("embed flat --out f.npy", ""), ("predict resnet18 -", "flat/1.png\n")]
    {
        let (_, err) = run(line, input);
        assert!(!hub.asked().is_empty(), "{line}: {err}");
    }
}
