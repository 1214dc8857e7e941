//! A drawing as SVG: colours are CSS variables, so that one file serves light and dark.

use std::fmt::Write;

use super::format::escape;
use super::plot::{Anchor, Drawing, Shape};
use super::style;

/// A file of its own, with the palette inside.
pub(super) fn standalone(drawing: &Drawing) -> String {
    let style = format!("<style>{}</style><rect width=\"100%\" height=\"100%\" fill=\"var(--paper)\"/>", style::variables());
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", svg(drawing, &style))
}

/// A part of a page that has the palette.
pub(super) fn inline(drawing: &Drawing) -> String {
    svg(drawing, "")
}

fn svg(drawing: &Drawing, style: &str) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" \
         font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif\"><title>{}</title>{style}",
        number(drawing.width),
        number(drawing.height),
        escape(&drawing.title)
    );
    for shape in &drawing.shapes {
        element(&mut out, shape);
    }
    out.push_str("</svg>");
    out
}

fn element(out: &mut String, shape: &Shape) {
    // Writing to a string cannot fail.
    let _ = match shape {
        Shape::Line { points, role, width, dashed } => {
            let path: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
            write!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"var(--{})\" stroke-width=\"{}\" stroke-linejoin=\"round\"{}/>",
                path.join(" "),
                role.variable(),
                number(*width),
                if *dashed { " stroke-dasharray=\"5 4\"" } else { "" }
            )
        }
        Shape::Mark { outline, role, note } => {
            let path: Vec<String> = outline.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
            let note = if note.is_empty() { String::new() } else { format!("<title>{}</title>", escape(note)) };
            write!(
                out,
                "<polygon points=\"{}\" fill=\"var(--{})\" stroke=\"var(--paper)\" stroke-width=\"1\">{note}</polygon>",
                path.join(" "),
                role.variable(),
            )
        }
        Shape::Text { x, y, text, role, size, anchor, bold } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            write!(
                out,
                "<text x=\"{}\" y=\"{}\" font-size=\"{}\" text-anchor=\"{anchor}\" fill=\"var(--{})\"{}>{}</text>",
                number(*x),
                number(*y),
                number(*size),
                role.variable(),
                if *bold { " font-weight=\"600\"" } else { "" },
                escape(text)
            )
        }
    };
}

/// A coordinate: two decimals at most.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
