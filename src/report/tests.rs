use std::collections::BTreeMap;

use super::*;
use crate::schema::{
    ANALYSIS_VERSION, AnswerKind, Comparison, ComparisonKind, Curve, DataSource, Evidence, Helps, ModelEntry, Onset, Order,
    PairedPoint, Parameters, Point, Prompt, Refusal, Scale, Slice, SlicePoint, Task, Verdict,
};
use crate::stats::wilson;

const RATES: [(&str, &str, Verdict, [f64; 6]); 5] = [
    ("addition-3", "few-shot", Verdict::EmergentLastPoint, [0.0, 0.0, 0.005, 0.0, 0.01, 0.31]),
    ("addition-3", "scratchpad <&\">", Verdict::Emergent, [0.0, 0.0, 0.01, 0.22, 0.71, 0.94]),
    ("addition-3", "calculator", Verdict::Flat, [0.0, 0.0, 0.0, 0.0, 0.005, 0.0]),
    ("word-in-context", "few-shot", Verdict::Unresolved, [0.5, 0.49, 0.52, 0.5, 0.47, 0.53]),
    ("word-in-context", "scratchpad <&\">", Verdict::Smooth, [0.52, 0.58, 0.61, 0.67, 0.72, 0.8]),
];

fn model(index: usize) -> ModelEntry {
    ModelEntry {
        name: format!("rung-{index}"),
        family: "ladder".into(),
        endpoint: "ladder".into(),
        scale: Scale {
            flops: Some(3e9 * 6_f64.powi(index as i32)),
            params: Some(1e4 * 2.5_f64.powi(index as i32)),
            ..Scale::default()
        },
        weights: None,
    }
}

fn prompt(name: &str) -> Prompt {
    Prompt {
        name: name.into(),
        version: 1,
        about: String::new(),
        technique: "few-shot".into(),
        shots: 4,
        shot: String::new(),
        ask: String::new(),
        stop: Vec::new(),
        turns: None,
        answer_after: None,
        tool: None,
        call: None,
        baseline: None,
        cut_is_unparsed: false,
    }
}

fn task(name: &str, chance: f64) -> Task {
    Task {
        name: name.into(),
        version: 1,
        about: "A task <b>with</b> markup & a comma, in its text.".into(),
        data: DataSource::Generator { name: "g".into(), parameters: Parameters::default() },
        answer: AnswerKind::Number,
        discontinuous: "exact-match".into(),
        continuous: vec!["answer-logprob".into()],
        chance,
    }
}

fn curve(task: &str, prompt: &str, metric: &str, verdict: Verdict, means: &[f64], chance: Option<f64>) -> Curve {
    let points: Vec<Point> = means
        .iter()
        .enumerate()
        .map(|(index, mean)| {
            let n = 196;
            let interval = wilson((mean * 196.0).max(0.0).round(), n as f64).filter(|_| chance.is_some());
            Point {
                model: format!("rung-{index}"),
                seed: Some(1),
                checkpoint: None,
                x: model(index).scale.flops.unwrap(),
                score: Some(*mean),
                n,
                low: Some(interval.map_or(mean - 0.2, |interval| interval.low)),
                high: Some(interval.map_or(mean + 0.2, |interval| interval.high)),
                bound_low: chance.map(|_| mean * 0.98),
                bound_high: chance.map(|_| mean * 0.98 + 0.02),
                whole_low: chance.map(|_| mean * 0.9),
                whole_high: chance.map(|_| mean.mul_add(0.9, 0.1)),
                answered: 190,
                unparsed: 6,
                truncated: 1,
                refused: 0,
                failed: 3,
                missing: 0,
            }
        })
        .collect();
    let first = means.iter().rposition(|mean| *mean < chance.unwrap_or(0.0) + 0.05).map_or(0, |last| last + 1);
    let onset = Onset {
        below: first.checked_sub(1).map(|last| points[last].x),
        above: points.get(first).map(|point| point.x),
        ..Onset::default()
    };
    let shaped = verdict == Verdict::Emergent;
    Curve {
        task: task.into(),
        family: "ladder".into(),
        prompt: prompt.into(),
        metric: metric.into(),
        axis: "flops".into(),
        is_training: false,
        discontinuous: chance.is_some(),
        chance,
        points,
        slices: Vec::new(),
        verdict,
        emergence: if shaped { 0.93 } else { 0.0 },
        p_value: chance.map(|_| 0.000_2),
        q_value: chance.map(|_| 0.000_4),
        onset,
        sharpness: None,
        evidence: vec![Evidence {
            part: "plateau".into(),
            value: Some(0.004),
            p_value: Some(0.0002),
            words: "3 models up to 1.1e11 FLOPs score 0.004 on average against a chance of 0; below 0.094 (p < 0.001)"
                .into(),
        }],
    }
}

