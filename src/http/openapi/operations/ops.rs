//! Operations of the server itself.

use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::honoured;
use crate::http::openapi::operation::Operation;
use crate::http::openapi::operation::OperationTag;
use crate::http::stream_probe::MAX_EVENTS;

pub(in crate::http) static DESCRIBE_SERVER: Operation = Operation::new(
    "describeServer",
    OperationTag::Operations,
    "Describes the server and lists its paths.",
);

pub(in crate::http) static GET_DOCUMENT: Operation = Operation::new(
    "getOpenApiDocument",
    OperationTag::Operations,
    "Returns this document.",
)
.query(&[honoured(
    "version",
    Text,
    "Version of the OpenAPI Specification. Only 3.2 describes the events of streams; not every tool reads it.",
)
.one_of(&["3.1", "3.2"])]);

pub(in crate::http) static GET_DOCS_PAGE: Operation = Operation::new(
    "getDocsPage",
    OperationTag::Operations,
    "Returns a page that shows this document.",
);

pub(in crate::http) static GET_DOCS_STYLE: Operation = Operation::new(
    "getDocsStyle",
    OperationTag::Operations,
    "Returns the style sheet of the page.",
);

pub(in crate::http) static GET_DOCS_SCRIPT: Operation = Operation::new(
    "getDocsScript",
    OperationTag::Operations,
    "Returns the script of the page.",
);

pub(in crate::http) static GET_HEALTH: Operation = Operation::new(
    "getHealth",
    OperationTag::Operations,
    "Reports that the process is alive.",
);

pub(in crate::http) static PROBE_STREAM: Operation = Operation::new(
    "probeStream",
    OperationTag::Operations,
    "Sends events 200 ms apart, which arrive together if a proxy holds them back.",
)
.query(&[honoured(
    "n",
    Integer(1, MAX_EVENTS as i64),
    "Number of events; 5 by default.",
)]);

pub(in crate::http) static GET_READINESS: Operation = Operation::new(
    "getReadiness",
    OperationTag::Operations,
    "Reports whether requests can be answered now, and otherwise what to do.",
);

pub(in crate::http) static GET_METRICS: Operation = Operation::new(
    "getMetrics",
    OperationTag::Operations,
    "Returns the metrics for Prometheus.",
);
