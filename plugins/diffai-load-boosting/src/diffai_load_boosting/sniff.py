"""Recognises models by their first bytes."""

from __future__ import annotations

import re

_XGBOOST_JSON = re.compile(rb'\s*+\{\s*+(?:"version"\s*+:\s*+\[[\s0-9,]*+\]\s*+,\s*+)?"learner"\s*+:\s*+\{')
_XGBOOST_UBJ = re.compile(rb"\{L\0{7}(?:\x07learner|\x07version)\W", re.DOTALL)
_CATBOOST = re.compile(
    rb'\s*+\{\s*+"(?:ctr_data"\s*+:\s*+\{|'
    rb'features_info"\s*+:\s*+\{\s*+"(?:(?:float|categorical|text|embedding)_features|cat_features_hash|ctrs)")'
)


def looks_like_xgboost(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file begins as XGBoost writes it, as JSON or as UBJSON."""
    return (_XGBOOST_UBJ if head.startswith(b"{L") else _XGBOOST_JSON).match(head) is not None


def looks_like_catboost(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file begins as the JSON export of CatBoost does."""
    return _CATBOOST.match(head) is not None
