//! The secrets of a run, and every form in which one could slip out.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use uuid::Uuid;

/// Characters of a secret that give it away: messages cut texts off.
const TELLING: usize = 12;

/// What the run knows and nobody may read.
#[derive(Default)]
pub(super) struct Secrets {
    names: Vec<String>,
    /// By its first bytes: a needle, whose it is, and in which form. One pass over a text then looks for all of them.
    needles: HashMap<[u8; HEAD], Vec<Needle>>,
}

struct Needle {
    text: Vec<u8>,
    secret: usize,
    form: &'static str,
}

/// Bytes that a text is compared with the needles by, before anything else.
const HEAD: usize = 8;

impl Secrets {
    /// A new secret with characters that urls and JSON escape. Its middle is in every encoding of texts.
    pub(super) fn make(&mut self, name: &str) -> String {
        let core = Uuid::new_v4().simple().to_string();
        self.know(name, &core);
        format!("sk{core}+/&=\"")
    }

    /// A new secret that can be part of a url as it is.
    pub(super) fn make_plain(&mut self, name: &str) -> String {
        let core = Uuid::new_v4().simple().to_string();
        self.know(name, &core);
        core
    }

    /// A secret that somebody else made.
    pub(super) fn know(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 2 * TELLING && secret.is_ascii(), "{name} is too short to be told from other texts");
        let (first, last) = (&secret[..TELLING], &secret[secret.len() - TELLING..]);
        self.names.push(name.to_owned());
        for part in [first, last] {
            self.look_for(part, "as it is");
            self.look_for(&hexadecimal(part), "as hexadecimal digits");
            self.look_for(format!("{:?}", part.as_bytes()).trim_matches(['[', ']']), "as a list of bytes");
            for before in 0..3 {
                let standard = base64_inside(part, before);
                self.look_for(&standard, "as base64");
                self.look_for(&standard.replace('+', "-").replace('/', "_"), "as base64 for urls");
            }
        }
    }

    fn look_for(&mut self, text: &str, form: &'static str) {
        let head = text.as_bytes()[..HEAD].try_into().expect("every form is longer than its head");
        let needle = Needle { text: text.as_bytes().to_vec(), secret: self.names.len() - 1, form };
        self.needles.entry(head).or_default().push(needle);
    }

    /// Which secrets are in `bytes`, in which form, and what is around each.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = BTreeMap::new();
        for (at, head) in bytes.windows(HEAD).enumerate() {
            let Some(needles) = self.needles.get(head) else { continue };
            for needle in needles.iter().filter(|needle| bytes[at..].starts_with(&needle.text)) {
                found.entry(needle.secret).or_insert_with(|| {
                    let around = &bytes[at.saturating_sub(200)..(at + 100).min(bytes.len())];
                    let around = String::from_utf8_lossy(around);
                    format!("the {} {}: …{around}…", self.names[needle.secret], needle.form)
                });
            }
        }
        found.into_values().collect()
    }
}

fn hexadecimal(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes it");
        hex
    })
}

/// The characters of a base64 text that depend on `part` alone when `before` more bytes stand before it.
fn base64_inside(part: &str, before: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = std::iter::repeat_n(0, before)
        .chain(part.bytes())
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let whole = before * 8..bits.len();
    let groups = bits.chunks_exact(6).enumerate().filter(|(at, _)| at * 6 >= whole.start);
    groups
        .map(|(_, group)| {
            let index = group.iter().fold(0_usize, |index, bit| index << 1 | usize::from(*bit));
            char::from(ALPHABET[index])
        })
        .collect()
}

#[test]
fn a_secret_is_found_in_every_form() {
    let mut secrets = Secrets::default();
    let secret = secrets.make("key");
    let core = &secret[2..34];
    assert_eq!(secrets.found_in(b"nothing of it").len(), 0);
    // By other means than the search itself: what these two give was compared with the `base64` of coreutils.
    assert_eq!(
        (base64_inside("hunter2hunte", 0), base64_inside("hunter2", 1)),
        ("aHVudGVyMmh1bnRl".into(), "h1bnRlcj".into())
    );
    for text in [
        secret.clone(),
        format!("{}…", &core[..20]),
        format!("…{}", &core[18..]),
        secret.replace('/', "%2F"),
        format!("{:?}", secret.as_bytes()),
        hexadecimal(&secret),
    ] {
        assert_eq!(secrets.found_in(format!("before {text} after").as_bytes()).len(), 1, "{text}");
    }
    for before in ["", "a", "ab", "user:"] {
        let encoded = base64_inside(&format!("{before}{secret}"), 0);
        assert_eq!(secrets.found_in(encoded.as_bytes()).len(), 1, "{encoded}");
    }
}
