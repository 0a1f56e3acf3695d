"""Claims as data: what a study file may state, and when it holds. One file per kind."""

from decaystudy.study.definition.claims.base import Claim
from decaystudy.study.definition.claims.registry import KINDS, read_claims
from decaystudy.study.definition.claims.result import ClaimPart, ClaimResult

__all__ = ["KINDS", "Claim", "ClaimPart", "ClaimResult", "read_claims"]
