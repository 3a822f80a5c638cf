use super::title_case;

/// Text and what Python's `str.title()` makes of it.
#[rustfmt::skip]
const CASES: &[(&str, &str)] = &[
    ("", ""),
    ("name", "Name"),
    ("web url", "Web Url"),
    ("md5 checksum", "Md5 Checksum"),
    ("oauth2 token", "Oauth2 Token"),
    ("2fa code", "2Fa Code"),
    ("x2y", "X2Y"),
    ("o'neil's", "O'Neil'S"),
    ("THE QUICK", "The Quick"),
    ("a-b.c", "A-B.C"),
    ("gr\u{f6}\u{df}e cm", "Gr\u{f6}\u{df}e Cm"),
    ("stra\u{df}e", "Stra\u{df}e"),
    ("\u{df}a a\u{df}", "Ssa A\u{df}"),
    ("\u{1c6} \u{1c6}x", "\u{1c5} \u{1c5}x"),
    ("\u{1c5} x", "\u{1c5} X"),
    ("\u{149} a", "\u{2bc}N A"),
    ("\u{fb03}x \u{fb01}sh", "Ffix Fish"),
    ("\u{fb05}op", "Stop"),
    ("\u{e9}a \u{c9}A", "\u{c9}a \u{c9}a"),
    ("\u{3c3}\u{3c3} \u{3c3}\u{3c2} \u{3a3}\u{3a3}", "\u{3a3}\u{3c3} \u{3a3}\u{3c2} \u{3a3}\u{3c2}"),
    ("\u{391}\u{3a3} \u{391}\u{3a3}. \u{391}\u{3a3}\u{392}", "\u{391}\u{3c2} \u{391}\u{3c2}. \u{391}\u{3c3}\u{3b2}"),
    ("\u{38c}\u{394}\u{39f}\u{3a3}'\u{3a3} \u{3a3}", "\u{38c}\u{3b4}\u{3bf}\u{3c3}'\u{3a3} \u{3a3}"),
    ("a\u{3a3}\u{301} b", "A\u{3c2}\u{301} B"),
    ("\u{390} \u{3b0}", "\u{399}\u{308}\u{301} \u{3a5}\u{308}\u{301}"),
    ("\u{1fb3} \u{1f80} \u{1f88}x \u{1fb2} \u{1fb4} \u{1fb7} \u{1fc2} \u{1fc4} \u{1fc7} \u{1ff2} \u{1ff4} \u{1ff7} \u{1ffc}", "\u{1fbc} \u{1f88} \u{1f88}x \u{1fba}\u{345} \u{386}\u{345} \u{391}\u{342}\u{345} \u{1fca}\u{345} \u{389}\u{345} \u{397}\u{342}\u{345} \u{1ffa}\u{345} \u{38f}\u{345} \u{3a9}\u{342}\u{345} \u{1ffc}"),
    ("\u{1f81}\u{1f81} \u{1f98} \u{1fa0}", "\u{1f89}\u{1f81} \u{1f98} \u{1fa8}"),
    ("\u{10d3}\u{10d0} \u{10e1}\u{10d0}\u{10e5}\u{10d0}\u{10e0}\u{10d7}\u{10d5}\u{10d4}\u{10da}\u{10dd}", "\u{10d3}\u{10d0} \u{10e1}\u{10d0}\u{10e5}\u{10d0}\u{10e0}\u{10d7}\u{10d5}\u{10d4}\u{10da}\u{10dd}"),
    ("\u{2d00}\u{2d01} \u{2d00}", "\u{10a0}\u{2d01} \u{10a0}"),
    ("\u{10d0}1\u{10d0}", "\u{10d0}1\u{10d0}"),
    ("\u{130}stanbul i\u{130} I", "\u{130}stanbul Ii\u{307} I"),
    ("\u{131} \u{131}a", "I Ia"),
    ("\u{1f0}x \u{1e96} \u{1e97}", "J\u{30c}x H\u{331} T\u{308}"),
    ("\u{587} \u{565}\u{582} \u{fb13} \u{fb17}", "\u{535}\u{582} \u{535}\u{582} \u{544}\u{576} \u{544}\u{56d}"),
    ("\u{2177} \u{2177}\u{2177}", "\u{2167} \u{2167}\u{2177}"),
    ("\u{24d0}\u{24d1} \u{24d0}", "\u{24b6}\u{24d1} \u{24b6}"),
    ("\u{aa}b \u{ba}c", "\u{aa}b \u{ba}c"),
    ("\u{2b0}a \u{2b0}", "\u{2b0}a \u{2b0}"),
    ("\u{4e2d}\u{6587} a\u{4e2d}b", "\u{4e2d}\u{6587} A\u{4e2d}B"),
    ("\u{639}\u{631}\u{628}\u{64a} abc", "\u{639}\u{631}\u{628}\u{64a} Abc"),
    ("x\u{301}y \u{345}a", "X\u{301}Y \u{399}a"),
    ("a\u{ad}b", "A\u{ad}B"),
    ("a\u{2019}b", "A\u{2019}B"),
    ("\u{10428}\u{10428} \u{10428}", "\u{10400}\u{10428} \u{10400}"),
    ("\u{1d4b6}b", "\u{1d4b6}b"),
    ("\u{1c80}\u{1c80}", "\u{412}\u{1c80}"),
    ("\u{ab70}\u{ab70}", "\u{13a0}\u{ab70}"),
    ("\u{13a0}\u{ab70}", "\u{13a0}\u{ab70}"),
    ("\u{fb00}", "Ff"),
    ("D\u{17d} \u{1c7} \u{1cc} \u{1f1}", "D\u{17e} \u{1c8} \u{1cb} \u{1f2}"),
    ("i\u{307}", "I\u{307}"),
    ("\u{3f5} \u{3d0}", "\u{395} \u{392}"),
    ("K \u{c5} \u{3a9}", "K \u{c5} \u{3a9}"),
    ("\u{149}\u{149}", "\u{2bc}N\u{149}"),
    ("1a 1A", "1A 1A"),
    ("_a _", "_A _"),
    ("tab\u{9}new\nline", "Tab\u{9}New\nLine"),
];

#[test]
fn titles_as_in_python() {
    for (text, expected) in CASES {
        assert_eq!(title_case(text), *expected, "{text}");
    }
}