/// Pairs of items at every model, or step, with a score on each side.
fn comparison(kind: ComparisonKind, metric: &str, prompt: &str, scores: &[(f64, f64)]) -> Comparison {
    let is_sizes = kind == ComparisonKind::Sizes;
    let points: Vec<PairedPoint> = scores
        .iter()
        .zip(usize::from(is_sizes)..)
        .map(|((score, other), index)| PairedPoint {
            model: format!("rung-{index}"),
            other_model: is_sizes.then(|| format!("rung-{}", index - 1)),
            x: model(index).scale.flops.unwrap(),
            score: Some(*score),
            other_score: Some(*other),
            n: 190,
            unpaired: 10,
            difference: Some(score - other),
            low: Some(score - other - 0.05),
            high: Some(score - other + 0.05),
            p_value: Some(0.01),
            gained: 30,
            lost: 2,
        })
        .collect();
    let named = |keep: fn(f64) -> bool| {
        points.iter().filter(|point| point.difference.is_some_and(keep)).map(|point| point.model.clone()).collect()
    };
    let helps = Helps {
        below: model(2).scale.flops,
        above: model(3).scale.flops,
        crossing: Some(1.2e11),
        low: None,
        high: Some(3e11),
        resamples: Some(0.9),
    };
    Comparison {
        task: "addition-3".into(),
        family: "ladder".into(),
        metric: metric.into(),
        axis: "flops".into(),
        kind,
        prompt: prompt.into(),
        baseline: (!is_sizes).then(|| "few-shot".to_owned()),
        helps: if is_sizes { Helps::default() } else { helps },
        better: named(|difference| difference > 0.05),
        hurts: named(|difference| difference < -0.05),
        points,
        words: format!("{prompt} hurts and helps, in words of {metric}"),
    }
}

/// The run with pairs, over so many models.
fn run_of(models: usize) -> (RunManifest, Analysis) {
    let (mut manifest, mut analysis) = run();
    manifest.models.truncate(models);
    for curve in &mut analysis.curves {
        curve.points.truncate(models);
        curve.verdict = Verdict::Unresolved;
    }
    let scores = [(0.0, 0.1), (0.0, 0.0), (0.02, 0.0), (0.22, 0.0), (0.71, 0.0), (0.94, 0.31)];
    let steps = [(0.0, 0.0), (0.01, 0.0), (0.02, 0.01), (0.0, 0.02), (0.01, 0.0)];
    let smooth = [(-8.0, -9.0), (-6.0, -8.0), (-5.0, -6.0), (-4.0, -5.0), (-3.0, -4.0)];
    let prompt = "scratchpad <&\">";
    analysis.comparisons = vec![
        comparison(ComparisonKind::Baseline, "exact-match", prompt, &scores[..models]),
        comparison(ComparisonKind::Sizes, "exact-match", "few-shot", &steps[..models - 1]),
        comparison(ComparisonKind::Sizes, "answer-logprob", "few-shot", &smooth[..models - 1]),
    ];
    (manifest, analysis)
}

/// Where texts stand in another one, each after the one before.
fn stand_in_order(text: &str, parts: &[&str]) {
    let places: Vec<usize> = parts.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part}\n{text}"))).collect();
    assert!(places.is_sorted(), "{parts:?} stand at {places:?}");
}

