//! A drawing as PNG, in the light palette, for places that show no SVG.

use kuva::RasterBackend;
use kuva::render::color::Color;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

use super::plot::{Anchor, Drawing, Shape};
use super::style::{LIGHT, Role};

/// Pixels of a drawing's width: a wide one is meant for a look at the whole.
const WIDTH: f64 = 1200.0;

/// The drawing as the bytes of a PNG file.
///
/// # Errors
/// In words, when the image cannot be encoded.
pub(super) fn png(drawing: &Drawing) -> Result<Vec<u8>, String> {
    #[expect(clippy::cast_possible_truncation, reason = "a few pixels per unit")]
    let density = (WIDTH / drawing.width) as f32;
    let mut scene = Scene::new(drawing.width, drawing.height);
    scene.background_color = Some("#ffffff".to_owned());
    scene.elements = drawing.shapes.iter().map(primitive).collect();
    RasterBackend::new().with_scale(density).render_scene(&scene)
}

fn primitive(shape: &Shape) -> Primitive {
    match shape {
        Shape::Line { points, role, width, dashed } => match (points.as_slice(), dashed) {
            // Only single lines are dashed by the rasteriser, and it takes the dashes in pixels.
            ([(x1, y1), (x2, y2)], _) => Primitive::Line {
                x1: *x1,
                y1: *y1,
                x2: *x2,
                y2: *y2,
                stroke: colour(*role),
                stroke_width: *width,
                stroke_dasharray: dashed.then(|| "12 10".to_owned()),
            },
            _ => Primitive::PolyLine {
                points: points.clone(),
                stroke: colour(*role),
                stroke_width: *width,
                stroke_dasharray: None,
            },
        },
        Shape::Mark { outline, role, .. } => {
            let steps: Vec<String> = outline.iter().map(|(x, y)| format!("{x:.2} {y:.2}")).collect();
            Primitive::Path(Box::new(PathData {
                d: format!("M {} Z", steps.join(" L ")),
                fill: Some(colour(*role)),
                stroke: colour(*role),
                stroke_width: 0.5,
                opacity: None,
                stroke_dasharray: None,
            }))
        }
        Shape::Text { x, y, text, role, size, anchor, bold } => Primitive::Text {
            x: *x,
            y: *y,
            content: text.clone(),
            size: pixels(*size),
            anchor: match anchor {
                Anchor::Start => TextAnchor::Start,
                Anchor::Middle => TextAnchor::Middle,
                Anchor::End => TextAnchor::End,
            },
            rotate: None,
            bold: *bold,
            color: Some(colour(*role)),
        },
    }
}

/// The rasteriser takes whole sizes, and its letters are wider than those of most screens.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a letter's size is small and positive")]
fn pixels(size: f64) -> u32 {
    (size - 1.0).round() as u32
}

fn colour(role: Role) -> Color {
    let name = role.variable();
    LIGHT.iter().find(|(other, _)| *other == name).map_or(Color::Rgb(0, 0, 0), |(_, value)| Color::from(*value))
}
