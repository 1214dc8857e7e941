//! The look of pages and plots: one palette, light and dark, told apart by colour and by shape.

/// What a line, mark or word of a drawing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Words that matter, and axes.
    Ink,
    /// Words beside them.
    Muted,
    /// Lines to read values by.
    Grid,
    /// The chance line.
    Chance,
    /// A line of data, by its number.
    Series(usize),
}

/// Number of colours for lines of data; after the last the first comes again, with another shape.
pub(super) const COLOURS: usize = 6;

impl Role {
    /// The CSS variable that holds its colour.
    pub(super) fn variable(self) -> String {
        match self {
            Self::Ink => "ink".to_owned(),
            Self::Muted => "muted".to_owned(),
            Self::Grid => "grid".to_owned(),
            Self::Chance => "chance".to_owned(),
            Self::Series(number) => format!("s{}", number % COLOURS),
        }
    }
}

/// Colours on light paper, by CSS variable. The six of lines stay apart for the common forms of colour blindness, and
/// reach a contrast of 4.5 on the paper.
pub(super) const LIGHT: &[(&str, &str)] = &[
    ("paper", "#ffffff"),
    ("ink", "#1b1f24"),
    ("muted", "#59636e"),
    ("grid", "#e3e7ec"),
    ("card", "#f6f8fa"),
    ("chance", "#6e7781"),
    ("good", "#116329"),
    ("goodback", "#dafbe1"),
    ("s0", "#0063b2"),
    ("s1", "#c2410c"),
    ("s2", "#00795b"),
    ("s3", "#a03a8a"),
    ("s4", "#8a6500"),
    ("s5", "#4b5563"),
];

/// The same on dark paper.
pub(super) const DARK: &[(&str, &str)] = &[
    ("paper", "#0f1318"),
    ("ink", "#e8ecf1"),
    ("muted", "#9aa5b1"),
    ("grid", "#2a313a"),
    ("card", "#181d24"),
    ("chance", "#8b96a3"),
    ("good", "#7ee2a0"),
    ("goodback", "#12351f"),
    ("s0", "#6cb6ff"),
    ("s1", "#ff9b6a"),
    ("s2", "#4fd1a5"),
    ("s3", "#e29ad6"),
    ("s4", "#e0c050"),
    ("s5", "#b0b8c4"),
];

/// The variables of both palettes; the reader's system decides which.
pub(super) fn variables() -> String {
    let list =
        |palette: &[(&str, &str)]| palette.iter().map(|(name, colour)| format!("--{name}:{colour};")).collect::<String>();
    format!(":root{{color-scheme:light dark;{}}}@media (prefers-color-scheme:dark){{:root{{{}}}}}", list(LIGHT), list(DARK))
}

/// The style of the page.
pub(super) const PAGE: &str = "
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:clamp(1.6rem,4.5vw,2.4rem);line-height:1.15;margin:0 0 12px;letter-spacing:-.015em;text-wrap:balance}
h2{font-size:1.35rem;margin:0 0 2px;overflow-wrap:anywhere}
h3{font-size:1rem;margin:0}
p{margin:0 0 10px}
.muted{color:var(--muted)}
.eyebrow{color:var(--muted);font-size:.85rem;margin-bottom:6px;overflow-wrap:anywhere}
.findings{margin:0 0 14px;padding:0;list-style:none;max-width:90ch}
.findings li{padding:7px 0 7px 14px;border-left:4px solid var(--s2);margin-bottom:6px;overflow-wrap:anywhere}
.scroll{overflow-x:auto;border:1px solid var(--grid);border-radius:8px;margin:18px 0;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:7px 12px;white-space:nowrap;border-bottom:1px solid var(--grid);vertical-align:top}
tr:last-child td{border-bottom:0}
th{color:var(--muted);font-weight:600;background:var(--card)}
.num{text-align:right}
section{border-top:1px solid var(--grid);padding-top:26px;margin-top:34px}
.task{display:grid;grid-template-columns:minmax(0,1.15fr) minmax(0,1fr);gap:30px;margin-top:14px}
.pairs td:nth-child(5){white-space:normal;min-width:18ch}
td svg{display:block;width:150px;height:40px}
.lead-note{font-size:.82rem;color:var(--muted)}
figure{margin:0}
figure svg{display:block;width:100%;height:auto}
figcaption{font-size:.82rem;color:var(--muted);margin-top:6px}
.card{background:var(--card);border-radius:8px;padding:12px 16px;margin-bottom:12px}
.card header{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:center;margin-bottom:4px}
.card ul{margin:0;padding-left:18px;font-size:.9rem}
.card li{margin:2px 0;overflow-wrap:anywhere}
.badge{display:inline-block;border:1px solid var(--muted);border-radius:99px;padding:0 9px;font-size:.8rem;white-space:nowrap}
.badge.yes,.badge.maybe{color:var(--good);border-color:var(--good)}
.badge.yes{background:var(--goodback);font-weight:600}
.also{font-size:.9rem;color:var(--muted);margin:0 0 6px;overflow-wrap:anywhere}
.task+.also{margin-top:16px}
summary{cursor:pointer;color:var(--muted);font-size:.9rem;margin-top:8px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;font-size:.88rem;margin:10px 0}
dd{margin:0;color:var(--muted)}
@media (max-width:860px){main{padding:22px 16px 48px}.task{grid-template-columns:minmax(0,1fr);gap:18px}dl{grid-template-columns:1fr}dd{margin-bottom:6px}}
@media print{.scroll{overflow:visible}}
";