#[test]
fn four_sizes_lead_with_pairs_and_six_with_verdicts() {
    let of = |models: usize| {
        let (manifest, analysis) = run_of(models);
        assert_eq!(pairs_lead(&analysis), models < 6);
        let files: BTreeMap<String, Vec<u8>> = files(&manifest, &analysis).unwrap().into_iter().collect();
        let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
        (text("report.md"), text("report.html"), text("comparisons.csv"))
    };
    let (markdown, page, csv) = of(4);
    let title = "Tasks in which a prompt helps, against its baseline: scratchpad &lt;&amp;";
    assert!(markdown.starts_with(&format!("# {title}\"> in 1 of 1\n")), "{markdown}");
    let parts = [
        "against its baseline: ",
        "hurts and helps, in words",
        "is no better at any size than at the next smaller with few-shot",
    ];
    stand_in_order(&markdown, &parts);
    stand_in_order(&page, &parts);
    assert!(markdown.contains("while answer-logprob grows at 3 of 3 steps"));
    let parts = [
        "## Prompts against their baselines",
        "## Each size against the next",
        "## Verdicts on the curves",
        "| unresolved |",
    ];
    stand_in_order(&markdown, &parts);
    let parts = [
        "<details open><summary>Prompts against",
        "<details open><summary>Each size",
        "Verdicts on the curves",
        ">unresolved<",
    ];
    stand_in_order(&page, &parts);
    let row = "| few-shot | ▼··▲ | 6.5e11 FLOPs | 3.0e9 FLOPs | 1.2e11 \\[below the smallest, 3.0e11\\] in 90 % of resamples | +0.220 \\[+0.170, +0.270\\] n=190 |";
    assert!(markdown.contains(row), "{markdown}");
    let row = "| ··· 0.000 → 0.020 | +0.010 \\[−0.040, +0.060\\] n=190 | answer-logprob: ▲▲▲ −9.000 → −5.000 |";
    assert!(markdown.contains(row), "{markdown}");
    let line =
        "addition-3,ladder,baseline,\"scratchpad <&\"\">\",few-shot,exact-match,flops,rung-0,,3000000000,0,0.1,190,10,-0.1,";
    assert!(
        csv.lines().nth(1).unwrap().starts_with(line) && csv.lines().nth(1).unwrap().ends_with(",0.01,30,2,worse"),
        "{csv}"
    );
    assert!(csv.contains(",rung-3,rung-2,") && csv.lines().count() == 1 + 4 + 3 + 3);
    assert!(!page.contains("scratchpad <&") && !page.contains("<script"));

    let (markdown, page, _) = of(6);
    assert!(markdown.starts_with("# No ability is seen to emerge"), "{markdown}");
    stand_in_order(&markdown, &["| unresolved |", "## Prompts against their baselines", "## Each size against"]);
    stand_in_order(
        &page,
        &[">unresolved<", "<details><summary>Prompts against", "<details><summary>Each size", "item by item</h3>"],
    );
    assert!(!markdown.contains("Verdicts on the curves"));
}

/// A run of two tasks and three prompts.
fn run() -> (RunManifest, Analysis) {
    let prompts = ["few-shot", "scratchpad <&\">", "calculator"];
    let mut curves = Vec::new();
    for (task, prompt, verdict, means) in RATES {
        let chance = if task == "addition-3" { 0.0 } else { 0.5 };
        curves.push(curve(task, prompt, "exact-match", verdict, &means, Some(chance)));
        let logprobs: Vec<f64> = (0..6).map(|rung| -9.0 + 1.4 * f64::from(rung) + means[5]).collect();
        curves.push(curve(task, prompt, "answer-logprob", Verdict::Smooth, &logprobs, None));
    }
    let order = ["addition-3", "word-in-context"]
        .map(|task| {
            let mut prompts: Vec<(String, Option<f64>)> = curves
                .iter()
                .filter(|curve| curve.discontinuous && curve.task == task)
                .map(|curve| (curve.prompt.clone(), curve.onset.above))
                .collect();
            prompts.sort_by(|a, b| a.1.unwrap_or(f64::INFINITY).total_cmp(&b.1.unwrap_or(f64::INFINITY)));
            Order { task: task.into(), family: "ladder".into(), prompts }
        })
        .to_vec();
    let refused =
        vec![Refusal { task: "word-in-context".into(), prompt: "calculator".into(), reason: "it has no expression".into() }];
    let manifest = RunManifest {
        version: 1,
        run: "2026-01-01-abc".into(),
        program: "0.1.0".into(),
        started: "2026-01-01T00:00:00Z".into(),
        seed: 1,
        samples: 200,
        until_resolved: false,
        repetitions: 1,
        epoch: String::new(),
        tasks: vec![task("addition-3", 0.0), task("word-in-context", 0.5)],
        prompts: prompts.map(prompt).to_vec(),
        endpoints: Vec::new(),
        models: (0..6).map(model).collect(),
        refused: refused.clone(),
        planned: 6000,
    };
    let comparisons = Vec::new();
    (
        manifest,
        Analysis {
            version: ANALYSIS_VERSION,
            run: "2026-01-01-abc".into(),
            curves,
            order,
            refused,
            comparisons,
            collapse: Vec::new(),
            warnings: Vec::new(),
        },
    )
}

