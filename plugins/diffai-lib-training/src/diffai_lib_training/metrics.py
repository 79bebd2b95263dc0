"""Metrics of a training or an evaluation: single numbers and series over steps, and which direction is better."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from diffai_lib_training.tree import Entry, below, children, containers, number, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Direction = Literal["lower", "higher"]
"""Which values are better."""


@dataclass(frozen=True)
class Metric:
    """One number that says how good a model is.

    Args:
        name: ``val_loss``, ``results.arc_easy.acc`` …: what it is called, less the container it stands in.
        path: Place in the tree.
        value: The number.
        direction: Which values are better; ``None`` if neither the file nor the name tells.
    """

    name: str
    path: str
    value: float
    direction: Direction | None


@dataclass(frozen=True)
class History:
    """One number logged again and again.

    Args:
        name: What it is called.
        path: Place in the tree of the list.
        values: In the order of the log; NaN where NaN was logged.
        steps: Step (or epoch, see ``unit``) of each value; ``None`` if the log does not say.
        unit: What ``steps`` counts: ``step``, ``epoch``, or empty.
        direction: Which values are better, if that is known.
    """

    name: str
    path: str
    values: tuple[float, ...]
    steps: tuple[float, ...] | None
    unit: str
    direction: Direction | None


_LOWER = (
    *(
        "loss",
        "losses",
        "nll",
        "perplexity",
        "ppl",
        "mae",
        "mse",
        "rmse",
        "rmsle",
        "mape",
        "smape",
        "wer",
        "cer",
        "ter",
    ),
    *("err", "error", "errors", "eer", "ece", "brier", "fid", "kid", "lpips", "bpc", "bpb", "bits_per_byte", "logloss"),
    *("crossentropy", "cross_entropy", "hamming", "der", "nrmse"),
)
_HIGHER = (
    *("acc", "accuracy", "f1", "f1_score", "fscore", "auc", "auroc", "auprc", "roc_auc", "map", "map50", "map75", "ap"),
    *("ap50", "precision", "recall", "bleu", "sacrebleu", "rouge", "rouge1", "rouge2", "rougel", "rougelsum", "meteor"),
    *("chrf", "r2", "iou", "miou", "dice", "mcc", "matthews_correlation", "kappa", "exact_match", "em", "acc_norm"),
    *("psnr", "ssim", "ndcg", "mrr", "fitness", "best_fitness", "win_rate", "pearson", "pearsonr", "spearman"),
    *("spearmanr", "top1", "top5", "acc1", "acc5", "reward", "sensitivity", "specificity", "bertscore", "elo"),
)
_NOT_QUALITY = re.compile(
    r"(?:^|[_/.\s])(?:runtime|time|seconds?|per_second|stderr|std|samples?|steps?|epochs?|lr|learning_rate|grad_norm"
    r"|flos|memory|mem|version|seed|iter|iteration|batch|date|alias|total_flos|n|pg\d+)(?:$|[_/.,\s])",
    re.IGNORECASE,
)
_NO_MEASURE = frozenset(
    (
        *("threshold", "weight", "weights", "scale", "ratio", "coef", "type", "fn", "function", "target", "tolerance"),
        *("num", "number", "count", "free", "reduction", "improvement", "gain", "drop", "gap", "diff", "delta"),
        *("difference", "change", "mixed", "amp"),
    )
)
"""Words beside the name of a metric that make another quantity of it, of which better may be the other way round."""
_PARTS = re.compile(r"[a-z]+[0-9]*|[0-9]+")
_CUTOFF = re.compile(r"@[\d.:]+")
"""Of ``recall@5`` and ``mAP@0.5:0.95``: they are a recall and an mAP."""


def direction_of(name: str) -> Direction | None:
    """Return which values of a metric are better, by what metrics of that name are; ``None`` if it is not known.

    Example:
        >>> direction_of("val_loss"), direction_of("metrics/mAP50(B)"), direction_of("acc,none"), direction_of("x")
        ('lower', 'higher', 'higher', None)
    """
    last = re.split(r"[/.]", _CUTOFF.sub("", name))[-1].partition(",")[0].lower()
    whole = last.strip("_ ").replace("-", "_").replace(" ", "_")
    words = _PARTS.findall(whole)
    negated = last.lstrip("_ ").startswith("-") or (words and words[0] in {"neg", "negative", "inverse"})
    if negated or _NOT_QUALITY.search(last):
        return None
    for names, direction in ((_LOWER, "lower"), (_HIGHER, "higher")):
        endings = [whole, *(whole.removeprefix(f"{word}_") for word in ("eval", "val", "test", "train", "best"))]
        if any(ending in names for ending in endings):
            return "lower" if direction == "lower" else "higher"
    found = {("lower" if word in _LOWER else "higher") for word in words if word in _LOWER or word in _HIGHER}
    if len(found) == 1 and _NO_MEASURE.isdisjoint(words):
        return "lower" if "lower" in found else "higher"
    return None


_CONTAINERS = re.compile(
    r"(?:\w+_)?(?:metrics?|results?|scores?|evaluation|eval|test|validation|performance)(?:\.(?:json|ya?ml))?",
    re.IGNORECASE,
)
_HISTORIES = re.compile(
    r"(?:\w+_)?(?:history|histories|log|logs|curves?|log_history|results|losses|metrics)(?:\.(?:json|ya?ml|csv))?",
    re.IGNORECASE,
)
_SETTINGS = re.compile(r"(?:\w+_)?(?:args|hparams|params|parameters|config|cfg|options|n-shot|versions?)(?:\.\w+)?")


def find_metrics(tree: Mapping[str, Any]) -> tuple[Metric, ...]:
    """Return the metrics of a tree: in dicts that are called so, and numbers whose names are those of metrics."""
    told = dict(_told_directions(tree))
    found: dict[str, Metric] = {}
    for entry, name in _metric_places(tree):
        value = number(entry.value)
        direction = told.get(name) or direction_of(name)
        if value is not None and entry.path not in found and not _NOT_QUALITY.search(name.rpartition(".")[2]):
            found[entry.path] = Metric(name, entry.path, value, direction)
    return tuple(found.values())


def _metric_places(tree: Mapping[str, Any]) -> Iterator[tuple[Entry, str]]:
    """Yield the numbers that are metrics, with their names."""
    for key, entry in containers(tree):
        if "log_history" in entry.value:
            continue  # single numbers beside a log say nothing that the log does not
        if key and _CONTAINERS.fullmatch(key):
            yield from ((leaf, name) for leaf, name in _leaves(entry))
        elif not (key and _SETTINGS.fullmatch(key)):
            for name, child in children(entry):
                if direction_of(name) is not None or name in {"metric", "best_metric", "score", "best_score"}:
                    yield child, name


def _leaves(entry: Entry, name: str = "", depth: int = 0) -> Iterator[tuple[Entry, str]]:
    deepest = 4
    for key, child in children(entry):
        longer = f"{name}.{key}" if name else key
        if isinstance(child.value, dict) and depth < deepest and not _SETTINGS.fullmatch(key):
            yield from _leaves(child, longer, depth + 1)
        else:
            yield child, longer


def _told_directions(tree: Mapping[str, Any]) -> Iterator[tuple[str, Direction]]:
    """Yield the directions that the files themselves state, by name of the metric."""
    for key, entry in containers(tree):
        if key == "higher_is_better":  # the evaluation harness: by task and metric
            for leaf, name in _leaves(entry):
                task, _, metric = name.rpartition(".")
                if isinstance(leaf.value, bool):
                    direction: Direction = "higher" if leaf.value else "lower"
                    yield from ((f"{task}.{metric}{part}", direction) for part in ("", ",none"))
        better, metric_name = entry.value.get("greater_is_better"), plain(entry.value.get("metric_for_best_model"))
        if isinstance(better, bool) and isinstance(metric_name, str):
            direction = "higher" if better else "lower"
            yield metric_name, direction
            yield f"eval_{metric_name.removeprefix('eval_')}", direction
        mode, monitor = entry.value.get("mode"), entry.value.get("monitor")
        stated = re.search(r"'mode': '(min|max)'", key) if mode is None else None
        mode = stated.group(1) if stated else mode
        if isinstance(monitor, str) and mode in {"min", "max"}:
            yield monitor, "lower" if mode == "min" else "higher"


def find_histories(tree: Mapping[str, Any]) -> tuple[History, ...]:
    """Return the series of a tree: dicts of lists of numbers, and lists of dicts with numbers."""
    told = dict(_told_directions(tree))
    found: dict[str, History] = {}
    for key, entry in containers(tree):
        for history in _histories_at(key, entry, told):
            found.setdefault(f"{history.path} {history.name}", history)
    return tuple(found.values())


def _histories_at(key: str, entry: Entry, told: Mapping[str, Direction]) -> Iterator[History]:
    for name, child in children(entry):
        rows = child.value
        if isinstance(rows, list | tuple) and rows and all(isinstance(row, dict) for row in rows):
            if _HISTORIES.fullmatch(name):
                yield from _from_rows(child, told)
        elif key and _HISTORIES.fullmatch(key) and isinstance(rows, dict):
            yield from _from_columns(child, told, f"{name}.")
    if (key and _HISTORIES.fullmatch(key)) or _has_step_column(entry.value):
        yield from _from_columns(entry, told, "")
    else:
        for name, child in children(entry):
            if direction_of(name) is not None and (series := _series(child.value)) is not None:
                yield _history(name, child.path, series, None, "", told)


def _series(value: Any) -> tuple[float, ...] | None:
    """Return a list of numbers as a series; ``None`` for everything else, and for less than two."""
    if not isinstance(value, list | tuple) or len(value) < 2:  # noqa: PLR2004 - one value is no series
        return None
    if not all(isinstance(item, int | float) and not isinstance(item, bool) for item in value):
        return None
    return tuple(map(float, value))


_STEPS = ("step", "global_step", "iteration", "iter", "epoch", "epochs")


def _has_step_column(value: Mapping[str, Any]) -> bool:
    return any(_series(value.get(name)) is not None for name in _STEPS)


def _from_columns(entry: Entry, told: Mapping[str, Direction], prefix: str) -> Iterator[History]:
    columns = {name: series for name, item in entry.value.items() if (series := _series(item)) is not None}
    axis = next((name for name in _STEPS if name in columns), "")
    for name, series in columns.items():
        if name not in _STEPS:
            steps = columns.get(axis) if axis and len(columns[axis]) == len(series) else None
            unit = "" if steps is None else axis
            yield _history(f"{prefix}{name}", below(entry.path, name), series, steps, unit, told)


def _from_rows(entry: Entry, told: Mapping[str, Direction]) -> Iterator[History]:
    axis = next((name for name in _STEPS if all(number(row.get(name)) is not None for row in entry.value)), "")
    columns: dict[str, list[tuple[float | None, float]]] = {}
    for row in entry.value:
        for name, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and name not in _STEPS:
                columns.setdefault(str(name), []).append((number(row.get(axis)), float(value)))
    for name, points in columns.items():
        steps = tuple(step for step, _ in points if step is not None) if axis else None
        yield _history(name, entry.path, tuple(value for _, value in points), steps, axis, told)


def _history(
    name: str,
    path: str,
    values: Sequence[float],
    steps: tuple[float, ...] | None,
    axis: str,
    told: Mapping[str, Direction],
) -> History:
    unit = {"global_step": "step", "iteration": "step", "iter": "step", "epochs": "epoch"}.get(axis, axis)
    return History(name, path, tuple(values), steps, unit, told.get(name) or direction_of(name))
