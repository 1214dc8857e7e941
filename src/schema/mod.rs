//! The words of the field: plain states that are written to disk, and the traits of what can be extended.

mod analysis;
mod axis;
mod curve;
mod endpoint;
mod exchange;
mod json;
pub mod manual;
mod price;
mod probe;
mod prompt;
mod published;
mod record;
mod samples;
mod task;
mod wire;

pub use analysis::{
    ANALYSIS_VERSION, Analysis, AxisEvidence, Collapse, Comparison, ComparisonKind, Curve, Evidence, Helps, Onset, Order,
    PairedPoint, Point, Slice, SlicePoint, Verdict, Warning,
};
pub use axis::Axis;
pub use curve::{CURVE_DIMENSIONS, CurveFamily, Form, Proposal, Sizes};
pub use endpoint::{Endpoint, Sampling, Scoring};
pub use exchange::{
    Chat, FinishReason, Input, Logprobs, Message, OptionLogprobs, Request, Response, ToolCall, ToolSpec, Usage, Wanted,
};
pub use json::json_text;
pub use price::Price;
pub use probe::{Finding, Found, Probe};
pub use prompt::{Answer, Case, ChatTemplate, Prompt, Step, Technique, Tool, Turn, Turns};
pub use published::PublishedScore;
pub use record::{
    ExchangeKey, Judged, ModelEntry, Need, Outcome, Record, RecordName, Refusal, RunManifest, Scale, Score, ScoreRange,
    Scored, Scorer,
};
pub use samples::{Samples, SamplesError};
pub use task::{AnswerKind, DataSource, Generator, Parameter, Parameters, Problem, Sample, SampleSet, Task};
pub use wire::{Allowance, BoxFuture, Call, Class, HttpRequest, HttpResponse, Provider, Transport, TransportError};
