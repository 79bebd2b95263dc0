"""Settings of a training, told from paths, names of runs and other things that do not change what is trained."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from diffai_lib_training.metrics import direction_of
from diffai_lib_training.tree import Entry, children, containers, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = Literal["hyperparameter", "seed", "path", "identity", "runtime"]
"""What a setting is: ``identity`` names a run or says when it was; ``runtime`` says where and how it ran."""

_MAX_DEPTH = 5
_MAX_SETTINGS = 5_000


@dataclass(frozen=True)
class Hyperparameter:
    """One setting.

    Args:
        name: Path within the container, which is the same for all files of one program: ``lr``, ``opt.betas``.
        path: Place in the tree.
        value: As stored; a number or truth value that metadata holds as text is a number or truth value here.
        kind: What it is.
    """

    name: str
    path: str
    value: Any
    kind: Kind


_CONTAINERS = re.compile(
    r"""(?: \w+_)? (?: args | arguments | hparams | hyper_?-?parameters | hyperparams | params | config | cfg | opts?
        | flags | settings | options ) (?: \.(?: json | ya?ml | toml | bin ) )? | __metadata__""",
    re.VERBOSE | re.IGNORECASE,
)
_NOT_SETTINGS = frozenset(
    {"higher_is_better", "versions", "n-shot", "task_hashes", "pretty_env_info", "label2id", "id2label"}
)

_OF_RUNS = frozenset({"results", "log_history", "metrics", "callbacks", "state_dict", "global_step", "epoch"})
"""Keys of what a run leaves behind, which is no configuration as a whole."""

_PATHS = re.compile(
    r"(?:^|[_./-])(?:dirs?|directory|folders?|paths?|files?|filename|output|checkpoint_name|cache|uri|urls?|root"
    r"|resume(?:_from(?:_checkpoint)?)?|data_?path)(?:$|[_./-])",
    re.IGNORECASE,
)
_IDENTITY = re.compile(
    r"(?:^|[_./-])(?:name|names|id|ids|uuid|tags?|notes?|comment|comments|description|time|date|timestamp|created|"
    r"started(?:_at)?|finished(?:_at)?|host|hostname|user|username|author|entity|project|group_name|commit|git\w*|"
    r"hash|session|wandb\w*|mlflow\w*|version|versions|transformers_version|title|epoch|global_step|starting_epoch|format)"
    r"(?:$|[_./-])",
    re.IGNORECASE,
)
_RUNTIME = re.compile(
    r"(?:(?:use_|\w*_)?devices?|(?:\w+_)?(?:num_)?workers|(?:local_|global_)?rank|n_?gpus?|gpus?|verbos\w+|print_\w+|logs?"
    r"|log(?:ging)?_\w+|saves?|save_\w+|eval_(?:steps|strategy|freq|interval)|evaluation_strategy|report_to"
    r"|pin_mem(?:ory)?|disable_tqdm|push_to_hub|hub_\w+|debug|progress\w*|port|master_\w+|dist_(?:url|backend)"
    r"|do_(?:train|eval|predict)|torch_compile\w*|deepspeed|fsdp\w*|skip_memory_metrics|prefetch\w*|plots?|show"
    r"|dataloader_(?:num_workers|pin_memory|prefetch_factor|persistent_workers))",
    re.IGNORECASE,
)
_SEED = re.compile(r"(?:^|[_./-])(?:\w*seed)(?:$|[_./-])", re.IGNORECASE)
_PATH_VALUE = re.compile(r"(?:[/~]|\.{1,2}/|[A-Za-z]:[\\/]|\w+://).*", re.DOTALL)
_ALGORITHMS = (
    "optimizer",
    "opt",
    "scheduler",
    "sched",
    "model",
    "arch",
    "model_type",
    "activation",
    "loss",
    "criterion",
)


def kind_of(name: str, value: Any) -> Kind:
    """Return what a setting is, by the words of its name and by whether its value is a path.

    Example:
        >>> [kind_of("lr", 0.1), kind_of("output_dir", "x"), kind_of("run_name", "a"), kind_of("num_workers", 4)]
        ['hyperparameter', 'path', 'identity', 'runtime']
    """
    last = name.rpartition(".")[2]
    if last == "name" and name.split(".")[-2:-1] and name.split(".")[-2].lower() in _ALGORITHMS:
        return "hyperparameter"  # which optimizer, schedule or model it is
    if _SEED.search(last):
        return "seed"
    if isinstance(value, str) and _PATH_VALUE.fullmatch(value):
        return "path"
    if _PATHS.search(last):
        return "path"
    if _RUNTIME.fullmatch(last):
        return "runtime"
    return "identity" if _IDENTITY.search(last) else "hyperparameter"


def find_hyperparameters(tree: Mapping[str, Any], *, is_settings: bool) -> tuple[Hyperparameter, ...]:
    """Return the settings of a tree: what is in dicts that are called arguments, hyperparameters, configuration.

    Args:
        tree: The tree.
        is_settings: Whether the tree as a whole is such a dict: a configuration file.
    """
    found: dict[str, Hyperparameter] = {}
    inside: list[str] = []
    for key, entry in containers(tree):
        if any(entry.path.startswith(path) for path in inside):
            continue
        if (key and _CONTAINERS.fullmatch(key)) or (not key and is_settings and not tree.keys() & _OF_RUNS):
            inside.append(entry.path)
            for name, leaf in _leaves(entry, as_text=key == "__metadata__"):
                if len(found) < _MAX_SETTINGS:
                    found.setdefault(leaf.path, Hyperparameter(name, leaf.path, leaf.value, kind_of(name, leaf.value)))
    return tuple(found.values())


def _leaves(entry: Entry, name: str = "", depth: int = 0, *, as_text: bool = False) -> Iterator[tuple[str, Entry]]:
    for key, child in children(entry):
        longer = f"{name}.{key}" if name else key
        value = _parsed(child.value) if as_text else plain(child.value)
        if key in _NOT_SETTINGS or key.startswith("__") or (direction_of(key) and isinstance(value, float)):
            continue
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            yield from _leaves(Entry(child.path, value), longer, depth + 1)
        elif _is_setting(value):
            yield longer, Entry(child.path, value)


def _is_setting(value: Any) -> bool:
    longest = 64
    if isinstance(value, list | tuple):
        return len(value) <= longest and all(not isinstance(item, dict | list | tuple | bytes) for item in value)
    return not isinstance(value, dict | bytes)


def _parsed(value: Any) -> Any:
    """Return what a text of metadata stands for: a number, a truth value, a dict in JSON; else the text."""
    longest = 65_536
    if not isinstance(value, str) or len(value) > longest:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return {"True": True, "False": False, "None": None}.get(value, value)
