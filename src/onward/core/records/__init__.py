"""What the stages hand each other: frozen records that carry ids, never vendor objects.

Every record holds plain JSON values, tuples of them, other records and datetimes, so that a
record survives a crash, a process boundary and the ledger unchanged.
"""

from __future__ import annotations

from onward.core.records.audit import Baseline, RuleResult, ValidationReport
from onward.core.records.data import (
    ROW,
    UNREADABLE,
    Batch,
    DatasetRef,
    Delta,
    Evolution,
    Mode,
    Part,
    Partitions,
)
from onward.core.records.diff import ColumnDiff, Diff, Retyped, RowDiff
from onward.core.records.erasure import TOMBSTONE, ErasureReport, Removed, Residue, Subject
from onward.core.records.features import (
    Column,
    FeaturePlan,
    FeatureSetRef,
    Materialized,
    OnDemandPlan,
    OnMissing,
    OnStale,
    TrainingSetRef,
    ViewPlan,
)
from onward.core.records.feedback import Statement
from onward.core.records.masks import Mask, MaskKind
from onward.core.records.model import (
    Candidate,
    EvaluationReport,
    GateResult,
    Metric,
    ModelRef,
    RunRef,
)
from onward.core.records.operation import (
    Deployment,
    ImageRef,
    MonitorReport,
    MonitorResult,
    Prediction,
    RunRequest,
    Suppressed,
)
from onward.core.records.quarantine import Replay, Selection
from onward.core.records.release import (
    Allotment,
    Evidence,
    GuardrailResult,
    Logging,
    ReleaseDecision,
    Route,
    Routes,
    Terms,
)
from onward.core.records.skew import FeatureSkew, SkewReport

__all__ = [
    "ROW",
    "TOMBSTONE",
    "UNREADABLE",
    "Allotment",
    "Baseline",
    "Batch",
    "Candidate",
    "Column",
    "ColumnDiff",
    "DatasetRef",
    "Delta",
    "Deployment",
    "Diff",
    "ErasureReport",
    "EvaluationReport",
    "Evidence",
    "Evolution",
    "FeaturePlan",
    "FeatureSetRef",
    "FeatureSkew",
    "GateResult",
    "GuardrailResult",
    "ImageRef",
    "Logging",
    "Mask",
    "MaskKind",
    "Materialized",
    "Metric",
    "Mode",
    "ModelRef",
    "MonitorReport",
    "MonitorResult",
    "OnDemandPlan",
    "OnMissing",
    "OnStale",
    "Part",
    "Partitions",
    "Prediction",
    "ReleaseDecision",
    "Removed",
    "Replay",
    "Residue",
    "Retyped",
    "Route",
    "Routes",
    "RowDiff",
    "RuleResult",
    "RunRef",
    "RunRequest",
    "Selection",
    "SkewReport",
    "Statement",
    "Subject",
    "Suppressed",
    "Terms",
    "TrainingSetRef",
    "ValidationReport",
    "ViewPlan",
]
