"""Declares the loaders of boosted trees; the work is in the modules they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Magic, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loaders of XGBoost, LightGBM and CatBoost."""
    yield LoaderSpec(
        name="xgboost",
        title="XGBoost",
        target="diffai_load_boosting.xgboost:open_xgboost",
        suffixes=(".ubj",),
        magic=(Magic(b"binf"),),
        sniff="diffai_load_boosting.sniff:looks_like_xgboost",
        dialect_of="json",
    )
    yield LoaderSpec(
        name="lightgbm",
        title="LightGBM",
        target="diffai_load_boosting.lightgbm:open_lightgbm",
        magic=(Magic(b"tree\nversion="),),
    )
    yield LoaderSpec(
        name="catboost",
        title="CatBoost",
        target="diffai_load_boosting.catboost:open_catboost",
        suffixes=(".cbm",),
        magic=(Magic(b"CBM1"),),
        sniff="diffai_load_boosting.sniff:looks_like_catboost",
        dialect_of="json",
    )