fn texts() -> BTreeMap<String, String> {
    let (manifest, analysis) = run();
    let files = files(&manifest, &analysis).unwrap();
    // For a look at the page: name a directory and open report.html in it.
    if let Ok(directory) = std::env::var("ONSET_REPORT_DIR") {
        for (path, bytes) in &files {
            let path = std::path::Path::new(&directory).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    files.iter().map(|(path, bytes)| (path.clone(), text(bytes))).collect()
}

#[test]
fn every_file_is_there_and_the_same_each_time() {
    let texts = texts();
    for path in [
        "manifest.json",
        "analysis.json",
        "curves.csv",
        "comparisons.csv",
        "report.md",
        "report.html",
        "plots/addition-3.svg",
        "plots/addition-3.png",
    ] {
        assert!(texts.contains_key(path), "{path}");
    }
    let (manifest, analysis) = run();
    assert_eq!(files(&manifest, &analysis).unwrap(), files(&manifest, &analysis).unwrap());
    let read: Analysis = serde_json::from_str(&texts["analysis.json"]).unwrap();
    assert_eq!(read.curves.len(), analysis.curves.len());
}

#[test]
fn the_page_loads_nothing_and_escapes_everything() {
    let page = &texts()["report.html"];
    let without_namespace = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for forbidden in
        ["http:", "https:", "<script", "<link", "src=", "@import", "url(", "<b>with", "scratchpad <&", "NaN", "inf"]
    {
        assert!(!without_namespace.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("scratchpad &lt;&amp;&quot;&gt;") && page.contains("&lt;b&gt;with&lt;/b&gt; markup &amp; a"));
    assert!(page.contains("prefers-color-scheme:dark"));
}

#[test]
fn the_headline_says_what_emerges_where_and_what_brings_it_forward() {
    let page = &texts()["report.md"];
    assert!(page.starts_with("# 1 of 2 abilities emerges\n"), "{page}");
    let finding = page.lines().find(|line| line.starts_with("- **addition-3**")).unwrap();
    let words = "- **addition-3** emerges between 1.1e11 and 6.5e11 FLOPs with scratchpad &lt;&amp;\">; later, at 2.3e13 FLOPs, with few-shot; not seen with calculator";
    assert_eq!(finding, words);
    assert!(
        page.contains("Not seen to emerge: word-in-context: unresolved with few-shot; smooth with scratchpad &lt;&amp;\">.")
    );
}

#[test]
fn curves_are_one_line_per_point() {
    let csv = &texts()["curves.csv"];
    let mut lines = csv.lines();
    let header = "task,family,model,prompt,metric,axis,x,score,n,low,high,bound_low,bound_high,answered,unparsed,truncated,\
                  refused,failed,missing,random_score,params,tokens,flops,loss";
    assert_eq!(lines.next(), Some(header));
    let first = lines.next().unwrap();
    assert!(first.starts_with("addition-3,ladder,rung-0,few-shot,exact-match,flops,3000000000,0,196,0,"), "{first}");
    assert!(first.ends_with(",0,0.02,190,6,1,0,3,0,0,10000,,3000000000,"), "{first}");
    assert!(csv.contains(",\"scratchpad <&\"\">\","));
    assert_eq!(csv.lines().count(), 1 + 10 * 6);
}

#[test]
fn the_terminal_gets_plain_rows() {
    let (manifest, analysis) = run();
    let rows = verdict_rows(&manifest, &analysis);
    assert_eq!(rows.len(), 5);
    let cells = rows[1].cells().join("|");
    let words = "addition-3|scratchpad <&\">|emergent|1.1e11 – 6.5e11 FLOPs|0.000|0.940 [0.";
    assert!(cells.starts_with(words), "{cells}");
    assert!(cells.ends_with("n=196|answer-logprob: smooth"), "{cells}");
}

#[test]
fn an_empty_run_has_a_report() {
    let (mut manifest, mut analysis) = run();
    analysis.curves.clear();
    analysis.order.clear();
    manifest.models.clear();
    let files = files(&manifest, &analysis).unwrap();
    assert_eq!(files.len(), 6);
}

#[test]
fn four_panels_floor_an_error_of_zero_and_say_so() {
    let (manifest, mut analysis) = run();
    let panels = |analysis: &Analysis| {
        let files = files(&manifest, analysis).unwrap();
        let of = |name: &str| files.iter().find(|(path, _)| path == name).map(|(_, bytes)| bytes.clone());
        assert!(of("plots/addition-3.panels.png").is_some_and(|png| png.starts_with(b"\x89PNG")));
        String::from_utf8(of("plots/addition-3.panels.svg").unwrap()).unwrap()
    };
    let before = panels(&analysis);
    assert!(before.contains("error rate (1 − exact-match), log scale") && !before.contains("no error at all"));
    let curve = analysis.curves.iter_mut().find(|curve| curve.prompt == "scratchpad <&\">").unwrap();
    curve.points[5].score = Some(1.0);
    curve.points[5].high = Some(1.0);
    let after = panels(&analysis);
    assert!(after.contains("no error at all, drawn at 2.6e-3, half an error among the items"), "{after}");
    assert!(!after.contains("NaN") && !after.contains("inf"));
    let texts = texts();
    assert!(texts["report.html"].contains("<summary>Linear and logarithmic scales, score and error rate</summary>"));
    assert!(texts["report.md"].contains("(plots/addition-3.panels.svg)"));
    // A metric that is no fraction has no error rate.
    analysis.curves[0].points[0].score = Some(-3.0);
    assert!(!files(&manifest, &analysis).unwrap().iter().any(|(path, _)| path == "plots/addition-3.panels.svg"));
}

#[test]
fn curves_by_difficulty_are_drawn_where_there_are_any() {
    let (manifest, mut analysis) = run();
    let curve = analysis.curves.iter_mut().find(|curve| curve.prompt == "scratchpad <&\">").unwrap();
    curve.slices = ["easy", "middle", "hard"]
        .map(|difficulty| {
            let point = |point: &Point| SlicePoint {
                model: point.model.clone(),
                x: point.x,
                score: point.score.unwrap(),
                n: 33,
                low: point.low,
                high: point.high,
            };
            Slice { difficulty: difficulty.into(), points: curve.points.iter().map(point).collect() }
        })
        .to_vec();
    let files: BTreeMap<String, Vec<u8>> = files(&manifest, &analysis).unwrap().into_iter().collect();
    assert!(files["plots/addition-3.difficulty.png"].starts_with(b"\x89PNG"));
    assert!(!files.contains_key("plots/word-in-context.difficulty.svg"));
    let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    let drawing = text("plots/addition-3.difficulty.svg");
    assert!(drawing.contains(">exact-match by difficulty, scratchpad &lt;&amp;&quot;&gt;</text>"), "{drawing}");
    assert!(drawing.contains("<title>hard items, rung-5 at 2.3e13: 0.940 [0.896, 0.965] n=33</title>"), "{drawing}");
    assert!(!drawing.contains("few-shot") && !drawing.contains("NaN"));
    assert!(text("report.md").contains("[Easy, middle and hard items, apart](plots/addition-3.difficulty.svg)"));
    assert_eq!(text("report.html").matches("<summary>Easy, middle and hard items, apart</summary>").count(), 1);
}
