//! Curves and comparisons as tables: RFC 4180, one line per point.

use crate::schema::{Analysis, RunManifest, Scale};

const HEADER: &str = "task,family,model,prompt,metric,axis,x,score,n,low,high,bound_low,bound_high,answered,unparsed,\
                      truncated,refused,failed,missing,random_score,params,tokens,flops,loss\n";

/// Every point of every curve; what is absent is empty.
pub(super) fn curves(manifest: &RunManifest, analysis: &Analysis) -> String {
    let mut out = HEADER.to_owned();
    let nowhere = Scale::default();
    for curve in &analysis.curves {
        for point in &curve.points {
            // A curve of all families, or of a training run, has no model whose family is its own; checkpoints may share a name.
            let named = manifest.models.iter().filter(|model| model.name == point.model);
            let model = named.min_by_key(|model| {
                let is_other = (model.scale.seed, model.scale.checkpoint) != (point.seed, point.checkpoint);
                (is_other, model.family != curve.family)
            });
            let scale = model.map_or(&nowhere, |model| &model.scale);
            let words = [&curve.task, &curve.family, &point.model, &curve.prompt, &curve.metric, &curve.axis];
            let numbers = [point.low, point.high, point.bound_low, point.bound_high];
            let counts = [point.answered, point.unparsed, point.truncated, point.refused, point.failed, point.missing];
            let rest = [curve.chance, scale.params, scale.tokens, scale.flops, scale.loss];
            let mut cells: Vec<String> = words.into_iter().map(|word| quote(word)).collect();
            cells.extend([point.x.to_string(), number(point.score), point.n.to_string()]);
            cells.extend(numbers.into_iter().map(number));
            cells.extend(counts.into_iter().map(|count| count.to_string()));
            cells.extend(rest.into_iter().map(number));
            out.push_str(&cells.join(","));
            out.push('\n');
        }
    }
    out
}

const COMPARISONS_HEADER: &str = "task,family,kind,prompt,baseline,metric,axis,model,other_model,x,score,other_score,n,unpaired,\
                                  difference,low,high,p_value,gained,lost,finding\n";

/// Every point of every comparison; what is absent is empty. The finding is `better` or `worse` where it is significant.
pub(super) fn comparisons(analysis: &Analysis) -> String {
    let mut out = COMPARISONS_HEADER.to_owned();
    for one in &analysis.comparisons {
        for point in &one.points {
            let baseline = one.baseline.as_deref().unwrap_or_default();
            let other_model = point.other_model.as_deref().unwrap_or_default();
            let words = [
                &one.task,
                &one.family,
                one.kind.name(),
                &one.prompt,
                baseline,
                &one.metric,
                &one.axis,
                &point.model,
                other_model,
            ];
            let finding = match (one.better.contains(&point.model), one.hurts.contains(&point.model)) {
                (true, _) => "better",
                (_, true) => "worse",
                _ => "",
            };
            let mut cells: Vec<String> = words.into_iter().map(quote).collect();
            cells.push(point.x.to_string());
            cells.extend([point.score, point.other_score].map(number));
            cells.extend([point.n, point.unpaired].map(|count| count.to_string()));
            cells.extend([point.difference, point.low, point.high, point.p_value].map(number));
            cells.extend([point.gained, point.lost].map(|count| count.to_string()));
            cells.push(finding.to_owned());
            out.push_str(&cells.join(","));
            out.push('\n');
        }
    }
    out
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn quote(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
